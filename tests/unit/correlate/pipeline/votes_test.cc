#include <gmock/gmock.h>

#include "correlate/pipeline/shard.h"
#include "tests/support/shard_harness.h"

namespace braid::test {
namespace {

using correlate::VoteResult;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

constexpr TraceId kTrace{0x1111, 0x2222};

// A metric with one point of this kind (opentelemetry-proto metrics.proto: Metric's field number), with an
// exemplar for each trace.
std::string MetricWith(uint32_t data, const std::vector<TraceId>& traces, const std::string& name = "m") {
  const uint32_t exemplars = data <= 7 ? 5 : data == 9 ? 8 : 11;
  std::string out;
  wire::Writer w(&out);
  w.Bytes(1, name);
  const size_t at = w.Begin(data);
  const size_t point = w.Begin(1);
  w.Fixed64(3, 1);
  for (const TraceId& trace : traces) {
    const size_t exemplar = w.Begin(exemplars);
    w.Fixed64(2, 1);
    w.Double(3, 0.5);
    w.Bytes(5, IdBytes(trace));
    w.End(exemplar);
  }
  w.End(point);
  w.End(at);
  return out;
}

class VotesTest : public testing::Test {
 protected:
  void Vote(const TraceId& trace, const std::string& name = "m") {
    harness_.Send(Signal::kMetrics, Request("shop", {MetricWith(9, {trace}, name)}));
  }
  uint64_t Count(VoteResult result, size_t shard = 0) {
    return harness_.shard(shard).stats().votes[static_cast<size_t>(result)];
  }
  bool Voted(const TraceId& trace, size_t shard = 0) { return harness_.shard(shard).Collect(trace).voted; }

