#include "gateway/telemetry/readings.h"

#include <string>

namespace braid::gateway {

Readings::Family& Readings::Family::Add(std::span<const Label> labels, double value) {
  prometheus::ClientMetric& metric = family_->metric.emplace_back();
  for (const Label& label : labels)
    metric.label.push_back({std::string(label.name), std::string(label.value)});
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

std::vector<prometheus::MetricFamily> ReadingsCollectable::Collect() const {
  Readings readings;
  read_(readings);
  return readings.Take();
}

}  // namespace braid::gateway
