#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/doctor/braid_probe.h"
#include "tests/unit/gateway/doctor/scripted_peer.h"

namespace braid::gateway::doctor {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kStatus = R"({"version":"0.1.0","journal":{"mode":"memory"},"pressure":0,
 "memory":{"slabUsedBytes":1048576,"slabMaxBytes":268435456},
 "account":{"ingress":{"traces":{"received":5,"accepted":5,"balanced":true}},
            "sinks":{"braid":{"traces":{"balanced":true}},"tempo":{"traces":{"balanced":true},"logs":{"balanced":true}}}},
 "store":{"horizonSeconds":90},
 "lanes":[{"sink":"tempo","consecutiveFailures":0,"lastError":""},{"sink":"tempo","consecutiveFailures":0,"lastError":""}]})";

constexpr const char* kDerived =
    "# TYPE traces_spanmetrics_calls counter\n"
    "traces_spanmetrics_calls_total{service=\"a\"} 1 # {trace_id=\"0a\"} 1 20\n"
    "traces_spanmetrics_calls_total{service=\"b\"} 1 # {trace_id=\"0b\"} 1 10\n"
    "traces_spanmetrics_calls_total{service=\"c\"} 1 # {trace_id=\"0a\"} 1 5\n"
    "# TYPE traces_spanmetrics_latency histogram\n"
    "traces_spanmetrics_latency_bucket{le=\"0.1\"} 1\n"
    "# EOF\n";

class BraidAnswersTest : public testing::Test {
 protected:
  BraidAnswersTest() {
    braid_.Answers("/readyz", "ok\n");
    braid_.Answers("/api/v1/status", kStatus);
    braid_.Answers("/metrics?only=self",
                   "process_start_time_seconds 1700000000.25\nbraid_series_derived_series 3\n# EOF\n");
    braid_.Answers("/metrics?only=derived", kDerived);
    braid_.Answers("/metrics?only=ingested", "# EOF\n");
    braid_.Answers("/api/v1/traces/", R"({"traceId":"0a"})");
  }

  Report Probe() {
    Report report;
    Peer peer = braid_.Make();
    facts_ = ProbeBraid(peer, &report);
    EXPECT_EQ(report.checks().size(), 8u);  // each ID once
    return report;
  }

  // The status with one thing changed.
  void Status(const std::string& from, const std::string& to) {
    std::string status = kStatus;
    const size_t at = status.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    braid_.Answers("/api/v1/status", status.replace(at, from.size(), to));
  }

  Script braid_;
  BraidFacts facts_;
};

// Scenario: a Braid that is well.
// Guarantees: all checks are ok, and what others need to know is known.
TEST_F(BraidAnswersTest, Well) {
  const Report report = Probe();
  EXPECT_EQ(report.Count(Verdict::kOk), 8u);
  EXPECT_TRUE(facts_.answered && facts_.has_page && facts_.whole_page && facts_.tempo && !facts_.otel);
  EXPECT_FALSE(facts_.native_only);
  EXPECT_EQ(facts_.page.samples, 6u);
  EXPECT_EQ(facts_.start_seconds(), 1700000000.25);
  EXPECT_THAT(facts_.traces, ElementsAre("0a", "0b"));  // by time, each once
  ASSERT_EQ(facts_.sinks.size(), 1u);
  EXPECT_TRUE(facts_.sinks[0].traces && facts_.sinks[0].logs);
  EXPECT_EQ(facts_.store_horizon_seconds, 90);
}

