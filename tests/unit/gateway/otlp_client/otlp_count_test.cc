#include "gateway/otlp_client/otlp_count.h"

#include <gtest/gtest.h>

#include <string>

#include "base/wire.h"

namespace braid::gateway {
namespace {

// `resources` x `scopes` x `items`, each item with the given content.
std::string Request(int resources, int scopes, int items, const std::string& item) {
  std::string out;
  wire::Writer w(&out);
  for (int r = 0; r < resources; ++r) {
    const size_t resource = w.Begin(1);
    for (int s = 0; s < scopes; ++s) {
      const size_t scope = w.Begin(2);
      for (int i = 0; i < items; ++i) w.Bytes(2, item);
      w.End(scope);
    }
    w.End(resource);
  }
  return out;
}

// A Metric with a histogram and a gauge (which no SDK would send together) of two and three points.
std::string Metric() {
  std::string out;
  wire::Writer w(&out);
  w.Bytes(1, "m");
  for (const auto& [field, points] : {std::pair(9u, 2), std::pair(5u, 3)}) {
    const size_t data = w.Begin(field);
    for (int i = 0; i < points; ++i) w.Bytes(1, "");
    w.End(data);
  }
  return out;
}

// Scenario: requests of several resources and scopes, with unknown fields, and an empty one.
// Guarantees: every item is counted once: spans and logs by record, metrics by data point.
TEST(OtlpCountTest, CountsItems) {
  std::string request = Request(2, 3, 4, "");
  wire::Writer(&request).Varint(99, 1);
  EXPECT_EQ(CountItems(Signal::kTraces, request).value(), 24u);
  EXPECT_EQ(CountItems(Signal::kLogs, request).value(), 24u);
  EXPECT_EQ(CountItems(Signal::kMetrics, Request(1, 2, 3, Metric())).value(), 30u);
  EXPECT_EQ(CountItems(Signal::kTraces, "").value(), 0u);
}

// Scenario: every proper prefix of a request, cut within its first resource.
// Guarantees: none is taken for a request.
TEST(OtlpCountTest, RefusesTruncatedRequests) {
  const std::string request = Request(1, 1, 2, "abc");
  for (size_t size = 1; size < request.size(); ++size) {
    EXPECT_FALSE(CountItems(Signal::kTraces, request.substr(0, size)).ok()) << size;
  }
}

}  // namespace
}  // namespace braid::gateway
