#include "gateway/telemetry/readings.h"

#include <string>

namespace braid::gateway {

namespace {

prometheus::ClientMetric& AddMetric(prometheus::MetricFamily* family, std::span<const Label> labels) {
  prometheus::ClientMetric& metric = family->metric.emplace_back();
  for (const Label& label : labels)
    metric.label.push_back({std::string(label.name), std::string(label.value)});
  return metric;
}

}  // namespace

Readings::Family& Readings::Family::AddHistogram(std::initializer_list<Label> labels,
                                                 std::span<const double> bounds,
                                                 std::span<const uint64_t> counts, double sum) {
  prometheus::ClientMetric& metric = AddMetric(family_, std::span(labels.begin(), labels.size()));
  uint64_t cumulative = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    cumulative += counts[i];
    if (i < bounds.size()) metric.histogram.bucket.push_back({cumulative, bounds[i]});
  }
  metric.histogram.sample_count = cumulative;
  metric.histogram.sample_sum = sum;
  return *this;
}

Readings::Family& Readings::Family::Add(std::span<const Label> labels, double value) {
  prometheus::ClientMetric& metric = AddMetric(family_, labels);
  if (family_->type == prometheus::MetricType::Counter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  return *this;
}

Readings::Family Readings::Open(std::string_view name, std::string_view help, prometheus::MetricType type) {
  for (prometheus::MetricFamily& family : families_) {
    if (family.name == name && family.type == type) return Family(&family);
  }
  prometheus::MetricFamily& family = families_.emplace_back();
  family.name = name;
  family.help = help;
  family.type = type;
  return Family(&family);
}

Readings::Family Readings::Counter(std::string_view name, std::string_view help) {
  return Open(name, help, prometheus::MetricType::Counter);
}

Readings::Family Readings::Gauge(std::string_view name, std::string_view help) {
  return Open(name, help, prometheus::MetricType::Gauge);
}

Readings::Family Readings::Histogram(std::string_view name, std::string_view help) {
  return Open(name, help, prometheus::MetricType::Histogram);
}

std::vector<prometheus::MetricFamily> ReadingsCollectable::Collect() const {
  Readings readings;
  read_(readings);
  return readings.Take();
}

}  // namespace braid::gateway