// Scenario: one thing at a time is wrong with Braid.
// Guarantees: the check it belongs to says so.
TEST_F(BraidAnswersTest, EachTrouble) {
  const struct {
    const char* from;
    const char* to;
    const char* id;
    Verdict verdict;
    const char* says;
  } kTroubles[] = {
      {"\"tempo\":{\"traces\":{\"balanced\":true}", "\"tempo\":{\"traces\":{\"balanced\":false}",
       "braid.account", Verdict::kFail, "traces of sink tempo"},
      {"\"pressure\":0", "\"pressure\":1", "braid.memory", Verdict::kWarn, "level 1 of 3"},
      {"\"pressure\":0", "\"pressure\":3", "braid.memory", Verdict::kFail, "new requests are refused"},
      {"\"received\":5,\"accepted\":5", "\"received\":0,\"accepted\":0", "braid.spans", Verdict::kWarn,
       "no span has come"},
      {"\"received\":5,\"accepted\":5", "\"received\":5,\"accepted\":0", "braid.spans", Verdict::kWarn,
       "none was accepted"},
      {"\"consecutiveFailures\":0,\"lastError\":\"\"",
       "\"consecutiveFailures\":7,\"lastError\":\"connect refused\"", "braid.sinks", Verdict::kFail,
       "sink 'tempo' has failed 7 times in a row: connect refused"},
  };
  for (const auto& trouble : kTroubles) {
    Status(trouble.from, trouble.to);
    const Report report = Probe();
    const Check check = Only(report, trouble.id);
    EXPECT_EQ(check.verdict, trouble.verdict) << trouble.id << ' ' << check.message;
    EXPECT_THAT(check.message, HasSubstr(trouble.says));
    EXPECT_NE(check.advice, "");
    EXPECT_EQ(report.Count(Verdict::kOk), 7u) << trouble.to;
  }
}

// Scenario: exemplars whose trace is gone; none at all; a page without derived metrics; one of native
// histograms. Guarantees: each is told apart.
TEST_F(BraidAnswersTest, Pages) {
  braid_.Answers("/api/v1/traces/", "{}", 404);
  EXPECT_EQ(Only(Probe(), "braid.exemplars").verdict, Verdict::kFail);
  braid_.Answers("/metrics?only=derived", "# EOF\n");
  const Report empty = Probe();
  EXPECT_EQ(Only(empty, "braid.exemplars").verdict, Verdict::kWarn);
  EXPECT_EQ(Only(empty, "braid.derived").verdict, Verdict::kWarn);
  braid_.Answers("/metrics?only=derived",
                 "# TYPE traces_span_metrics_duration_milliseconds histogram\n"
                 "traces_span_metrics_duration_milliseconds_bucket{le=\"+Inf\"} 1\n# EOF\n");
  EXPECT_THAT(Only(Probe(), "braid.derived").message, HasSubstr("dialect otel, native histograms only"));
  EXPECT_TRUE(facts_.native_only && facts_.otel);
}

// Scenario: nobody is there; Braid starts, or stops; something else answers.
// Guarantees: a failure that says which; only in the second case is Braid there.
TEST_F(BraidAnswersTest, NotThere) {
  braid_.gone = true;
  const Report gone = Probe();
  EXPECT_FALSE(facts_.answered);
  EXPECT_THAT(Only(gone, "braid.ready").message, HasSubstr("Connection refused"));
  EXPECT_EQ(gone.Count(Verdict::kSkipped), 7u);
  braid_.gone = false;
  braid_.Answers("/readyz", "draining\n", 503);
  EXPECT_THAT(Only(Probe(), "braid.ready").message, HasSubstr("draining"));
  EXPECT_TRUE(facts_.answered);
  braid_.Answers("/readyz", "<html>", 200);
  EXPECT_THAT(Only(Probe(), "braid.ready").advice, HasSubstr("web.listen"));
  EXPECT_FALSE(facts_.answered);
}

// Scenario: each path in turn, and all at once, answers with something else than Braid does.
// Guarantees: no crash, each ID once, and something is found.
TEST_F(BraidAnswersTest, WrongShapes) {
  for (const auto& [status, body] : WrongAnswers()) {
    for (const std::string& path : braid_.Paths()) {
      Script good = braid_;
      braid_.Answers(path, body, status);
      const Report report = Probe();
      if (path != "/metrics?only=ingested") {
        EXPECT_LT(report.Count(Verdict::kOk), 8u) << path << ' ' << status << body;
      }
      braid_ = good;
    }
    Script good = braid_;
    for (const std::string& path : braid_.Paths()) braid_.Answers(path, body, status);
    EXPECT_EQ(Only(Probe(), "braid.ready").verdict, Verdict::kFail) << status << body;
    braid_ = good;
  }
}

// Scenario: a server that answers nothing any more after it was ready.
// Guarantees: it is asked twice more and no further.
TEST_F(BraidAnswersTest, AsksADeadServerTwice) {
  Peer peer = braid_.Make();
  Report report;
  braid_.gone = true;
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(peer.Get("/x").ok());
  EXPECT_EQ(braid_.asked.size(), 2u);
}

}  // namespace
}  // namespace braid::gateway::doctor
