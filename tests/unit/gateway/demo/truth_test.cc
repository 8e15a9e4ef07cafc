#include "gateway/demo/truth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <vector>

namespace braid::gateway::demo {
namespace {

using ::testing::ElementsAreArray;

constexpr uint64_t kMs = 1'000'000;

// Bounds of latency buckets as docs/metrics.md lists them.
std::vector<uint64_t> DocumentedBounds() {
  std::vector<uint64_t> bounds = {2,   4,   6,    8,    10,   50,   100,   200,
                                  400, 800, 1000, 1400, 2000, 5000, 10000, 15000};  // otel
  for (int n = 0; n <= 13; ++n) bounds.push_back(uint64_t{2} << n);                 // tempo
  for (int n = 0; n <= 7; ++n) bounds.push_back(uint64_t{100} << n);                // service graph
  std::sort(bounds.begin(), bounds.end());
  bounds.erase(std::unique(bounds.begin(), bounds.end()), bounds.end());
  return bounds;
}

uint64_t AtMost(const Durations& durations, uint64_t ms) {
  const auto* bound = std::find(Durations::kBoundsMs.begin(), Durations::kBoundsMs.end(), ms);
  EXPECT_NE(bound, Durations::kBoundsMs.end()) << ms;
  return durations.AtMost()[static_cast<size_t>(bound - Durations::kBoundsMs.begin())];
}

// Scenario: the bounds of every latency bucket that Braid has.
// Guarantees: durations are counted at each of them, and nowhere else.
TEST(DurationsTest, HasEveryBound) {
  EXPECT_THAT(Durations::kBoundsMs, ElementsAreArray(DocumentedBounds()));
}

// Scenario: durations of just a bound, of a nanosecond more and less, of nothing, and beyond all bounds.
// Guarantees: counts are cumulative, a bound is part of its bucket, and what is beyond all is in the sum
// only.
TEST(DurationsTest, CountsAtBounds) {
  Durations durations;
  durations.Add(0);
  durations.Add(100 * kMs - 1);
  durations.Add(100 * kMs);
  durations.Add(100 * kMs + 1);
  durations.Add(20'000 * kMs);
  EXPECT_EQ(AtMost(durations, 2), 1u);
  EXPECT_EQ(AtMost(durations, 64), 1u);
  EXPECT_EQ(AtMost(durations, 100), 3u);
  EXPECT_EQ(AtMost(durations, 128), 4u);
  EXPECT_EQ(AtMost(durations, 16'384), 4u);
  EXPECT_EQ(durations.sum_ns(), 20'300 * kMs);
}

// Scenario: an operation and a call, as JSON.
// Guarantees: there is a count for each of bounds_ms, of the operation and of both sides of the call.
TEST(TruthTest, WritesDurations) {
  Truth truth;
  truth.operations[{"cart", "GET /cart", SpanKind::kServer}].durations.Add(5 * kMs);
  Truth::Edge& edge = truth.edges[{"frontend", "cart", "http"}];
  edge.client.Add(7 * kMs);
  edge.server.Add(5 * kMs);
  const auto json = boost::json::parse("{" + truth.ToJsonMembers() + "}");
  const auto& bounds = json.at("bounds_ms").as_array();
  ASSERT_EQ(bounds.size(), Durations::kBoundsMs.size());
  const auto count = [&](const boost::json::value& of, int64_t ms) {
    const auto at = std::find(bounds.begin(), bounds.end(), boost::json::value(static_cast<uint64_t>(ms)));
    EXPECT_NE(at, bounds.end());
    return of.at("at_most").as_array().at(static_cast<size_t>(at - bounds.begin())).to_number<int64_t>();
  };
  const auto& operation = json.at("operations").as_array().at(0);
  EXPECT_EQ(operation.at("duration_ns").to_number<uint64_t>(), 5 * kMs);
  EXPECT_EQ(count(operation, 4), 0);
  EXPECT_EQ(count(operation, 6), 1);
  const auto& call = json.at("edges").as_array().at(0);
  EXPECT_EQ(count(call.at("server_time"), 6), 1);
  EXPECT_EQ(count(call.at("client_time"), 6), 0);
  EXPECT_EQ(count(call.at("client_time"), 8), 1);
  EXPECT_EQ(call.at("client_time").at("duration_ns").to_number<uint64_t>(), 7 * kMs);
}

}  // namespace
}  // namespace braid::gateway::demo
