#include "gateway/replay/replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "tests/unit/gateway/otlp_client/scripted_otlp_server.h"
#include "tests/unit/gateway/replay/recording.h"

namespace braid::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::OneItem;
using testing::Recording;
using testing::ScriptedOtlpServer;
using ::testing::UnorderedElementsAreArray;

class ReplayTest : public ::testing::Test {
 protected:
  ReplayTest() {
    options_.endpoint = server_.endpoint();
    for (int i = 0; i < 2; ++i) options_.files.push_back(files_[i].path());
  }

  void Record(int file, Signal signal, uint64_t event_ns, const std::string& text) {
    files_[file].Add(signal, event_ns, OneItem(text));
  }

  ReplaySummary Run() {
    return Replay(options_, stop_, [this](const ReplayProgress& at) { progress_.push_back(at); });
  }

  // The texts of what has arrived, in order; forgets nothing.
  std::vector<std::string> Arrived() const {
    std::vector<std::string> texts;
    for (const auto& request : server_.requests())
      texts.push_back(request.bytes.substr(request.bytes.size() - 2));
    return texts;
  }

  ScriptedOtlpServer server_;
  Recording files_[2];
  ReplayOptions options_;
  std::atomic<bool> stop_{false};
  std::vector<ReplayProgress> progress_;
};

// Scenario: two files whose records interleave in time, replayed in every order.
// Guarantees: each order is exactly what its name says; ties stay as recorded.
TEST_F(ReplayTest, SendsInTheOrderAskedFor) {
  Record(0, Signal::kTraces, 30, "s3");
  Record(0, Signal::kTraces, 10, "s1");
  Record(0, Signal::kMetrics, 5, "m0");
  Record(1, Signal::kLogs, 20, "l2");
  Record(1, Signal::kLogs, 10, "l1");
  const auto arrived = [&](ReplayOrder order) {
    const size_t before = server_.requests().size();
    options_.order = order;
    EXPECT_TRUE(Run().complete());
    auto all = Arrived();
    return std::vector<std::string>(all.begin() + static_cast<std::ptrdiff_t>(before), all.end());
  };
  EXPECT_THAT(arrived(ReplayOrder::kFile), ElementsAre("s3", "s1", "m0", "l2", "l1"));
  EXPECT_THAT(arrived(ReplayOrder::kTime), ElementsAre("m0", "s1", "l1", "l2", "s3"));
  EXPECT_THAT(arrived(ReplayOrder::kLogsFirst), ElementsAre("l1", "l2", "s1", "s3", "m0"));
  EXPECT_THAT(arrived(ReplayOrder::kSpansFirst), ElementsAre("s1", "s3", "l1", "l2", "m0"));
}

// Scenario: fifty records a second apart, shuffled within two seconds, with two seeds.
// Guarantees: a seed fixes the order; no record moves past one that is more than four seconds away; nothing
// is lost.
TEST_F(ReplayTest, ShufflesWithinItsWindow) {
  std::vector<std::string> all;
  for (uint64_t i = 0; i < 50; ++i) {
    const std::string text = {static_cast<char>('0' + i / 10), static_cast<char>('0' + i % 10)};
    all.push_back(text);
    Record(0, Signal::kLogs, i * 1'000'000'000, text);
  }
  options_.order = ReplayOrder::kShuffle;
  options_.shuffle_window = std::chrono::seconds(2);
  const auto shuffled = [&](uint64_t seed) {
    const size_t before = server_.requests().size();
    options_.seed = seed;
    EXPECT_TRUE(Run().complete());
    auto arrived = Arrived();
    return std::vector<std::string>(arrived.begin() + static_cast<std::ptrdiff_t>(before), arrived.end());
  };
  const auto one = shuffled(1);
  EXPECT_THAT(one, UnorderedElementsAreArray(all));
  EXPECT_NE(one, all);
  EXPECT_EQ(one, shuffled(1));
  EXPECT_NE(one, shuffled(2));
  for (size_t i = 0; i < one.size(); ++i) {
    for (size_t j = i; j < one.size(); ++j) EXPECT_LE(std::stoi(one[i]) - std::stoi(one[j]), 4);
  }
}

// Scenario: two records 400 ms apart, at twice their pace.
// Guarantees: it takes at least 200 ms; without a pace the same recording needs no wait.
TEST_F(ReplayTest, KeepsThePace) {
  Record(0, Signal::kLogs, 1'000'000'000, "aa");
  Record(0, Signal::kLogs, 1'400'000'000, "bb");
  options_.pace = ParsePace("2x").value();
  const ReplaySummary summary = Run();
  EXPECT_TRUE(summary.complete());
  EXPECT_GE(summary.seconds, 0.2);
  EXPECT_FALSE(progress_.empty());
}

// Scenario: the second file is damaged.
// Guarantees: it is told before anything is sent, with its place.
TEST_F(ReplayTest, ChecksAllFilesFirst) {
  Record(0, Signal::kLogs, 1, "aa");
  Record(1, Signal::kLogs, 1, "bb");
  files_[1].bytes().pop_back();
  files_[1].Write();
  const ReplaySummary summary = Run();
  EXPECT_FALSE(summary.complete());
  EXPECT_THAT(summary.status.message(), HasSubstr(files_[1].path() + ": record 1 at byte 8: "));
  EXPECT_TRUE(server_.requests().empty());
}

// Scenario: the framing is fine but the second payload is no OTLP.
// Guarantees: the error names the record; what was sent before is settled and counted.
TEST_F(ReplayTest, LocatesPayloadsThatAreNoOtlp) {
  Record(0, Signal::kLogs, 1, "aa");
  files_[0].Add(Signal::kLogs, 2, "\x0a\x7f");
  const ReplaySummary summary = Run();
  EXPECT_THAT(summary.status.message(), HasSubstr(files_[0].path() + ": record 2 at byte "));
  EXPECT_EQ(summary.counts.accepted, 1u);
  EXPECT_FALSE(summary.complete());
}

// Scenario: the replay is stopped while it waits for a record an hour away.
// Guarantees: it ends soon and is not complete.
TEST_F(ReplayTest, Stops) {
  Record(0, Signal::kLogs, 0, "aa");
  Record(0, Signal::kLogs, 3'600'000'000'000, "bb");
  options_.pace = ParsePace("realtime").value();
  const auto start = std::chrono::steady_clock::now();
  const ReplaySummary summary = Replay(options_, stop_, [this](const ReplayProgress&) { stop_.store(true); });
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
  EXPECT_FALSE(summary.complete());
  EXPECT_EQ(summary.status.code(), Code::kCancelled);
}

// Scenario: words for the pace, good and bad.
// Guarantees: the bad ones are refused by a message that lists the good ones.
TEST(ReplayPaceTest, Parses) {
  EXPECT_EQ(ParsePace("max")->factor, 0);
  EXPECT_EQ(ParsePace("realtime")->factor, 1);
  EXPECT_EQ(ParsePace("0.5x")->factor, 0.5);
  EXPECT_EQ(ParsePace("10x")->factor, 10);
  for (const char* bad : {"", "x", "10", "-1x", "0x", "infx", "nanx", "2xx", "fast"}) {
    EXPECT_THAT(ParsePace(bad).status().message(), HasSubstr("is none of max, realtime")) << bad;
  }
}

}  // namespace
}  // namespace braid::gateway
