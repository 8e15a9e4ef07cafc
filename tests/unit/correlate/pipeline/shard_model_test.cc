// All arrival orders, and long random ones, against a small model of what should happen.

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "correlate/model/stamp.h"
#include "tests/support/shard_harness.h"

namespace braid::test {
namespace {

// What a user would say should happen, written down plainly: spans count once; a log is joined if its span is
// known when it comes or comes within the hold.
class Model {
 public:
  static constexpr uint64_t kHold = 200;  // ticks

  void Span(uint64_t trace, uint64_t span) {
    if (!spans_.insert({trace, span}).second) return;
    ++calls_;
    for (auto& [name, log] : logs_) {
      if (log.state.empty() && log.trace == trace && log.span == span) log.state = "span";
    }
    traces_.insert(trace);
  }
  void Log(const std::string& name, uint64_t trace, uint64_t span) {
    logs_[name] = {trace, span, now_, spans_.contains({trace, span}) ? "span" : ""};
  }
  void Tick() {
    ++now_;
    for (auto& [name, log] : logs_) {
      if (log.state.empty() && now_ - log.since >= kHold)
        log.state = traces_.contains(log.trace) ? "trace" : "orphan";
    }
  }
  std::map<std::string, std::string> States() {
    for (uint64_t i = 0; i <= kHold; ++i) Tick();
    std::map<std::string, std::string> states;
    for (const auto& [name, log] : logs_) states[name] = log.state;
    return states;
  }
  uint64_t calls() const { return calls_; }
  size_t spans() const { return spans_.size(); }

