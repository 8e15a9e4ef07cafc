#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <vector>

#include "exporters/encode/exposition.h"

namespace braid::exporters {

std::unique_ptr<PageWriter> NewTextWriter(ExpositionFormat format, const PageWriter::Options& options);

namespace {

void AppendEscaped(std::string* out, std::string_view text, bool quotes) {
  if (std::none_of(text.begin(), text.end(), [](char c) { return c == '\\' || c == '\n' || c == '"'; })) {
    out->append(text);
    return;
  }
  size_t plain = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c != '\\' && c != '\n' && !(quotes && c == '"')) continue;
    out->append(text, plain, i - plain);
    *out += '\\';
    *out += c == '\n' ? 'n' : c;
    plain = i + 1;
  }
  out->append(text, plain);
}

// Seconds with all nine decimals that nanoseconds have, less trailing zeros.
void AppendSeconds(std::string* out, uint64_t ns) {
  const uint64_t whole = ns / 1'000'000'000;
  AppendNumber(out, static_cast<double>(whole));
  uint64_t rest = ns % 1'000'000'000;
  char digits[10] = {'.'};
  for (int i = 9; i >= 1; --i, rest /= 10) digits[i] = static_cast<char>('0' + rest % 10);
  size_t size = sizeof digits;
  while (size > 2 && digits[size - 1] == '0') --size;
  out->append(digits, size);
}

class TextWriter final : public PageWriter {
 public:
  TextWriter(bool open_metrics, const Options& options) : PageWriter(options), open_metrics_(open_metrics) {}

 private:
  void BeginFamily() override {
    // 0.0.4 knows samples only: a counter's name is that of its samples.
    metric_ = family().name;
    total_ = metric_ + "_total";
    const std::string& name = !open_metrics_ && family().type == MetricType::kCounter ? total_ : metric_;
    std::string& o = out();
    if (!family().help.empty()) {
      o.append("# HELP ").append(name) += ' ';
      AppendEscaped(&o, family().help, open_metrics_);
      o += '\n';
    }
    o.append("# TYPE ").append(name).append(" ").append(TypeName()) += '\n';
    if (open_metrics_ && !family().unit.empty()) {
      o.append("# UNIT ").append(name).append(" ").append(family().unit) += '\n';
    }
  }

  std::string_view TypeName() const {
    switch (family().type) {
      case MetricType::kCounter: return "counter";
      case MetricType::kGauge: return "gauge";
      case MetricType::kHistogram: return "histogram";
      case MetricType::kSummary: return "summary";
      case MetricType::kUnknown: return open_metrics_ ? "unknown" : "untyped";
    }
    return "";
  }

  void PutCounter(double value, uint64_t created_ns, const ExemplarView* exemplar) override {
    Render();
    Name(total_);
    Labels();
    AppendNumber(&out(), value);
    Exemplar(exemplar);
    out() += '\n';
    Created(created_ns);
  }

  void PutGauge(double value) override {
    Render();
    Name(metric_);
    Labels();
    AppendNumber(&out(), value);
    out() += '\n';
  }

  void PutHistogram(const HistogramView& histogram, bool classic_sum, uint64_t created_ns) override {
    Render();
    CacheBounds(histogram.bounds);
    // A native histogram alone is one bucket here, with its latest exemplar.
    std::span<const double> counts = histogram.counts;
    std::span<const ExemplarView* const> exemplars = histogram.exemplars;
    const double all = histogram.count();
    const ExemplarView* latest = nullptr;
    if (counts.empty()) {
      counts = {&all, 1};
      for (const ExemplarView& exemplar : histogram.native->exemplars) {
        if (latest == nullptr || exemplar.time_ns >= latest->time_ns) latest = &exemplar;
      }
      exemplars = {&latest, 1};
    }
    // Name and labels of a bucket's line.
    bucket_.assign(metric_).append("_bucket{").append(rendered_);
    if (!rendered_.empty()) bucket_ += ',';
    double cumulative = 0;
    for (size_t i = 0; i < counts.size(); ++i) {
      cumulative += counts[i];
      std::string& o = out();
      o.append(bucket_).append(bound_labels_[i]);
      AppendNumber(&o, cumulative);
      if (i < exemplars.size()) Exemplar(exemplars[i]);
      out() += '\n';
    }
    if (classic_sum) {
      Name(metric_, "_sum");
      Labels();
      AppendNumber(&out(), histogram.sum);
      out() += '\n';
    }
    // OpenMetrics wants both or neither.
    if (classic_sum || !open_metrics_) {
      Name(metric_, "_count");
      Labels();
      AppendNumber(&out(), cumulative);
      out() += '\n';
    }
    Created(created_ns);
  }

