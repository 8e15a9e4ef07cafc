#include "exporters/encode/exposition.h"

#include <xxhash.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/ids.h"
#include "correlate/model/epoch.h"

namespace braid::exporters {

std::unique_ptr<PageWriter> NewTextWriter(ExpositionFormat format, const PageWriter::Options& options);
std::unique_ptr<PageWriter> NewProtobufWriter(const PageWriter::Options& options);

namespace {

constexpr size_t kExemplarRunes = 128;  // OpenMetrics 1.0, "Exemplars"
constexpr size_t kMaxReserve = 1 << 20;

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsMetricName(std::string_view name) {
  if (name.empty() || !(IsLetter(name[0]) || name[0] == ':')) return false;
  return std::all_of(name.begin(), name.end(), [](char c) { return IsLetter(c) || IsDigit(c) || c == ':'; });
}

// Two leading underscores are reserved, but Tempo puts them before what collides with an intrinsic label, and
// Prometheus takes all but the name's own.
bool IsLabelName(std::string_view name) {
  if (name.empty() || !IsLetter(name[0]) || name == "__name__") return false;
  return std::all_of(name.begin(), name.end(), [](char c) { return IsLetter(c) || IsDigit(c); });
}

// Eight bytes at a time while none has its high bit.
const unsigned char* SkipAscii(const unsigned char* p, const unsigned char* end) {
  while (end - p >= 8) {
    uint64_t word;
    std::memcpy(&word, p, sizeof word);
    if ((word & 0x8080808080808080u) != 0) break;
    p += 8;
  }
  return p;
}

// RFC 3629: no surrogates, nothing overlong, nothing above U+10FFFF.
bool IsUtf8(std::string_view text) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data());
  const auto* end = p + text.size();
  p = SkipAscii(p, end);
  while (p < end) {
    if (*p < 0x80) {
      ++p;
      continue;
    }
    const int more = *p >= 0xc2 && *p <= 0xdf   ? 1
                     : (*p & 0xf0) == 0xe0      ? 2
                     : *p >= 0xf0 && *p <= 0xf4 ? 3
                                                : 0;
    if (more == 0 || end - p <= more) return false;
    const unsigned char low = *p == 0xe0 ? 0xa0 : *p == 0xf0 ? 0x90 : 0x80;
    const unsigned char high = *p == 0xed ? 0x9f : *p == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high) return false;
    for (int i = 2; i <= more; ++i) {
      if ((p[i] & 0xc0) != 0x80) return false;
    }
    p += more + 1;
  }
  return true;
}

size_t Runes(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

bool IsCount(double value) { return value >= 0 && !std::isinf(value); }

// Far beyond any bucket that holds a double, and differences still fit 32 bits.
constexpr int32_t kMaxNativeIndex = 1 << 30;

bool IsNativeSide(std::span<const NativeBucket> buckets) {
  for (size_t i = 0; i < buckets.size(); ++i) {
    if (!IsCount(buckets[i].count) || (i != 0 && buckets[i - 1].index >= buckets[i].index)) return false;
  }
  return buckets.empty() ||
         (buckets.front().index >= -kMaxNativeIndex && buckets.back().index <= kMaxNativeIndex);
}

bool IsNative(const NativeView& native) {
  return native.schema >= kNativeMinSchema && native.schema <= kNativeMaxSchema &&
         IsCount(native.zero_threshold) && IsCount(native.zero_count) && IsNativeSide(native.positive) &&
         IsNativeSide(native.negative);
}

// Counts of one histogram in two forms; those of weighted spans are sums of fractions, in another order each.
bool IsSameCount(double a, double b) { return std::abs(a - b) <= 1e-9 * std::max(a, b); }

}  // namespace

std::string_view ExpositionSkipName(ExpositionSkip reason) {
  switch (reason) {
    case ExpositionSkip::kFamilyConflict: return "family_conflict";
    case ExpositionSkip::kBadName: return "bad_name";
    case ExpositionSkip::kBadLabel: return "bad_label";
    case ExpositionSkip::kBadUtf8: return "bad_utf8";
    case ExpositionSkip::kDuplicate: return "duplicate";
    case ExpositionSkip::kBadValue: return "bad_value";
    case ExpositionSkip::kWrongType: return "wrong_type";
    case ExpositionSkip::kPageFull: return "page_full";
  }
  return "";
}

uint64_t ExpositionStats::skipped_total() const {
  return std::accumulate(skipped.begin(), skipped.end(), uint64_t{0});
}

void AppendNumber(std::string* out, double value) {
  char digits[32];
  // Whole numbers that a double holds exactly are cheaper, and easier to read, as integers.
  if (value >= 0 && value < 9007199254740992.0 && value == std::trunc(value) && !std::signbit(value)) {
    const auto [end, error] = std::to_chars(digits, digits + sizeof digits, static_cast<uint64_t>(value));
    out->append(digits, end);
    return;
  }
  if (std::isnan(value)) {
    *out += "NaN";
  } else if (std::isinf(value)) {
    *out += value > 0 ? "+Inf" : "-Inf";
  } else {
    const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
    out->append(digits, end);
  }
}

