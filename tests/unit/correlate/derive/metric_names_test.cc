#include "correlate/derive/metric_names.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace braid::correlate {
namespace {

// Scenario: names and units of the specification's examples, and odd ones.
// Guarantees: the name and unit are those that OpenTelemetry's own exporters produce.
TEST(MetricNamesTest, FollowsTheSpecification) {
  struct Case {
    std::string name, unit;
    MetricType type;
    std::string expected, expected_unit;
  };
  const std::vector<Case> cases = {
      {"http.server.request.duration", "s", MetricType::kHistogram, "http_server_request_duration_seconds",
       "seconds"},
      {"http.server.active_requests", "{request}", MetricType::kGauge, "http_server_active_requests", ""},
      {"system.io", "By", MetricType::kCounter, "system_io_bytes", "bytes"},
      {"system.network.io", "By/s", MetricType::kGauge, "system_network_io_bytes_per_second",
       "bytes_per_second"},
      {"cache.hit", "1", MetricType::kGauge, "cache_hit_ratio", ""},
      {"cache.hit.ratio", "1", MetricType::kGauge, "cache_hit_ratio", ""},
      {"orders", "1", MetricType::kCounter, "orders", ""},
      {"orders.total", "", MetricType::kCounter, "orders", ""},
      {"orders.total", "", MetricType::kGauge, "orders_total", ""},
      {"request_duration_seconds", "s", MetricType::kHistogram, "request_duration_seconds", "seconds"},
      {"seconds", "s", MetricType::kGauge, "seconds", ""},
      {"cpu.usage", "%", MetricType::kGauge, "cpu_usage_percent", "percent"},
      {"speed", "m/s", MetricType::kGauge, "speed_meters_per_second", "meters_per_second"},
      {"a..b--c__d", "", MetricType::kGauge, "a_b_c_d", ""},
      {"3xx", "", MetricType::kCounter, "_3xx", ""},
      {"total", "", MetricType::kCounter, "total", ""},
      {"weird", "foo bar", MetricType::kGauge, "weird_foo_bar", "foo_bar"},
      {"job:rate", "", MetricType::kGauge, "job:rate", ""},
      {"...", "s", MetricType::kGauge, "", ""},
      {"\xc3\xa9t\xc3\xa9", "", MetricType::kGauge, "t", ""},
  };
  for (const Case& c : cases) {
    const MetricName got = PrometheusMetricName(c.name, c.unit, c.type);
    EXPECT_EQ(got.name, c.expected) << c.name;
    EXPECT_EQ(got.unit, c.expected_unit) << c.name;
  }
}

// Scenario: attribute keys with characters that labels cannot have.
// Guarantees: the result is always a label name that is not reserved.
TEST(MetricNamesTest, LabelNames) {
  EXPECT_EQ(PrometheusLabelName("http.status_code"), "http_status_code");
  EXPECT_EQ(PrometheusLabelName("3d"), "key_3d");
  EXPECT_EQ(PrometheusLabelName("_x"), "key_x");
  EXPECT_EQ(PrometheusLabelName("__name__"), "key__name__");
  EXPECT_EQ(PrometheusLabelName("k8s/pod-name"), "k8s_pod_name");
  EXPECT_EQ(PrometheusLabelName(""), "key_");
}

}  // namespace
}  // namespace braid::correlate
