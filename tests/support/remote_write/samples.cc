#include "tests/support/remote_write/samples.h"

#include <bit>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

namespace braid::test {
namespace {

namespace pb = oracle::prometheus;
using Labels = std::map<std::string, std::string>;

constexpr int64_t kTime = 1'700'000'000'000;

class Generator {
 public:
  explicit Generator(std::mt19937_64& random) : random_(random) {}

  pb::WriteRequest1 Make() {
    for (size_t n = Below(6); n > 0; --n) AddFamily();
    if (OneIn(4)) Shuffle();
    if (OneIn(3)) {
      for (size_t n = 1 + Below(3); n > 0; --n) {
        pb::MetricMetadata1* metadata = request_.add_metadata();
        metadata->set_type(static_cast<uint32_t>(Below(9)));
        metadata->set_metric_family_name(Name());
        if (OneIn(2)) metadata->set_help("Helps.");
        if (OneIn(2)) metadata->set_unit("seconds");
      }
    }
    return std::move(request_);
  }

 private:
  uint64_t Below(uint64_t limit) { return random_() % limit; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

  std::string Name() {
    static constexpr const char* kNames[] = {"a",         "b_seconds", "c_total", "d_bucket",
                                             "e_created", "f.g",       "h_info"};
    return kNames[Below(std::size(kNames))];
  }

  Labels Base() {
    Labels labels;
    if (!OneIn(8)) labels["job"] = OneIn(3) ? "space/name" : "api";
    if (!OneIn(8)) labels["instance"] = OneIn(2) ? "a:1" : "b:2";
    if (OneIn(2)) labels["path"] = OneIn(2) ? "/" : "/cart";
    if (OneIn(8)) labels["otel_scope_name"] = "scope";
    if (OneIn(16)) labels["le"] = "1";
    return labels;
  }

  pb::TimeSeries1* Series(const std::string& name, Labels labels) {
    labels["__name__"] = name;
    pb::TimeSeries1* series = request_.add_timeseries();
    for (const auto& [key, value] : labels) {
      pb::Label* label = series->add_labels();
      label->set_name(key);
      label->set_value(value);
    }
    if (OneIn(64)) series->mutable_labels()->SwapElements(0, series->labels_size() - 1);
    if (OneIn(64)) {
      const pb::Label last = series->labels(series->labels_size() - 1);
      *series->add_labels() = last;
    }
    if (OneIn(64)) series->mutable_labels(0)->set_value("\xff");
    return series;
  }

  void AddSample(pb::TimeSeries1* series, double value, int64_t time) {
    pb::Sample* sample = series->add_samples();
    sample->set_value(value);
    sample->set_timestamp(OneIn(64) ? -5 : time);
    if (OneIn(8)) AddExemplar(series, value, time);
  }

  void AddExemplar(pb::TimeSeries1* series, double value, int64_t time) {
    pb::Exemplar1* exemplar = series->add_exemplars();
    exemplar->set_value(value);
    exemplar->set_timestamp(time);
    const auto add = [&](const char* name, std::string text) {
      exemplar->add_labels()->set_name(name);
      exemplar->mutable_labels(exemplar->labels_size() - 1)->set_value(std::move(text));
    };
    if (!OneIn(4)) add("trace_id", OneIn(4) ? "beef" : "00112233445566778899aabbccddeeff");
    if (!OneIn(4)) add("span_id", "0011223344556677");
    if (OneIn(4)) add("user", "x");
  }

  double Value() {
    switch (Below(5)) {
      case 0: return std::bit_cast<double>(uint64_t{0x7ff0000000000002});
      case 1: return std::nan("");
      case 2: return 0.1;
      default: return static_cast<double>(Below(1000));
    }
  }

  void AddFamily() {
    const Labels labels = Base();
    const std::string name = Name();
    const int64_t time = kTime + static_cast<int64_t>(Below(3)) * 15'000;
    switch (Below(6)) {
      case 0: {
        pb::TimeSeries1* series = Series(name, labels);
        for (size_t n = Below(4); n > 0; --n) AddSample(series, Value(), time + static_cast<int64_t>(n));
        break;
      }
      case 1: AddHistogram(name, labels, time); break;
      case 2: AddSummary(name, labels, time); break;
      case 3: {
        pb::TimeSeries1* series = Series(name, labels);
        *series->add_histograms() = RandomNativeHistogram(random_);
        if (OneIn(4)) *series->add_histograms() = RandomNativeHistogram(random_);
        if (OneIn(4)) AddExemplar(series, 1, time);
        if (OneIn(32)) AddSample(series, 1, time);
        break;
      }
      case 4: AddSample(Series("c_total", labels), static_cast<double>(Below(100)), time); break;
      case 5: AddExemplar(Series(name, labels), 1, time); break;
    }
    if (OneIn(8)) AddSample(Series(name + "_created", labels), 1.7e9 - 5.5, time);
  }

  void AddHistogram(const std::string& name, const Labels& labels, int64_t time) {
    const bool stale = OneIn(8);
    const auto value = [&](double v) {
      return stale ? std::bit_cast<double>(uint64_t{0x7ff0000000000002}) : v;
    };
    double count = 0;
    for (const char* bound : {"0.1", "1", "5", "+Inf"}) {
      if (OneIn(16)) continue;
      count += static_cast<double>(Below(5));
      Labels with = labels;
      with["le"] = bound;
      AddSample(Series(name + "_bucket", with), value(OneIn(32) ? 0.5 : count), time);
    }
    if (!OneIn(16)) AddSample(Series(name + "_sum", labels), value(12.5), time);
    if (!OneIn(16)) AddSample(Series(name + "_count", labels), value(count), time + (OneIn(32) ? 1 : 0));
  }

  void AddSummary(const std::string& name, const Labels& labels, int64_t time) {
    for (const char* quantile : {"0.5", "0.99"}) {
      Labels with = labels;
      with["quantile"] = quantile;
      AddSample(Series(name, with), OneIn(16) ? -1 : 0.25, time);
    }
    if (!OneIn(8)) AddSample(Series(name + "_sum", labels), 3.5, time);
    if (!OneIn(8)) AddSample(Series(name + "_count", labels), 7, time);
  }

  void Shuffle() {
    for (int i = request_.timeseries_size() - 1; i > 0; --i) {
      request_.mutable_timeseries()->SwapElements(i, static_cast<int>(Below(static_cast<uint64_t>(i) + 1)));
    }
  }

  std::mt19937_64& random_;
  pb::WriteRequest1 request_;
};

}  // namespace

pb::Histogram RandomNativeHistogram(std::mt19937_64& random) {
  const auto below = [&](uint64_t limit) { return random() % limit; };
  pb::Histogram h;
  h.set_timestamp(kTime + static_cast<int64_t>(below(3)) * 15'000);
  const bool custom = below(5) == 0;
  const bool is_float = below(4) == 0;
  h.set_schema(custom ? -53 : static_cast<int32_t>(below(13)) - 4);
  uint64_t total = 0;
  const auto buckets = [&](auto* spans, auto* deltas, auto* counts, int32_t first, size_t limit) {
    int64_t last = 0;
    size_t left = limit;
    for (size_t s = 0; s < 1 + below(3) && left > 0; ++s) {
      pb::BucketSpan* span = spans->Add();
      const auto gap = static_cast<int32_t>(s == 0 ? 0 : 1 + below(3));
      if (static_cast<size_t>(gap) >= left) {
        spans->RemoveLast();
        break;
      }
      left -= static_cast<size_t>(gap);
      span->set_offset(s == 0 ? first : gap);
      const size_t length = 1 + below(std::min<size_t>(left, 4));
      span->set_length(static_cast<uint32_t>(length));
      left -= length;
      for (size_t i = 0; i < length; ++i) {
        const auto count = static_cast<int64_t>(below(6));
        total += static_cast<uint64_t>(count);
        if (is_float) {
          counts->Add(static_cast<double>(count));
        } else {
          deltas->Add(count - std::exchange(last, count));
        }
      }
    }
  };
  if (custom) {
    const size_t bounds = below(5);
    for (size_t i = 0; i < bounds; ++i) h.add_custom_values(static_cast<double>(i) * 0.5);
    buckets(h.mutable_positive_spans(), h.mutable_positive_deltas(), h.mutable_positive_counts(), 0,
            bounds + 1);
  } else {
    const auto first = static_cast<int32_t>(below(41)) - 20;
    buckets(h.mutable_positive_spans(), h.mutable_positive_deltas(), h.mutable_positive_counts(), first, 100);
    if (below(2) == 0) {
      buckets(h.mutable_negative_spans(), h.mutable_negative_deltas(), h.mutable_negative_counts(), -first,
              100);
    }
    const uint64_t zero = below(4);
    total += zero;
    if (is_float) {
      h.set_zero_count_float(static_cast<double>(zero));
    } else {
      h.set_zero_count_int(zero);
    }
    if (below(2) == 0) h.set_zero_threshold(1e-9);
  }
  if (below(32) == 0) ++total;
  if (is_float) {
    h.set_count_float(static_cast<double>(total) + (below(16) == 0 ? 0.5 : 0));
  } else {
    h.set_count_int(total);
  }
  h.set_sum(below(16) == 0 ? std::bit_cast<double>(uint64_t{0x7ff0000000000002}) : 1.5);
  h.set_reset_hint(below(32) == 0 ? 3 : static_cast<uint32_t>(below(3)));
  return h;
}

pb::WriteRequest2 ToVersion2(const pb::WriteRequest1& request) {
  pb::WriteRequest2 out;
  std::map<std::string, uint32_t> symbols;
  const auto symbol = [&](const std::string& text) {
    const auto [at, is_new] = symbols.emplace(text, static_cast<uint32_t>(symbols.size()));
    if (is_new) out.add_symbols(text);
    return at->second;
  };
  symbol("");
  for (const pb::TimeSeries1& from : request.timeseries()) {
    pb::TimeSeries2* to = out.add_timeseries();
    for (const pb::Label& label : from.labels()) {
      to->add_labels_refs(symbol(label.name()));
      to->add_labels_refs(symbol(label.value()));
    }
    *to->mutable_samples() = from.samples();
    *to->mutable_histograms() = from.histograms();
    for (const pb::Exemplar1& exemplar : from.exemplars()) {
      pb::Exemplar2* copy = to->add_exemplars();
      copy->set_value(exemplar.value());
      copy->set_timestamp(exemplar.timestamp());
      for (const pb::Label& label : exemplar.labels()) {
        copy->add_labels_refs(symbol(label.name()));
        copy->add_labels_refs(symbol(label.value()));
      }
    }
  }
  return out;
}

std::string RandomWriteRequest(ingest::RemoteWriteVersion version, std::mt19937_64& random) {
  const pb::WriteRequest1 request = Generator(random).Make();
  if (version == ingest::RemoteWriteVersion::k1) return request.SerializeAsString();
  pb::WriteRequest2 two = ToVersion2(request);
  for (pb::TimeSeries2& series : *two.mutable_timeseries()) {
    if (random() % 4 == 0) continue;
    series.mutable_metadata()->set_type(static_cast<uint32_t>(random() % 9));
    if (random() % 2 == 0) series.mutable_metadata()->set_help_ref(static_cast<uint32_t>(random() % 4));
    if (random() % 64 == 0) series.mutable_metadata()->set_unit_ref(1'000);
    if (random() % 64 == 0) series.add_labels_refs(0);
    for (pb::Sample& sample : *series.mutable_samples()) {
      if (random() % 4 == 0) sample.set_start_timestamp(kTime - 1'000);
    }
  }
  return two.SerializeAsString();
}

}  // namespace braid::test