std::unique_ptr<PageWriter> PageWriter::New(ExpositionFormat format, const Options& options) {
  switch (format) {
    case ExpositionFormat::kText:
    case ExpositionFormat::kOpenMetrics: return NewTextWriter(format, options);
    case ExpositionFormat::kProtobuf: return NewProtobufWriter(options);
  }
  return nullptr;
}

bool PageWriter::Skip(ExpositionSkip reason) {
  ++stats_.skipped[static_cast<size_t>(reason)];
  return false;
}

// Takes the names of the family's samples, all or none.
bool PageWriter::Claim(const FamilyView& family) {
  const std::span<const std::string_view> suffixes = SampleSuffixes(family.type);
  for (const std::string_view suffix : suffixes) {
    if (claimed_.contains(std::string(family.name).append(suffix))) return false;
  }
  for (const std::string_view suffix : suffixes) claimed_.insert(std::string(family.name).append(suffix));
  return true;
}

void PageWriter::Family(const FamilyView& family) {
  if (family_open_) EndFamily();
  family_open_ = false;
  // Families of one producer are alike, and a set that grows is filled several times over.
  const size_t before = series_.size();
  series_.clear();
  series_.reserve(std::min(before, kMaxReserve));
  family_.name = family.name;
  family_.help = IsUtf8(family.help) ? family.help : std::string_view();
  family_.type = family.type;
  family_.unit.clear();
  const std::string_view unit = family.unit;
  if (IsMetricName(family.name) && !unit.empty() && family.name.size() > unit.size() + 1 &&
      family.name.ends_with(unit) && family.name[family.name.size() - unit.size() - 1] == '_') {
    family_.unit = unit;
  }
  skipping_ = true;
  if (!IsMetricName(family.name)) {
    skip_reason_ = ExpositionSkip::kBadName;
  } else if (!Claim(family)) {
    skip_reason_ = ExpositionSkip::kFamilyConflict;
  } else {
    skipping_ = false;
  }
}

// Checks a point's labels and that it is the first of its series, and leaves the labels in labels_.
bool PageWriter::OpenPoint(std::span<const Label> labels, MetricType type, std::string_view reserved) {
  if (skipping_) return Skip(skip_reason_);
  const bool plain = type == MetricType::kGauge && family_.type == MetricType::kUnknown;
  if (type != family_.type && !plain) return Skip(ExpositionSkip::kWrongType);
  if (bytes() >= options_.max_bytes) return Skip(ExpositionSkip::kPageFull);
  labels_.clear();
  uint64_t hash = 0;
  for (const Label& label : labels) {
    if (label.value.empty()) continue;
    // The points of a family mostly have the same names in the same order: those have been looked at.
    const size_t place = labels_.size();
    if (place == names_.size() || names_[place].text != label.name) {
      names_.resize(place);
      if (!IsLabelName(label.name)) return Skip(ExpositionSkip::kBadLabel);
      for (const Label& other : labels_) {
        if (other.name == label.name) return Skip(ExpositionSkip::kBadLabel);
      }
      names_.push_back({std::string(label.name), XXH3_64bits(label.name.data(), label.name.size())});
    }
    if (label.name == reserved) return Skip(ExpositionSkip::kBadLabel);
    if (!IsUtf8(label.value)) return Skip(ExpositionSkip::kBadUtf8);
    labels_.push_back(label);
    // A sum, because the order of labels means nothing.
    hash += Mix64(XXH3_64bits_withSeed(label.value.data(), label.value.size(), names_[place].hash));
  }
  if (!series_.insert(hash).second) return Skip(ExpositionSkip::kDuplicate);
  if (!family_open_) {
    family_open_ = true;
    ++stats_.families;
    BeginFamily();
  }
  ++stats_.series;
  return true;
}

void PageWriter::Counter(std::span<const Label> labels, double value, uint64_t created_ns,
                         const ExemplarView* exemplar) {
  if (!IsCount(value)) {
    Skip(ExpositionSkip::kBadValue);
    return;
  }
  if (!OpenPoint(labels, MetricType::kCounter, "")) return;
  PutCounter(value, created_ns, exemplar);
  Spill();
}

void PageWriter::Gauge(std::span<const Label> labels, double value) {
  if (!OpenPoint(labels, MetricType::kGauge, "")) return;
  PutGauge(value);
  Spill();
}

