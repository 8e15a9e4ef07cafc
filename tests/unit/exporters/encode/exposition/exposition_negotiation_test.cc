#include "exporters/encode/exposition_negotiation.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace braid::exporters {
namespace {

// Scenario: the Accept headers of Prometheus 2 and 3, of browsers and curl, and broken ones.
// Guarantees: the liked format among those we write; text 0.0.4 when there is none.
TEST(ExpositionNegotiationTest, PicksWhatTheScraperLikesBest) {
  using enum ExpositionFormat;
  struct Case {
    std::string accept;
    ExpositionFormat format;
    std::string version;  // somewhere in the content type
  };
  const std::string protobuf =
      "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
  const std::vector<Case> cases = {
      {"", kText, "0.0.4"},
      {"*/*", kText, "0.0.4"},
      {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", kText, "0.0.4"},
      {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
       "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
       kOpenMetrics, "1.0.0"},
      {protobuf + ";q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
                  "application/openmetrics-text;version=0.0.1;q=0.4,text/"
                  "plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
                  "text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
       kProtobuf, "delimited"},
      {"application/openmetrics-text; version=0.0.1", kOpenMetrics, "0.0.1"},
      {"application/openmetrics-text", kOpenMetrics, "1.0.0"},
      {"application/openmetrics-text;version=2.0.0", kText, "0.0.4"},
      {"application/openmetrics-text;version=2.0.0,application/openmetrics-text;version=1.0.0;q=0.1",
       kOpenMetrics, "1.0.0"},
      {"text/plain;q=0.4, Application/OpenMetrics-Text ; Version=\"1.0.0\" ; Q=0.5", kOpenMetrics, "1.0.0"},
      {"text/plain;q=0.5, application/openmetrics-text;q=0.5", kText, "0.0.4"},
      {"application/openmetrics-text;q=0, text/plain;q=0.1", kText, "0.0.4"},
      {"application/openmetrics-text;q=0", kText, "0.0.4"},
      {"application/vnd.google.protobuf", kText, "0.0.4"},
      {"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text", kText,
       "0.0.4"},
      {"application/*", kOpenMetrics, "1.0.0"},
      {"text/plain;version=9", kText, "0.0.4"},
      {"application/openmetrics-text;q=much, text/plain;q=0.2", kText, "0.0.4"},
      {"application/openmetrics-text;q=nan", kOpenMetrics, "1.0.0"},
      {",,;;,=;q=\"", kText, "0.0.4"},
      {"a/b;x=\"\\", kText, "0.0.4"},
  };
  for (const Case& c : cases) {
    const NegotiatedExposition got = NegotiateExposition(c.accept);
    EXPECT_EQ(got.format, c.format) << c.accept;
    EXPECT_NE(got.content_type.find(c.version), std::string_view::npos)
        << c.accept << " -> " << got.content_type;
  }
}

}  // namespace
}  // namespace braid::exporters