 private:
  struct Waiting {
    uint64_t trace;
    uint64_t span;
    uint64_t since;
    std::string state;
  };
  std::set<std::pair<uint64_t, uint64_t>> spans_;
  std::set<uint64_t> traces_;
  std::map<std::string, Waiting> logs_;
  uint64_t now_ = 0;
  uint64_t calls_ = 0;
};

std::map<std::string, std::string> StatesOf(const ShardHarness& harness) {
  std::map<std::string, std::string> states;
  for (const Left& log : harness.LeftOf(Signal::kLogs)) {
    EXPECT_FALSE(states.contains(log.name)) << "left twice: " << log.name;
    states[log.name] = log.attributes.at(std::string(stamp::kState));
  }
  return states;
}

struct Event {
  bool log;
  uint64_t trace;
  uint64_t span;
  std::string name;
};

void Play(const std::vector<Event>& events, const std::vector<uint64_t>& gaps) {
  ShardHarness harness;
  Model model;
  for (size_t i = 0; i < events.size(); ++i) {
    const Event& e = events[i];
    if (e.log) {
      model.Log(e.name, e.trace, e.span);
      harness.SendLogs("s", {{.trace = {1, e.trace}, .span = e.span, .body = e.name}});
    } else {
      model.Span(e.trace, e.span);
      harness.SendSpans("s", {{.trace = {1, e.trace}, .span = e.span, .parent = e.span == 1 ? 0u : 1u}});
    }
    for (uint64_t t = 0; t < gaps[i % gaps.size()]; ++t) {
      model.Tick();
      harness.Pass(kTickMs);
    }
    harness.ExpectBalanced();
  }
  harness.Pass(60'000);
  EXPECT_EQ(StatesOf(harness), model.States());
  EXPECT_EQ(harness.out().calls, model.calls());
  EXPECT_EQ(harness.LeftOf(Signal::kTraces).size(), model.spans());
  EXPECT_TRUE(harness.shard().idle());
}

// Scenario: root, child, a log of each and one of neither, in all 120 orders, with gaps that fall within the
// hold, around the verdict, and beyond both. Guarantees: each log ends as the model says, each span counts
// and leaves once.
TEST(ShardModelTest, AllOrdersOfRootChildAndLogs) {
  std::vector<Event> events = {{false, 5, 1, ""},
                               {false, 5, 2, ""},
                               {true, 5, 1, "of root"},
                               {true, 5, 2, "of child"},
                               {true, 5, 3, "of none"}};
  std::vector<size_t> order = {0, 1, 2, 3, 4};
  do {
    std::vector<Event> arranged;
    for (const size_t i : order) arranged.push_back(events[i]);
    for (const std::vector<uint64_t>& gaps :
         {std::vector<uint64_t>{0}, {3}, {45}, {150}, {205}, {0, 0, 250}, {700, 0, 0, 3}}) {
      Play(arranged, gaps);
      if (testing::Test::HasFailure()) return;
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

// Scenario: 200 random histories of spans (some repeated), logs and pauses over a few traces.
// Guarantees: as above.
TEST(ShardModelTest, RandomHistories) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<Event> events;
    std::vector<uint64_t> gaps;
    for (size_t i = 0; i < 60; ++i) {
      const uint64_t trace = 1 + random() % 4;
      const uint64_t span = 1 + random() % 5;
      const bool log = random() % 2 == 0;
      events.push_back({log, trace, span, log ? "log " + std::to_string(i) : ""});
      gaps.push_back(random() % 5 == 0 ? random() % 90 : random() % 3);
    }
    Play(events, gaps);
    ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
  }
}

// Scenario: random traffic far beyond every bound (a tiny window, a tiny budget), Pressure, evacuation,
// duplicates, then shutdown. Guarantees: the account balances at every step, and in the end every accepted
// item has left once or is a counted duplicate.
TEST(ShardModelTest, NothingIsLostUnderOverload) {
  for (uint64_t seed = 0; seed < 30; ++seed) {
    auto options = ShardHarness::SmallOptions();
    options.window.capacity = 256;
    options.window.tombstones = 64;
    options.max_pending_bytes = 6'000;
    options.logs_wait_for_verdict = seed % 2 == 1;
    options.chunk_items = 64;
    ShardHarness harness(options);
    std::mt19937_64 random(seed);
    uint64_t span_count = 0;
    uint64_t log_count = 0;
    for (size_t i = 0; i < 1'500; ++i) {
      const uint64_t trace = 1 + random() % 40 + i / 4;
      switch (random() % 6) {
        case 0:
        case 1:
        case 2: {
          std::vector<SpanSpec> spans;
          for (uint64_t n = random() % 6; n > 0; --n) {
            spans.push_back({.trace = {1, trace}, .span = 1 + random() % 50, .parent = random() % 3});
          }
          span_count += spans.size();
          harness.SendSpans("s" + std::to_string(random() % 3), spans);
          break;
        }
        case 3:
        case 4: {
          std::vector<LogSpec> logs;
          for (uint64_t n = random() % 6; n > 0; --n) {
            logs.push_back({.trace = {random() % 8 == 0 ? 0u : 1u, random() % 8 == 0 ? 0 : trace},
                            .span = random() % 50,
                            .severity = static_cast<int>(random() % 25),
                            .body = std::to_string(i)});
          }
          log_count += logs.size();
          harness.SendLogs("s" + std::to_string(random() % 3), logs);
          break;
        }
        default:
          harness.Pass(random() % 3 == 0 ? 3'000 : 50);
          if (random() % 40 == 0) harness.Pressure(random() % 4);
          harness.shard().Evacuate(8);
          break;
      }
      harness.ExpectBalanced();
      ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed << " step " << i;
    }
    harness.Drain();
    EXPECT_TRUE(harness.shard().idle());
    const LedgerEntry& spans = harness.shard().ledger()[1][0];
    const LedgerEntry& logs = harness.shard().ledger()[1][1];
    EXPECT_EQ(spans.accepted, span_count);
    EXPECT_EQ(logs.accepted, log_count);
    EXPECT_EQ(spans.held, 0u);
    EXPECT_EQ(logs.held, 0u);
    EXPECT_EQ(spans.queued, harness.LeftOf(Signal::kTraces).size());
    EXPECT_EQ(logs.queued, harness.LeftOf(Signal::kLogs).size());
    EXPECT_EQ(spans.queued + spans.dropped_total(), span_count);
    EXPECT_EQ(harness.out().calls, spans.queued);
    EXPECT_EQ(harness.shard().gauges().batches, 0u);
    harness.out().chunks.clear();
    EXPECT_EQ(harness.slabs().used_bytes(), 0u) << "payload is still held";
    ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace braid::test