void PageWriter::Histogram(std::span<const Label> labels, const HistogramView& histogram,
                           uint64_t created_ns) {
  bool rising = histogram.counts.empty() ? histogram.bounds.empty() && histogram.native != nullptr
                                         : histogram.counts.size() == histogram.bounds.size() + 1;
  for (size_t i = 0; i < histogram.bounds.size(); ++i) {
    rising &= std::isfinite(histogram.bounds[i]) && (i == 0 || histogram.bounds[i - 1] < histogram.bounds[i]);
  }
  rising &= std::all_of(histogram.counts.begin(), histogram.counts.end(), IsCount);
  const NativeView* native = histogram.native;
  if (native != nullptr) {
    rising &=
        IsNative(*native) && (histogram.counts.empty() || IsSameCount(histogram.count(), native->count()));
  }
  if (!rising) {
    Skip(ExpositionSkip::kBadValue);
    return;
  }
  if (!OpenPoint(labels, MetricType::kHistogram, "le")) return;

  HistogramView checked = histogram;
  // OpenMetrics: no sum beside negative bounds, and no sum that is negative or no number.
  const bool negative = (!histogram.bounds.empty() && histogram.bounds.front() < 0) ||
                        (native != nullptr && !native->negative.empty());
  const bool classic_sum = histogram.has_sum && IsCount(histogram.sum) && !negative;
  std::vector<const ExemplarView*> exemplars;
  if (!histogram.exemplars.empty()) {
    exemplars.assign(histogram.counts.size(), nullptr);
    for (size_t i = 0; i < std::min(exemplars.size(), histogram.exemplars.size()); ++i) {
      const ExemplarView* exemplar = histogram.exemplars[i];
      if (exemplar == nullptr) continue;
      const bool inside = (i == histogram.bounds.size() || exemplar->value <= histogram.bounds[i]) &&
                          (i == 0 || exemplar->value > histogram.bounds[i - 1]);
      if (inside) {
        exemplars[i] = exemplar;
      } else {
        ++stats_.exemplars_dropped;
      }
    }
    checked.exemplars = exemplars;
  }
  PutHistogram(checked, classic_sum, created_ns);
  Spill();
}

void PageWriter::Summary(std::span<const Label> labels, const SummaryView& summary, uint64_t created_ns) {
  bool good = summary.quantiles.size() == summary.values.size();
  for (size_t i = 0; good && i < summary.quantiles.size(); ++i) {
    const double quantile = summary.quantiles[i];
    good = quantile >= 0 && quantile <= 1 && (i == 0 || summary.quantiles[i - 1] < quantile) &&
           !(summary.values[i] < 0);
  }
  if (!good) {
    Skip(ExpositionSkip::kBadValue);
    return;
  }
  if (!OpenPoint(labels, MetricType::kSummary, "quantile")) return;
  PutSummary(summary, created_ns);
  Spill();
}

void PageWriter::Finish() {
  if (family_open_) EndFamily();
  family_open_ = false;
  skipping_ = true;
  PutEnd();
}

std::vector<std::string> PageWriter::TakeChunks() {
  if (!out_.empty()) chunks_.push_back(std::move(out_));
  out_.clear();
  return std::exchange(chunks_, {});
}

void PageWriter::Spill() {
  if (out_.size() < kChunkBytes) return;
  done_bytes_ += out_.size();
  chunks_.push_back(std::move(out_));
  out_.clear();
  out_.reserve(kChunkBytes + kChunkBytes / 8);
}

void PageWriter::Patch(size_t at, std::string_view bytes) {
  size_t start = done_bytes_;
  std::string* piece = &out_;
  for (size_t i = chunks_.size(); at < start; --i) {
    piece = &chunks_[i - 1];
    start -= piece->size();
  }
  std::copy(bytes.begin(), bytes.end(), piece->begin() + static_cast<std::ptrdiff_t>(at - start));
}

bool PageWriter::ExemplarLabels(const ExemplarView& exemplar, std::vector<Label>* out) {
  out->clear();
  size_t runes = 0;
  const auto add = [&](std::string_view name, std::string_view value) {
    out->push_back({name, value});
    runes += Runes(name) + Runes(value);
  };
  const ExemplarNames& names = exemplar.names;
  if (exemplar.trace.valid() && Runes(names.trace_id) + 32 <= kExemplarRunes && IsLabelName(names.trace_id)) {
    WriteHex(exemplar.trace, ids_.data());
    add(names.trace_id, {ids_.data(), 32});
  }
  if (exemplar.span != 0 && runes + Runes(names.span_id) + 16 <= kExemplarRunes &&
      IsLabelName(names.span_id) && (out->empty() || names.span_id != names.trace_id)) {
    WriteHex(exemplar.span, ids_.data() + 32);
    add(names.span_id, {ids_.data() + 32, 16});
  }
  for (const Label& label : exemplar.extra) {
    if (label.value.empty() || !IsLabelName(label.name) || !IsUtf8(label.value)) continue;
    if (runes + Runes(label.name) + Runes(label.value) > kExemplarRunes) continue;
    const bool taken =
        std::any_of(out->begin(), out->end(), [&](const Label& l) { return l.name == label.name; });
    if (!taken) add(label.name, label.value);
  }
  // One without any label points nowhere.
  if (out->empty()) {
    ++stats_.exemplars_dropped;
    return false;
  }
  ++stats_.exemplars;
  return true;
}

}  // namespace braid::exporters
