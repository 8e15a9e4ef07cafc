#include "correlate/pipeline/self_time.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace braid::correlate {
namespace {

SelfTime Trace(const std::vector<SelfTime::Span>& spans) {
  SelfTime trace;
  for (const SelfTime::Span& span : spans) trace.Add(span);
  return trace;
}

// Scenario: random traces against a count of every nanosecond.
// Guarantees: overlapping, nested, early and late children are taken off once, and only where they lie in the
// parent.
TEST(SelfTimeTest, AgreesWithCountingNanoseconds) {
  std::mt19937 random(3);
  for (int round = 0; round < 500; ++round) {
    std::vector<SelfTime::Span> spans;
    const uint64_t count = 1 + random() % 12;
    for (uint64_t id = 1; id <= count; ++id) {
      const uint64_t start = 50 + random() % 50;
      const uint64_t end = random() % 8 == 0 ? start - random() % 20 : start + random() % 60;
      spans.push_back({id, id == 1 ? 0 : 1 + random() % (id - 1), start, end, 0, 0});
    }
    std::map<uint64_t, uint64_t> expected;
    for (const auto& span : spans) {
      for (uint64_t t = span.start_ns; t < span.end_ns; ++t) {
        bool busy = true;
        for (const auto& child : spans)
          busy &= child.parent != span.span || t < child.start_ns || t >= child.end_ns;
        expected[span.span] += busy;
      }
    }
    std::shuffle(spans.begin(), spans.end(), random);
    SelfTime trace = Trace(spans);
    ASSERT_TRUE(trace.Compute());
    for (const auto& span : trace.spans()) EXPECT_EQ(span.self_ns, expected[span.span]);
  }
}

// Guarantees: a trace with a missing parent, two roots, none, or an ID twice says nothing.
TEST(SelfTimeTest, IncompleteTracesAreTold) {
  EXPECT_FALSE(Trace({}).Compute());
  EXPECT_FALSE(Trace({{1, 9, 0, 10}}).Compute());
  EXPECT_FALSE(Trace({{1, 0, 0, 10}, {2, 9, 0, 5}}).Compute());
  EXPECT_FALSE(Trace({{1, 0, 0, 10}, {2, 0, 0, 5}}).Compute());
  EXPECT_FALSE(Trace({{1, 0, 0, 10}, {2, 1, 0, 5}, {2, 1, 0, 5}}).Compute());
  EXPECT_FALSE(Trace({{1, 2, 0, 10}, {2, 1, 0, 5}}).Compute());
  EXPECT_TRUE(Trace({{1, 0, 0, 10}, {2, 1, 0, 5}}).Compute());
}

}  // namespace
}  // namespace braid::correlate
