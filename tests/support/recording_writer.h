#pragma once

#include <map>
#include <string>
#include <vector>

#include "correlate/model/exposition.h"

namespace braid::test {

// Keeps what a producer writes, by "family{label=value,...}" with labels in order of name.
class RecordingWriter : public ExpositionWriter {
 public:
  struct KeptExemplar {
    double value = 0;
    uint64_t time_ns = 0;
    TraceId trace;
    uint64_t span = 0;
    std::map<std::string, std::string> extra;
    std::string trace_label, span_label;
  };
  struct Point {
    MetricType type = MetricType::kUnknown;
    double value = 0;
    uint64_t created_ns = 0;
    std::vector<double> bounds;
    std::vector<double> counts;
    double sum = 0;
    bool has_sum = false;
    uint64_t count = 0;
    bool native = false;
    std::vector<NativeBucket> positive, negative;  // of a native histogram
    int32_t schema = 0;
    double zero_count = 0;
    double zero_threshold = 0;
    std::vector<KeptExemplar> native_exemplars;
    std::vector<double> quantiles, values;
    std::map<size_t, KeptExemplar> exemplars;  // by bucket; of a counter at 0
  };
  struct FamilyInfo {
    MetricType type = MetricType::kUnknown;
    std::string help, unit;
  };

  void Family(const FamilyView& family) override {
    name_ = family.name;
    families[name_] = {family.type, std::string(family.help), std::string(family.unit)};
  }
  void Counter(std::span<const Label> labels, double value, uint64_t created_ns,
               const ExemplarView* e) override {
    Point& point = Add(labels, MetricType::kCounter);
    point.value = value;
    point.created_ns = created_ns;
    if (e != nullptr) point.exemplars[0] = Keep(*e);
  }
  void Gauge(std::span<const Label> labels, double value) override {
    Add(labels, MetricType::kGauge).value = value;
  }
  void Histogram(std::span<const Label> labels, const HistogramView& h, uint64_t created_ns) override {
    Point& point = Add(labels, MetricType::kHistogram);
    point.bounds.assign(h.bounds.begin(), h.bounds.end());
    point.counts.assign(h.counts.begin(), h.counts.end());
    if (h.native != nullptr) {
      point.native = true;
      point.schema = h.native->schema;
      point.zero_count = h.native->zero_count;
      point.zero_threshold = h.native->zero_threshold;
      for (const ExemplarView& e : h.native->exemplars) point.native_exemplars.push_back(Keep(e));
      point.positive.assign(h.native->positive.begin(), h.native->positive.end());
      point.negative.assign(h.native->negative.begin(), h.native->negative.end());
    }
    point.sum = h.sum;
    point.has_sum = h.has_sum;
    point.created_ns = created_ns;
    for (size_t i = 0; i < h.exemplars.size(); ++i) {
      if (h.exemplars[i] != nullptr) point.exemplars[i] = Keep(*h.exemplars[i]);
    }
  }
  void Summary(std::span<const Label> labels, const SummaryView& s, uint64_t created_ns) override {
    Point& point = Add(labels, MetricType::kSummary);
    point.quantiles.assign(s.quantiles.begin(), s.quantiles.end());
    point.values.assign(s.values.begin(), s.values.end());
    point.sum = s.sum;
    point.count = s.count;
    point.created_ns = created_ns;
  }

  std::map<std::string, Point> points;
  std::map<std::string, FamilyInfo> families;
  std::vector<std::string> order;  // of the points
  int repeated = 0;                // series that were written twice

 private:
  static KeptExemplar Keep(const ExemplarView& e) {
    KeptExemplar kept{
        e.value, e.time_ns, e.trace, e.span, {}, std::string(e.names.trace_id), std::string(e.names.span_id)};
    for (const Label& label : e.extra) kept.extra.emplace(label.name, label.value);
    return kept;
  }

  Point& Add(std::span<const Label> labels, MetricType type) {
    std::map<std::string, std::string> sorted;
    for (const Label& label : labels) sorted.emplace(label.name, label.value);
    std::string key = name_ + "{";
    for (const auto& [name, value] : sorted) {
      if (key.back() != '{') key += ',';
      key += name + "=" + value;
    }
    key += "}";
    if (points.contains(key)) ++repeated;
    order.push_back(key);
    Point& point = points[key];
    point.type = type;
    return point;
  }

  std::string name_;
};

}  // namespace braid::test
