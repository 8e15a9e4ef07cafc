#pragma once

#include <string>
#include <string_view>

#include "correlate/model/exposition.h"

namespace braid::correlate {

// The Prometheus name of an OTLP metric (OpenTelemetry specification,
// compatibility/prometheus_and_openmetrics.md, "Metric Metadata"): words joined by underscores, the unit
// spelt out at the end, "ratio" for gauges of unit 1.
struct MetricName {
  std::string name;  // without _total; empty if the metric's name has no letter or digit
  std::string unit;  // a suffix of `name`, or empty
};
MetricName PrometheusMetricName(std::string_view name, std::string_view unit, MetricType type);

// The label name of an attribute key: other characters than letters, digits and '_' become '_', and a
// leading digit or underscore gets "key" before it.
std::string PrometheusLabelName(std::string_view key);

}  // namespace braid::correlate