  void PutSummary(const SummaryView& summary, uint64_t created_ns) override {
    Render();
    for (size_t i = 0; i < summary.quantiles.size(); ++i) {
      std::string& o = out();
      o.append(metric_) += '{';
      if (!rendered_.empty()) o.append(rendered_) += ',';
      o.append("quantile=\"").append(LabelNumber(summary.quantiles[i], open_metrics_)).append("\"} ");
      AppendNumber(&o, summary.values[i]);
      o += '\n';
    }
    // OpenMetrics allows no sum that is negative or no number.
    if (!open_metrics_ || summary.sum >= 0) {
      Name(metric_, "_sum");
      Labels();
      AppendNumber(&out(), summary.sum);
      out() += '\n';
    }
    Name(metric_, "_count");
    Labels();
    AppendNumber(&out(), static_cast<double>(summary.count));
    out() += '\n';
    Created(created_ns);
  }

  void PutEnd() override {
    if (open_metrics_) out() += "# EOF\n";
  }

  // The point's labels, once for all of its lines.
  void Render() {
    rendered_.clear();
    for (const Label& label : labels()) {
      if (!rendered_.empty()) rendered_ += ',';
      rendered_.append(label.name).append("=\"");
      AppendEscaped(&rendered_, label.value, true);
      rendered_ += '"';
    }
  }

  void Name(std::string_view name, std::string_view suffix = "") { out().append(name).append(suffix); }

  void Labels() {
    std::string& o = out();
    if (!rendered_.empty()) (o += '{').append(rendered_) += '}';
    o += ' ';
  }

  void CacheBounds(std::span<const double> bounds) {
    if (!bound_labels_.empty() && std::equal(bounds.begin(), bounds.end(), bounds_.begin(), bounds_.end()))
      return;
    bounds_.assign(bounds.begin(), bounds.end());
    bound_labels_.clear();
    for (const double bound : bounds_)
      bound_labels_.push_back("le=\"" + LabelNumber(bound, open_metrics_) + "\"} ");
    bound_labels_.push_back("le=\"+Inf\"} ");
  }

  void Exemplar(const ExemplarView* exemplar) {
    if (!open_metrics_ || exemplar == nullptr || !ExemplarLabels(*exemplar, &exemplar_labels_)) return;
    std::string& o = out();
    o += " # {";
    for (size_t i = 0; i < exemplar_labels_.size(); ++i) {
      if (i != 0) o += ',';
      o.append(exemplar_labels_[i].name).append("=\"");
      AppendEscaped(&o, exemplar_labels_[i].value, true);
      o += '"';
    }
    o += "} ";
    AppendNumber(&o, exemplar->value);
    if (exemplar->time_ns == 0) return;
    o += ' ';
    AppendSeconds(&o, exemplar->time_ns);
  }

  void Created(uint64_t created_ns) {
    if (!open_metrics_ || created_ns == 0) return;
    Name(metric_, "_created");
    Labels();
    AppendSeconds(&out(), created_ns);
    out() += '\n';
  }

  const bool open_metrics_;
  std::string metric_;
  std::string total_;
  std::string rendered_;
  std::string bucket_;
  std::vector<double> bounds_;
  std::vector<std::string> bound_labels_;  // le="..."} for each of bounds_, and +Inf
  std::vector<Label> exemplar_labels_;
};

}  // namespace

std::string LabelNumber(double value, bool point) {
  char digits[32];
  auto result = std::to_chars(digits, digits + sizeof digits, value, std::chars_format::scientific);
  const std::string_view scientific(digits, static_cast<size_t>(result.ptr - digits));
  int exponent = 0;
  const size_t e = scientific.find('e');
  const char* first = scientific.data() + e + (scientific[e + 1] == '+' ? 2 : 1);
  std::from_chars(first, result.ptr, exponent);
  if (value != 0 && (exponent < -4 || exponent >= 6)) return std::string(scientific);
  result = std::to_chars(digits, digits + sizeof digits, value, std::chars_format::fixed);
  std::string text(digits, result.ptr);
  if (point && text.find('.') == std::string::npos) text += ".0";
  return text;
}

std::unique_ptr<PageWriter> NewTextWriter(ExpositionFormat format, const PageWriter::Options& options) {
  return std::make_unique<TextWriter>(format == ExpositionFormat::kOpenMetrics, options);
}

}  // namespace braid::exporters
