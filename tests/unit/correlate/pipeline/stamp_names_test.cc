// What logs are told of their span where metrics count it under another name or status.

#include <gmock/gmock.h>

#include "correlate/model/stamp.h"
#include "tests/support/shard_harness.h"

namespace braid::test {
namespace {

using correlate::DeriveOptions;
using testing::SizeIs;

constexpr TraceId kTrace{0x1111, 0x2222};

SpanSpec Root() { return {.trace = kTrace, .span = 1, .name = "GET /user/17"}; }
SpanSpec Child() { return {.trace = kTrace, .span = 2, .parent = 1, .name = "load ann", .kind = 3}; }
LogSpec LogOf(uint64_t span) { return {.trace = kTrace, .span = span, .body = "line"}; }

class StampNamesTest : public testing::Test {
 protected:
  static correlate::Shard::Options Templates() {
    auto options = ShardHarness::SmallOptions();
    DeriveOptions derive;
    derive.names = DeriveOptions::Names::kTemplates;
    options.derive = std::make_shared<const DeriveOptions>(derive);
    return options;
  }

  // Every label set beyond the first counts without name; with `nameless` without service too.
  static correlate::Shard::Options Capped(bool nameless) {
    auto options = ShardHarness::SmallOptions();
    options.series.max_series = 1;
    options.series.max_overflow_series = nameless ? 0 : 100;
    return options;
  }

  static std::string Stamp(const Left& log, std::string_view key) {
    const auto found = log.attributes.find(std::string(key));
    return found == log.attributes.end() ? "(absent)" : found->second;
  }

  // Of the one log that has left.
  static std::string Stamp(const ShardHarness& harness, std::string_view key) {
    const std::vector<Left> logs = harness.LeftOf(Signal::kLogs);
    EXPECT_THAT(logs, SizeIs(1));
    return logs.empty() ? "" : Stamp(logs[0], key);
  }

