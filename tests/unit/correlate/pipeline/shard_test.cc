#include "correlate/pipeline/shard.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "correlate/model/stamp.h"
#include "tests/support/shard_harness.h"

namespace braid::test {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr TraceId kTrace{0x1111, 0x2222};

SpanSpec Root() { return {.trace = kTrace, .span = 1, .name = "GET /"}; }
SpanSpec Child() { return {.trace = kTrace, .span = 2, .parent = 1, .name = "query", .kind = 3}; }

class ShardTest : public testing::Test {
 protected:
  // Every attribute a log left with, by its body.
  const Left& LogNamed(const std::string& body) {
    for (const Left& item : harness_.out().left) {
      if (item.signal == Signal::kLogs && item.name == body) return item;
    }
    ADD_FAILURE() << "no log " << body << " has left";
    static const Left kNone;
    return kNone;
  }
  std::string Attribute(const Left& item, std::string_view key) {
    const auto found = item.attributes.find(std::string(key));
    return found == item.attributes.end() ? "(absent)" : found->second;
  }

  ShardHarness harness_;
};

// Scenario: a log arrives before its span, as almost all do.
// Guarantees: it waits, leaves when the span comes, and carries what the span knows.
TEST_F(ShardTest, LogWaitsForItsSpan) {
  harness_.SendLogs("shop", {{.trace = kTrace, .span = 2, .body = "slow"}});
  harness_.Pass(5'000);
  EXPECT_THAT(harness_.LeftOf(Signal::kLogs), IsEmpty());
  harness_.SendSpans("shop", {Child()});
  harness_.Pass(300);
  const Left& log = LogNamed("slow");
  EXPECT_EQ(Attribute(log, stamp::kState), "span");
  EXPECT_EQ(Attribute(log, stamp::kSpanService), "shop");
  EXPECT_EQ(Attribute(log, stamp::kSpanName), "query");
  EXPECT_EQ(Attribute(log, stamp::kSpanKind), "client");
  EXPECT_EQ(Attribute(log, stamp::kSpanStatus), "unset");
  EXPECT_EQ(Attribute(log, stamp::kSpanDurationMs), "5.000000");
  EXPECT_EQ(Attribute(log, stamp::kTraceError), "false");
  harness_.ExpectBalanced();
}

// Scenario: many logs wait for one span, some of other spans among them.
// Guarantees: its own leave when it comes, in the order in which they came, and no other does.
TEST_F(ShardTest, AllWaitingLogsLeaveWithTheirSpan) {
  for (int i = 0; i < 5; ++i) {
    harness_.SendLogs("shop", {{.trace = kTrace, .span = 2, .body = "own " + std::to_string(i)},
                               {.trace = kTrace, .span = 3, .body = "other " + std::to_string(i)}});
    harness_.Pass(100);
  }
  harness_.SendSpans("shop", {Child()});
  harness_.Pass(300);
  const std::vector<Left> logs = harness_.LeftOf(Signal::kLogs);
  ASSERT_THAT(logs, SizeIs(5));
  for (size_t i = 0; i < logs.size(); ++i) {
    EXPECT_EQ(logs[i].name, "own " + std::to_string(i));
    EXPECT_EQ(Attribute(logs[i], stamp::kState), "span");
  }
  EXPECT_EQ(harness_.shard().stats().logs_joined_waiting, 5u);
  harness_.ExpectBalanced();
}

// Scenario: requests of one span each, of several services and names, one after the other.
// Guarantees: each is counted in its own series: what the fold finds ahead belongs to the request at hand.
TEST_F(ShardTest, EachSpanCountsInItsOwnSeries) {
  for (uint64_t i = 1; i <= 40; ++i) {
    harness_.SendSpans(i % 2 == 0 ? "shop" : "pay",
                       {{.trace = {1, i}, .span = i, .name = "op " + std::to_string(i % 5)}});
  }
  // A log of each tells which series its span is in.
  for (uint64_t i = 1; i <= 40; ++i)
    harness_.SendLogs("shop", {{.trace = {1, i}, .span = i, .body = "log " + std::to_string(i)}});
  harness_.Pass(300);
  for (uint64_t i = 1; i <= 40; ++i) {
    const Left& log = LogNamed("log " + std::to_string(i));
    EXPECT_EQ(Attribute(log, stamp::kSpanService), i % 2 == 0 ? "shop" : "pay");
    EXPECT_EQ(Attribute(log, stamp::kSpanName), "op " + std::to_string(i % 5));
  }
}

// Scenario: the span is there first, and its payload has long left.
// Guarantees: the log is joined at once from the window.
TEST_F(ShardTest, LogAfterItsSpanIsJoinedFromTheWindow) {
  harness_.SendSpans("shop", {Root()});
  harness_.Pass(10'000);
  ASSERT_THAT(harness_.LeftOf(Signal::kTraces), SizeIs(1));
  harness_.SendLogs("shop", {{.trace = kTrace, .span = 1, .body = "late"}});
  harness_.Pass(300);
  EXPECT_EQ(Attribute(LogNamed("late"), stamp::kState), "span");
  EXPECT_EQ(Attribute(LogNamed("late"), stamp::kRootName), "GET /");
  EXPECT_EQ(harness_.shard().stats().logs_joined_at_once, 1u);
}

// Scenario: no span comes; another span of the trace does, or nothing at all.
// Guarantees: the logs leave when the hold is over and not before, each with the reason.
TEST_F(ShardTest, LogsWithoutTheirSpanLeaveWithAReason) {
  harness_.SendLogs("shop", {{.trace = kTrace, .span = 99, .body = "lost"},
                             {.trace = {7, 7}, .span = 99, .body = "orphan"},
                             {.trace = kTrace, .span = 98, .body = "unsampled", .flags = 2},
                             {.trace = kTrace, .body = "no span id"},
                             {.body = "plain"}});
  harness_.SendSpans("shop", {Root()});
  harness_.Pass(300);
  EXPECT_EQ(Attribute(LogNamed("unsampled"), stamp::kReason), "unsampled");
  EXPECT_EQ(Attribute(LogNamed("no span id"), stamp::kReason), "no_span_id");
  EXPECT_THAT(LogNamed("plain").attributes, IsEmpty());
  EXPECT_THAT(harness_.LeftOf(Signal::kLogs), SizeIs(3));
  harness_.Pass(9'600);
  EXPECT_THAT(harness_.LeftOf(Signal::kLogs), SizeIs(3));
  harness_.Pass(400);
  EXPECT_THAT(harness_.LeftOf(Signal::kLogs), SizeIs(5));
  EXPECT_EQ(Attribute(LogNamed("lost"), stamp::kState), "trace");
  EXPECT_EQ(Attribute(LogNamed("lost"), stamp::kReason), "no_span");
  EXPECT_EQ(Attribute(LogNamed("orphan"), stamp::kState), "orphan");
  harness_.ExpectBalanced();
}

// Scenario: a span arrives twice in different requests; then a whole request is repeated.
// Guarantees: both are counted as duplicates once each, no count of calls moves, nothing is sent twice.
TEST_F(ShardTest, DuplicatesCountOnce) {
  const std::string request = Traces("shop", {Root(), Child()});
  harness_.Send(Signal::kTraces, request);
  harness_.SendSpans("shop", {Child()});
  harness_.Send(Signal::kTraces, request);
  const std::string logs = Logs("shop", {{.trace = kTrace, .span = 1}, {.body = "plain"}});
  harness_.Send(Signal::kLogs, logs);
  harness_.Send(Signal::kLogs, logs);
  harness_.Pass(40'000);
  EXPECT_THAT(harness_.LeftOf(Signal::kTraces), SizeIs(2));
  EXPECT_THAT(harness_.LeftOf(Signal::kLogs), SizeIs(2));
  EXPECT_EQ(harness_.out().calls, 2u);
  const LedgerEntry& spans = harness_.shard().ledger()[1][0];
  EXPECT_EQ(spans.accepted, 5u);
  EXPECT_EQ(spans.dropped[static_cast<size_t>(DropReason::kDuplicate)], 3u);
  EXPECT_EQ(spans.queued, 2u);
  const LedgerEntry& kept = harness_.shard().ledger()[1][1];
  EXPECT_EQ(kept.dropped[static_cast<size_t>(DropReason::kDuplicate)], 2u);
  harness_.ExpectBalanced();
}

// Scenario: Zipkin's client and server share one span ID.
// Guarantees: they are two spans.
TEST_F(ShardTest, SharedSpanIdsOfTwoSidesAreTwoSpans) {
  SpanSpec client = Child();
  SpanSpec server = Child();
  server.kind = 2;
  harness_.SendSpans("shop", {client});
  harness_.SendSpans("db", {server});
  harness_.SendSpans("shop", {client});
  harness_.SendSpans("db", {server});
  harness_.Pass(40'000);
  EXPECT_THAT(harness_.LeftOf(Signal::kTraces), SizeIs(2));
  EXPECT_EQ(harness_.shard().stats().duplicate_spans, 2u);
}

// Scenario: logs of several severities join a span before its verdict, two of them errors.
// Guarantees: the span leaves with the counts and the first error's message, and the trace is in error.
TEST_F(ShardTest, SpansCarryWhatTheirLogsKnew) {
  harness_.SendLogs("shop", {{.trace = kTrace, .span = 1, .severity = 17, .body = "boom"},
                             {.trace = kTrace, .span = 1, .severity = 21, .body = "bang"},
                             {.trace = kTrace, .span = 1, .severity = 13, .body = "hm"},
                             {.trace = kTrace, .span = 1, .severity = 5, .body = "dbg"}});
  harness_.SendSpans("shop", {Root(), Child()});
  harness_.SendLogs("shop", {{.trace = kTrace, .span = 1, .severity = 9, .body = "after"}});
  harness_.Pass(3'000);
  const std::vector<Left> spans = harness_.LeftOf(Signal::kTraces);
  ASSERT_THAT(spans, SizeIs(2));
  EXPECT_EQ(Attribute(spans[0], stamp::kLogsError), "2");
  EXPECT_EQ(Attribute(spans[0], stamp::kLogsWarn), "1");
  EXPECT_EQ(Attribute(spans[0], stamp::kLogsInfo), "1");
  EXPECT_EQ(Attribute(spans[0], stamp::kLogsDebug), "1");
  EXPECT_EQ(Attribute(spans[0], stamp::kFirstError), "boom");
  EXPECT_THAT(spans[1].attributes, IsEmpty());
  EXPECT_EQ(Attribute(LogNamed("after"), stamp::kTraceError), "true");
}

// Scenario: the sender uses our stamp keys itself.
// Guarantees: its values stay, ours are left out, nothing is written twice.
TEST_F(ShardTest, NeverOverwritesTheSendersKeys) {
  SpanSpec root = Root();
  root.attributes = {{std::string(stamp::kLogsError), "mine"}};
  harness_.SendLogs("shop", {{.trace = kTrace,
                              .span = 1,
                              .severity = 17,
                              .body = "boom",
                              .attributes = {{std::string(stamp::kSpanName), "theirs"}}}});
  harness_.SendSpans("shop", {root});
  harness_.Pass(3'000);
  EXPECT_EQ(Attribute(LogNamed("boom"), stamp::kSpanName), "theirs");
  EXPECT_EQ(Attribute(LogNamed("boom"), stamp::kSpanKind), "server");
  const std::vector<Left> spans = harness_.LeftOf(Signal::kTraces);
  EXPECT_EQ(Attribute(spans[0], stamp::kLogsError), "mine");
  EXPECT_EQ(Attribute(spans[0], stamp::kFirstError), "boom");
}

// Scenario: a root ends a trace; another trace never shows one.
// Guarantees: the first is decided two seconds after its root, the second 30 s after its first item.
TEST_F(ShardTest, VerdictsFallAtRootPlusSettleOrAtTheTimeout) {
  harness_.SendSpans("shop", {Root()});
  harness_.SendSpans("shop", {{.trace = {8, 8}, .span = 5, .parent = 4}});
  harness_.Pass(1'950);
  EXPECT_THAT(harness_.LeftOf(Signal::kTraces), IsEmpty());
  harness_.Pass(300);
  EXPECT_THAT(harness_.LeftOf(Signal::kTraces), SizeIs(1));
  harness_.Pass(27'500);
  EXPECT_THAT(harness_.LeftOf(Signal::kTraces), SizeIs(1));
  harness_.Pass(500);
  EXPECT_THAT(harness_.LeftOf(Signal::kTraces), SizeIs(2));
  EXPECT_EQ(harness_.shard().stats().verdicts[static_cast<size_t>(correlate::Trigger::kRoot)], 1u);
  EXPECT_EQ(harness_.shard().stats().verdicts[static_cast<size_t>(correlate::Trigger::kTimeout)], 1u);
}

// Scenario: a span comes after its trace's verdict.
// Guarantees: it follows the verdict at once and is counted as late.
TEST_F(ShardTest, LateSpansFollowTheVerdict) {
  harness_.SendSpans("shop", {Root()});
  harness_.Pass(3'000);
  harness_.SendSpans("shop", {Child()});
  harness_.Pass(300);
  EXPECT_THAT(harness_.LeftOf(Signal::kTraces), SizeIs(2));
  EXPECT_EQ(harness_.shard().stats().late_spans, 1u);
  harness_.Pass(1'000);
  EXPECT_EQ(harness_.out().exemplars.size(), 2u);
}

// Scenario: a span's log comes as 128-bit trace, the span with the low 64 bits only.
// Guarantees: they are one trace.
TEST_F(ShardTest, ShortAndLongTraceIdsMeet) {
  SpanSpec span = Root();
  span.trace.hi = 0;
  harness_.SendLogs("shop", {{.trace = kTrace, .span = 1, .body = "b"}});
  harness_.SendSpans("shop", {span});
  harness_.SendSpans("shop", {Root()});
  harness_.SendLogs("shop", {{.trace = {0, kTrace.lo}, .span = 1, .body = "short"}});
  harness_.Pass(300);
  EXPECT_EQ(Attribute(LogNamed("b"), stamp::kState), "span");
  EXPECT_EQ(Attribute(LogNamed("short"), stamp::kState), "span");
  EXPECT_EQ(harness_.shard().stats().duplicate_spans, 1u);
}

// Scenario: two traces share the low half of their IDs and reuse a span ID; then each arrives again.
// Guarantees: they are two traces; neither's span is taken for the other's, and repetitions are still
// recognised.
TEST_F(ShardTest, TracesThatShareTheirLowHalfAreKeptApart) {
  SpanSpec other = Root();
  other.trace.hi = 0x3333;
  harness_.SendSpans("shop", {Root()});
  harness_.SendSpans("shop", {other});
  harness_.SendSpans("shop", {other, Root()});
  harness_.Pass(3'000);
  EXPECT_THAT(harness_.LeftOf(Signal::kTraces), SizeIs(2));
  EXPECT_EQ(harness_.shard().stats().duplicate_spans, 2u);
}

// Scenario: far more spans than the window holds, all undecided.
// Guarantees: those that must make room are decided, none is lost, memory is given back.
TEST_F(ShardTest, AFullWindowDecidesTheOldest) {
  for (uint64_t i = 0; i < 20'000; i += 10) {
    std::vector<SpanSpec> spans;
    for (uint64_t j = 0; j < 10; ++j) spans.push_back({.trace = {1, i + 1}, .span = i + j + 1, .parent = 77});
    harness_.SendSpans("shop", spans);
  }
  harness_.ExpectBalanced();
  harness_.Drain();
  EXPECT_THAT(harness_.LeftOf(Signal::kTraces), SizeIs(20'000));
  EXPECT_TRUE(harness_.shard().idle());
  EXPECT_EQ(harness_.shard().gauges().batches, 0u);
  EXPECT_EQ(harness_.out().calls, 20'000u);
}

// Scenario: held payload exceeds max_pending_bytes; then Pressure 2.
// Guarantees: the oldest traces and logs leave early, with the reason, and everything balances.
TEST_F(ShardTest, BudgetAndPressureLetTheOldestGo) {
  auto options = ShardHarness::SmallOptions();
  options.max_pending_bytes = 10'000;
  ShardHarness harness(options);
  for (uint64_t i = 1; i <= 200; ++i) {
    harness.SendSpans("shop", {{.trace = {1, i}, .span = i, .parent = 9}});
    harness.SendLogs("shop", {{.trace = {2, i}, .span = i, .body = std::string(100, 'x')}});
    EXPECT_LE(harness.shard().gauges().pending_bytes, 10'000u);
    harness.ExpectBalanced();
  }
  EXPECT_GT(harness.shard().stats().verdicts[static_cast<size_t>(correlate::Trigger::kBudget)], 0u);
  const uint64_t before = harness.shard().gauges().pending_bytes;
  harness.Pressure(2);
  EXPECT_LE(harness.shard().gauges().pending_bytes, before / 2 + 400);
  harness.Drain();
  EXPECT_THAT(harness.LeftOf(Signal::kTraces), SizeIs(200));
  EXPECT_THAT(harness.LeftOf(Signal::kLogs), SizeIs(200));
  harness.ExpectBalanced();
}

// Scenario: most of a Batch has left, one undecided span pins it; another shard run does not evacuate.
// Guarantees: evacuation frees the Batch, changes nothing in what leaves, and the digest does not see it.
TEST_F(ShardTest, EvacuationMovesBytesAndNothingElse) {
  ShardHarness plain;
  const auto feed = [](ShardHarness& harness) {
    std::vector<SpanSpec> spans;
    for (uint64_t i = 1; i <= 64; ++i) {
      spans.push_back({.trace = {1, i}, .span = i, .attributes = {{"pad", std::string(400, 'p')}}});
    }
    spans.push_back({.trace = {1, 1'000}, .span = 1'000, .parent = 5, .name = "pinned"});
    harness.SendSpans("shop", spans);
    harness.SendLogs("shop", {{.trace = {1, 1'000}, .span = 1'000, .severity = 17, .body = "e"}});
    harness.Pass(5'000);
  };
  feed(harness_);
  feed(plain);
  const size_t used = harness_.slabs().used_bytes();
  EXPECT_GT(harness_.shard().Evacuate(100), 0u);
  EXPECT_LT(harness_.slabs().used_bytes(), used);
  EXPECT_EQ(harness_.shard().stats().batches_evacuated, 1u);
  EXPECT_EQ(harness_.shard().Digest(), plain.shard().Digest());
  harness_.Pass(30'000);
  plain.Pass(30'000);
  EXPECT_EQ(harness_.shard().Digest(), plain.shard().Digest());
  ASSERT_EQ(harness_.out().chunks.size(), plain.out().chunks.size());
  for (size_t i = 0; i < plain.out().chunks.size(); ++i) {
    EXPECT_EQ(harness_.out().chunks[i]->view(), plain.out().chunks[i]->view());
  }
  EXPECT_EQ(harness_.LeftOf(Signal::kTraces).back().name, "pinned");
}

// Scenario: `logs.wait_for: verdict` and `spans.wait: none`.
// Guarantees: logs leave at the verdict with the root's name; spans leave at once, unstamped.
TEST_F(ShardTest, WaitOptions) {
  auto options = ShardHarness::SmallOptions();
  options.logs_wait_for_verdict = true;
  ShardHarness verdict(options);
  verdict.SendLogs("shop", {{.trace = kTrace, .span = 2, .body = "b"}});
  verdict.SendSpans("shop", {Child()});
  verdict.Pass(300);
  EXPECT_THAT(verdict.LeftOf(Signal::kLogs), IsEmpty());
  verdict.SendSpans("shop", {Root()});
  verdict.Pass(2'500);
  ASSERT_THAT(verdict.LeftOf(Signal::kLogs), SizeIs(1));
  EXPECT_EQ(Attribute(verdict.LeftOf(Signal::kLogs)[0], stamp::kRootName), "GET /");
  EXPECT_EQ(Attribute(verdict.LeftOf(Signal::kLogs)[0], stamp::kSpanName), "query");

  options = ShardHarness::SmallOptions();
  options.spans_wait = false;
  ShardHarness none(options);
  none.SendSpans("shop", {Child()});
  none.Pass(250);
  EXPECT_THAT(none.LeftOf(Signal::kTraces), SizeIs(1));
  none.ExpectBalanced();
}

// Scenario: one request with the spans of several services, as agents and collectors send.
// Guarantees: each span leaves under the resource it came with.
TEST_F(ShardTest, ItemsKeepTheResourceTheyCameWith) {
  std::string request;
  uint64_t next = 0;
  for (const std::string service : {"shop", "pay", "shop", "stock"}) {
    std::vector<SpanSpec> spans;
    for (int i = 0; i < 3; ++i)
      spans.push_back({.trace = {9, 1 + next % 4}, .span = ++next, .name = service});
    request += Traces(service, spans);
  }
  harness_.Send(Signal::kTraces, request);
  harness_.Pass(40'000);
  size_t seen = 0;
  for (const ChunkPtr& chunk : harness_.out().chunks) {
    for (const ChunkItem& item : chunk->items) {
      const std::string name = ParseItem(Signal::kTraces, chunk->ItemBytes(item)).name;
      const std::string_view resource = chunk->view(chunk->groups[item.group].resource);
      EXPECT_NE(resource.find(name), std::string_view::npos) << name << " left under another's resource";
      ++seen;
    }
  }
  EXPECT_EQ(seen, 12u);
}

// Scenario: `spans.wait: none`, and requests large enough to be sent on by themselves: as they are; with a
// span that came before; with an item turned away; in pieces; behind a small one that still waits.
// Guarantees: the first leaves as the sender's own bytes, the others without what must not leave, in order of
// arrival, and each Chunk's directory matches its bytes.
TEST_F(ShardTest, WholeRequestsLeaveAsTheyCame) {
  auto options = ShardHarness::SmallOptions();
  options.spans_wait = false;
  ShardHarness harness(options);
  uint64_t next = 0;
  const auto request = [&](size_t spans) {
    std::vector<SpanSpec> made;
    for (size_t i = 0; i < spans; ++i) {
      ++next;
      made.push_back({.trace = {7, next / 10 + 1}, .span = next, .name = "op " + std::to_string(next)});
    }
    return made;
  };

  harness.SendSpans("shop", request(3));  // waits for company, and must leave before the next
  const std::vector<SpanSpec> whole = request(300);
  harness.SendSpans("shop", whole);
  ASSERT_THAT(harness.out().chunks, SizeIs(2));
  EXPECT_EQ(harness.out().chunks[0]->count, 3u);
  EXPECT_TRUE(harness.out().chunks[1]->whole);
  EXPECT_EQ(harness.out().chunks[1]->view(), Traces("shop", whole));
  EXPECT_EQ(harness.out().chunks[1]->count, 300u);

  std::vector<SpanSpec> repeated = request(299);
  repeated.push_back(whole[17]);
  harness.SendSpans("shop", repeated);
  ASSERT_THAT(harness.out().chunks, SizeIs(3));
  EXPECT_FALSE(harness.out().chunks[2]->whole);
  EXPECT_EQ(harness.out().chunks[2]->count, 299u);

  std::vector<SpanSpec> bad = request(299);
  bad.push_back({.trace = {7, 1}, .span = 0, .name = "no ID"});
  harness.SendSpans("shop", bad);
  harness.Pass(300);
  ASSERT_THAT(harness.out().chunks, SizeIs(4));
  EXPECT_FALSE(harness.out().chunks[3]->whole);
  EXPECT_EQ(harness.out().chunks[3]->count, 299u);

  std::string pieces = Traces("shop", request(150));
  pieces += Traces("pay", request(150));
  harness.Send(Signal::kTraces, pieces);
  ASSERT_THAT(harness.out().chunks, SizeIs(5));
  EXPECT_EQ(harness.out().chunks[4]->view(), pieces);
  EXPECT_THAT(harness.out().chunks[4]->groups, SizeIs(2));
  EXPECT_EQ(harness.out().chunks[4]->items[150].group, 1u);

  // Everything but the repeated span and the bad one, in order.
  const std::vector<Left> left = harness.LeftOf(Signal::kTraces);
  ASSERT_THAT(left, SizeIs(next));
  for (size_t i = 0; i < left.size(); ++i) EXPECT_EQ(left[i].name, "op " + std::to_string(i + 1));
  harness.ExpectBalanced();
}

// Scenario: items of many resources and traces leave together.
// Guarantees: each resource is written once per Chunk.
TEST_F(ShardTest, ChunksGroupByResource) {
  for (uint64_t i = 1; i <= 30; ++i) {
    harness_.SendSpans("service-" + std::to_string(i % 3), {{.trace = {1, i}, .span = i}});
  }
  harness_.Pass(3'000);
  ASSERT_THAT(harness_.out().chunks, SizeIs(1));
  EXPECT_THAT(harness_.out().chunks[0]->groups, SizeIs(3));
  size_t resources = 0;
  for (wire::Cursor c(harness_.out().chunks[0]->view()); c.Next();) ++resources;
  EXPECT_EQ(resources, 3u);
}

// Scenario: a query while a trace is open, and after it left.
// Guarantees: what has not left is found with its state; what has left is not reported twice.
TEST_F(ShardTest, CollectsWhatHasNotLeft) {
  harness_.SendSpans("shop", {Child()});
  harness_.SendLogs("shop", {{.trace = kTrace, .span = 1, .body = "waits"},
                             {.trace = kTrace, .span = 2, .body = "joined"}});
  const correlate::TraceItems open = harness_.shard().Collect(kTrace);
  EXPECT_TRUE(open.known);
  ASSERT_THAT(open.entries, SizeIs(3));
  EXPECT_EQ(std::count_if(open.entries.begin(), open.entries.end(), [](const auto& e) { return e.waiting; }),
            1);
  EXPECT_EQ(std::count_if(open.entries.begin(), open.entries.end(), [](const auto& e) { return e.joined; }),
            1);
  harness_.Pass(31'000);
  EXPECT_THAT(harness_.shard().Collect(kTrace).entries, IsEmpty());
  EXPECT_FALSE(harness_.shard().Collect({5, 5}).known);
}

}  // namespace
}  // namespace braid::test