  ShardHarness harness_;
};

// Scenario: the metric comes while the trace is open; and again, in other requests.
// Guarantees: the trace has the bit, the first vote counts as such and the others as repeated, the store
// hears of each, the account balances.
TEST_F(VotesTest, AVoteMarksItsTrace) {
  harness_.SendSpans("shop", {{.trace = kTrace, .span = 1}, {.trace = {5, 5}, .span = 1}});
  EXPECT_FALSE(Voted(kTrace));
  const uint64_t before = harness_.shard().Digest();
  Vote(kTrace);
  EXPECT_TRUE(Voted(kTrace));
  EXPECT_FALSE(Voted({5, 5}));
  EXPECT_NE(harness_.shard().Digest(), before);
  Vote(kTrace, "other");
  EXPECT_EQ(Count(VoteResult::kMarked), 1u);
  EXPECT_EQ(Count(VoteResult::kRepeated), 1u);
  EXPECT_THAT(harness_.out().shown, ElementsAre(kTrace.lo, kTrace.lo));
  EXPECT_EQ(harness_.out().metric_points, 2u);
  harness_.ExpectBalanced();
}

// Scenario: the vote comes before anything of its trace, which comes with a log first.
// Guarantees: it is kept until then and taken once.
TEST_F(VotesTest, AnEarlyVoteWaitsForItsTrace) {
  Vote(kTrace);
  Vote(kTrace, "other");
  EXPECT_TRUE(Voted(kTrace));
  EXPECT_FALSE(harness_.shard().Collect(kTrace).known);
  EXPECT_EQ(Count(VoteResult::kEarly), 1u);
  EXPECT_EQ(Count(VoteResult::kRepeated), 1u);
  EXPECT_EQ(harness_.shard().gauges().early_votes, 1u);
  harness_.SendSpans("shop", {{.trace = {5, 5}, .span = 1}});
  EXPECT_FALSE(Voted({5, 5}));
  harness_.SendLogs("shop", {{.trace = kTrace, .span = 1}});
  EXPECT_TRUE(harness_.shard().Collect(kTrace).known);
  EXPECT_TRUE(Voted(kTrace));
  EXPECT_EQ(harness_.shard().gauges().early_votes, 0u);
  EXPECT_EQ(harness_.shard().stats().early_votes_met, 1u);
}

// Scenario: a trace's slot is reused: once with the bit, once before its vote; then late spans of both come.
// Guarantees: the tombstone has the bit, or gets it, and gives it back to the trace.
TEST_F(VotesTest, TombstonesKeepVotes) {
  harness_.SendSpans("shop", {{.trace = kTrace, .span = 1}, {.trace = {5, 5}, .span = 1}});
  Vote(kTrace);
  // Both get old, and their slots are needed.
  harness_.Pass(130'000);
  for (uint64_t i = 0; harness_.shard().Collect(kTrace).known || harness_.shard().Collect({5, 5}).known;
       ++i) {
    ASSERT_LT(i, 20'000u);
    harness_.SendSpans("shop", {{.trace = {9, 1000 + i}, .span = 1}});
  }
  EXPECT_TRUE(Voted(kTrace));
  EXPECT_FALSE(Voted({5, 5}));
  Vote({5, 5}, "late");
  Vote({5, 5}, "later");
  EXPECT_TRUE(Voted({5, 5}));
  EXPECT_EQ(Count(VoteResult::kTombstone), 1u);
  EXPECT_EQ(Count(VoteResult::kRepeated), 1u);
  harness_.SendSpans("shop", {{.trace = kTrace, .span = 2}, {.trace = {5, 5}, .span = 2}});
  EXPECT_TRUE(harness_.shard().Collect(kTrace).known);
  EXPECT_TRUE(Voted(kTrace));
  EXPECT_TRUE(Voted({5, 5}));
}

// Scenario: one request names traces of three shards, in every kind of metric that has exemplars; it is sent
// twice.
// Guarantees: each vote reaches the shard of its trace and no other; the repetition counts nowhere.
TEST_F(VotesTest, VotesReachTheShardOfTheirTrace) {
  ShardHarness harness(ShardHarness::SmallOptions(), 3);
  std::vector<std::string> metrics;
  std::array<std::vector<uint64_t>, 3> expected;
  uint64_t next = 1;
  for (const uint32_t data : {5u, 7u, 9u, 10u}) {
    std::vector<TraceId> traces;
    for (int i = 0; i < 10; ++i) {
      const TraceId trace{3, next++};
      traces.push_back(trace);
      expected[ShardOf(harness.epoch(), TraceHash(harness.epoch(), 0, trace.lo))].push_back(trace.lo);
    }
    metrics.push_back(MetricWith(data, traces, "m" + std::to_string(data)));
  }
  const std::string request = Request("shop", metrics);
  harness.Send(Signal::kMetrics, request);
  harness.Send(Signal::kMetrics, request);
  uint64_t points = 0;
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_FALSE(expected[i].empty());
    EXPECT_THAT(harness.out(i).shown, testing::ElementsAreArray(expected[i]));
    EXPECT_EQ(harness.shard(i).stats().votes[static_cast<size_t>(VoteResult::kEarly)], expected[i].size());
    EXPECT_EQ(harness.shard(i).stats().votes[static_cast<size_t>(VoteResult::kRepeated)], 0u);
    for (const uint64_t trace : expected[i]) EXPECT_TRUE(harness.shard(i).Collect({3, trace}).voted);
    points += harness.out(i).metric_points;
  }
  EXPECT_EQ(points, 4u);
  // Another metric with the same exemplars is no repetition, on no shard.
  harness.Send(Signal::kMetrics,
               Request("shop", {MetricWith(9, {{3, 1}, {3, 2}, {3, 3}, {3, 4}}, "another")}));
  uint64_t repeated = 0;
  for (size_t i = 0; i < 3; ++i)
    repeated += harness.shard(i).stats().votes[static_cast<size_t>(VoteResult::kRepeated)];
  EXPECT_EQ(repeated, 4u);
  harness.ExpectBalanced();
}

// Scenario: two requests that are alike but for the trace of an exemplar of another shard.
// Guarantees: neither is taken for a repetition of the other.
TEST_F(VotesTest, VotesTakePartInTheDigest) {
  Vote({1, 1});
  Vote({1, 2});
  EXPECT_EQ(Count(VoteResult::kEarly), 2u);
}

// Scenario: exemplars without a trace, of a zero or short ID; of a member of the oneof that another replaced;
// of a metric that is turned away; of a scope that is.
// Guarantees: no vote of any; the metric beside them votes.
TEST_F(VotesTest, OnlyWhatCountsVotes) {
  std::string replaced = MetricWith(5, {{1, 11}});
  replaced += MetricWith(7, {{1, 12}});
  std::string bad = MetricWith(9, {{1, 13}}, "bad \xff");
  std::string short_id;
  wire::Writer w(&short_id);
  w.Bytes(1, "short");
  const size_t data = w.Begin(7);
  const size_t point = w.Begin(1);
  for (const std::string& id : {std::string(16, '\0'), std::string("12345678"), std::string()}) {
    const size_t exemplar = w.Begin(5);
    w.Bytes(5, id);
    w.End(exemplar);
  }
  w.End(point);
  w.End(data);
  harness_.Send(Signal::kMetrics, Request("shop", {replaced, bad, short_id}));
  std::string condemned;
  {
    wire::Writer c(&condemned);
    const size_t resource = c.Begin(1);
    const size_t scope = c.Begin(2);
    c.Bytes(2, MetricWith(9, {{1, 14}}));
    c.Bytes(3, "schema \xff");
    c.End(scope);
    c.End(resource);
  }
  harness_.Send(Signal::kMetrics, condemned);
  EXPECT_THAT(harness_.out().shown, UnorderedElementsAre(12u));
}

// Scenario: ten times more early votes than there is room for; some of their traces come.
// Guarantees: the bound holds, the newest are there, what was forgotten is counted, nothing is voted for that
// was not.
TEST_F(VotesTest, EarlyVotesAreBounded) {
  auto options = ShardHarness::SmallOptions();
  options.early_votes = 64;
  ShardHarness harness(options);
  for (uint64_t i = 1; i <= 640; ++i)
    harness.Send(Signal::kMetrics, Request("shop", {MetricWith(9, {{1, i}})}));
  const uint64_t waiting = harness.shard().gauges().early_votes;
  EXPECT_LE(waiting, 64u);
  EXPECT_EQ(harness.shard().stats().early_votes_forgotten, 640 - waiting);
  EXPECT_EQ(harness.shard().stats().votes[static_cast<size_t>(VoteResult::kEarly)], 640u);
  EXPECT_TRUE(harness.shard().Collect({1, 640}).voted);
  for (uint64_t i = 1; i <= 700; ++i) harness.SendSpans("shop", {{.trace = {1, i}, .span = 1}});
  EXPECT_EQ(harness.shard().gauges().early_votes, 0u);
  EXPECT_EQ(harness.shard().stats().early_votes_met, waiting);
  EXPECT_TRUE(harness.shard().Collect({1, 640}).voted);
  EXPECT_FALSE(harness.shard().Collect({1, 700}).voted);
}

}  // namespace
}  // namespace braid::test