  // Every way in which a log and its span may meet while the span is there with its payload.
  template <typename Check>
  static void MeetInAllWays(const correlate::Shard::Options& options, Check check) {
    for (const bool log_first : {true, false}) {
      for (const bool verdict : {false, true}) {
        SCOPED_TRACE(std::string(log_first ? "the log first" : "the span first") +
                     (verdict ? ", until the verdict" : ""));
        auto chosen = options;
        chosen.logs_wait_for_verdict = verdict;
        ShardHarness harness(chosen);
        harness.SendSpans("first", {{.trace = {9, 9}, .span = 9, .name = "takes the one series"}});
        if (log_first) harness.SendLogs("shop", {LogOf(2)});
        harness.SendSpans("gate", {Root()});
        harness.SendSpans("shop", {Child()});
        if (!log_first) harness.SendLogs("shop", {LogOf(2)});
        harness.Pass(verdict ? 3'000 : 300);
        check(harness);
        harness.ExpectBalanced();
      }
    }
  }
};

// Scenario: names are templated; a log meets its span, and the trace its root, in every order.
// Guarantees: the log has the names that span and root came with, not those that they count under.
TEST_F(StampNamesTest, TemplatesAreForMetrics) {
  MeetInAllWays(Templates(), [](ShardHarness& harness) {
    EXPECT_EQ(Stamp(harness, stamp::kSpanName), "load ann");
    EXPECT_EQ(Stamp(harness, stamp::kSpanService), "shop");
    EXPECT_EQ(Stamp(harness, stamp::kRootName), "GET /user/17");
    EXPECT_EQ(Stamp(harness, stamp::kRootService), "gate");
  });
}

// Scenario: the same beyond max_series, and beyond max_overflow_series.
// Guarantees: the log has name and service of span and root nevertheless.
TEST_F(StampNamesTest, TheCapIsForMetrics) {
  for (const bool nameless : {false, true}) {
    MeetInAllWays(Capped(nameless), [](ShardHarness& harness) {
      EXPECT_EQ(Stamp(harness, stamp::kSpanName), "load ann");
      EXPECT_EQ(Stamp(harness, stamp::kSpanService), "shop");
      EXPECT_EQ(Stamp(harness, stamp::kSpanKind), "client");
      EXPECT_EQ(Stamp(harness, stamp::kRootName), "GET /user/17");
      EXPECT_EQ(Stamp(harness, stamp::kRootService), "gate");
    });
  }
}

// Scenario: HTTP status codes make errors of spans.
// Guarantees: a log has its span's own status, as it has the trace's.
TEST_F(StampNamesTest, ErrorPolicyIsForMetrics) {
  auto options = ShardHarness::SmallOptions();
  DeriveOptions derive;
  derive.errors_http_5xx = true;
  options.derive = std::make_shared<const DeriveOptions>(derive);
  for (int status = 0; status < 3; ++status) {
    ShardHarness harness(options);
    SpanSpec span = Child();
    span.status = status;
    span.attributes = {{"http.response.status_code", "503"}};
    harness.SendLogs("shop", {LogOf(2)});
    harness.SendSpans("shop", {span});
    harness.Pass(300);
    const char* const names[] = {"unset", "ok", "error"};
    EXPECT_EQ(Stamp(harness, stamp::kSpanStatus), names[status]);
    EXPECT_EQ(Stamp(harness, stamp::kTraceError), status == 2 ? "true" : "false");
  }
}

// Scenario: a log comes after its trace's verdict, when the spans have left; templated, capped, or neither.
// Guarantees: it has the names that metrics have, as far as there are any.
TEST_F(StampNamesTest, AfterTheVerdictMetricsNamesAreLeft) {
  const auto late = [](const correlate::Shard::Options& options) {
    auto harness = std::make_unique<ShardHarness>(options);
    harness->SendSpans("first", {{.trace = {9, 9}, .span = 9, .name = "takes the one series"}});
    harness->SendSpans("gate", {Root()});
    harness->SendSpans("shop", {{.trace = kTrace, .span = 2, .parent = 1, .name = "load 4711"}});
    harness->Pass(3'000);
    harness->SendLogs("shop", {LogOf(2)});
    harness->Pass(300);
    EXPECT_EQ(Stamp(*harness, stamp::kState), "span");
    return harness;
  };
  const auto templates = late(Templates());
  EXPECT_EQ(Stamp(*templates, stamp::kSpanName), "load {id}");
  EXPECT_EQ(Stamp(*templates, stamp::kRootName), "GET /user/{id}");
  EXPECT_EQ(Stamp(*templates, stamp::kSpanService), "shop");
  const auto capped = late(Capped(false));
  EXPECT_EQ(Stamp(*capped, stamp::kSpanName), "(absent)");
  EXPECT_EQ(Stamp(*capped, stamp::kSpanService), "shop");
  EXPECT_EQ(Stamp(*capped, stamp::kRootName), "(absent)");
  const auto nameless = late(Capped(true));
  EXPECT_EQ(Stamp(*nameless, stamp::kSpanService), "(absent)");
  const auto plain = late(ShardHarness::SmallOptions());
  EXPECT_EQ(Stamp(*plain, stamp::kSpanName), "load 4711");
  EXPECT_EQ(Stamp(*plain, stamp::kRootName), "GET /user/17");
}

// Scenario: spans leave at once (`spans.wait: none`); one that a log waits for comes, one that a log comes
// after.
// Guarantees: the first log has the span's own name, the second what metrics have.
TEST_F(StampNamesTest, SpansThatDoNotWait) {
  auto options = Templates();
  options.spans_wait = false;
  ShardHarness first(options);
  first.SendLogs("shop", {LogOf(2)});
  first.SendSpans("shop", {{.trace = kTrace, .span = 2, .parent = 1, .name = "load 4711"}});
  first.Pass(300);
  EXPECT_EQ(Stamp(first, stamp::kSpanName), "load 4711");
  ShardHarness second(options);
  second.SendSpans("shop", {{.trace = kTrace, .span = 2, .parent = 1, .name = "load 4711"}});
  second.SendLogs("shop", {LogOf(2)});
  second.Pass(300);
  EXPECT_EQ(Stamp(second, stamp::kSpanName), "load {id}");
}

// Scenario: a span of its own name counts where a templated one does; names beyond max_value_bytes; no name.
// Guarantees: each log has its own span's name, cut as labels are; nothing where there is none.
TEST_F(StampNamesTest, NamesThatMeet) {
  auto options = Templates();
  options.series.max_value_bytes = 20;
  ShardHarness harness(options);
  const std::vector<std::pair<std::string, std::string>> names = {
      {"load {id}", "load {id}"},
      {"load 1", "load 1"},
      {"load 12345678901234567890", "load 123456789012345"},
      {"load 1234567890123\xc3\xa9\xc3\xa9", "load 1234567890123\xc3\xa9"},
      {"a name without digits at all", "a name without digit"},
      {"", "(absent)"}};
  for (const int round : {0, 1}) {
    for (size_t i = 0; i < names.size(); ++i) {
      const uint64_t id = 100 * static_cast<uint64_t>(round) + i + 1;
      harness.SendSpans("shop", {{.trace = {5, id}, .span = id, .parent = 999, .name = names[i].first}});
      harness.SendLogs("shop", {{.trace = {5, id}, .span = id, .body = std::to_string(id)}});
    }
  }
  harness.Pass(300);
  const std::vector<Left> logs = harness.LeftOf(Signal::kLogs);
  ASSERT_THAT(logs, SizeIs(2 * names.size()));
  for (size_t i = 0; i < logs.size(); ++i)
    EXPECT_EQ(Stamp(logs[i], stamp::kSpanName), names[i % names.size()].second);
}

}  // namespace
}  // namespace braid::test
