#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/doctor/trace_backends.h"
#include "tests/unit/gateway/doctor/scripted_peer.h"

namespace braid::gateway::doctor {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kV2 = R"({"trace":{"resourceSpans":[{"scopeSpans":[]}]},"metrics":{}})";
constexpr const char* kV1 = R"({"batches":[{"scopeSpans":[]}]})";
constexpr const char* kJaeger = R"({"data":[{"traceID":"aa","spans":[{}]}],"errors":null})";

class TraceAnswersTest : public testing::Test {
 protected:
  TraceAnswersTest() {
    facts_.asked = facts_.answered = facts_.has_status = true;
    facts_.traces = {"aa", "bb"};
    facts_.sinks = {{.name = "backend", .traces = true, .logs = false, .failures = 0, .last_error = {}}};
    tempo_.Answers("/api/echo", "echo");
    tempo_.Answers("/api/v2/traces/", kV2);
    jaeger_.Answers("/api/services", R"({"data":["cart"],"total":1})");
    jaeger_.Answers("/api/traces/", kJaeger);
  }

  Report Tempo() {
    Report report;
    Peer peer = tempo_.Make("http://tempo:3200");
    ProbeTempo(peer, facts_, &report);
    EXPECT_EQ(report.checks().size(), 2u);
    return report;
  }
  Report Jaeger() {
    Report report;
    Peer peer = jaeger_.Make("http://jaeger:16686");
    ProbeJaeger(peer, facts_, &report);
    EXPECT_EQ(report.checks().size(), 3u);
    return report;
  }

  Script tempo_, jaeger_;
  BraidFacts facts_;
};

// Scenario: backends that have the traces, by the newer and the older path; by /ready for /api/echo.
// Guarantees: all ok.
TEST_F(TraceAnswersTest, Good) {
  EXPECT_EQ(Tempo().Count(Verdict::kOk), 2u);
  tempo_.Answers("/api/v2/traces/", "", 404);
  tempo_.Answers("/api/traces/", kV1);
  tempo_.Forget("/api/echo");
  tempo_.Answers("/ready", "ready\n");
  EXPECT_EQ(Tempo().Count(Verdict::kOk), 2u);
  EXPECT_EQ(Jaeger().Count(Verdict::kOk), 3u);
}

// Scenario: the traces are not there, by status or by an empty answer: without a sink, with a failing one,
// with one that is well; some of them are there. Guarantees: a failure that says where to look; a warning.
TEST_F(TraceAnswersTest, Missing) {
  const auto advice = [&] {
    const Check check = Only(Tempo(), "tempo.trace");
    EXPECT_EQ(check.verdict, Verdict::kFail) << check.message;
    EXPECT_THAT(check.message, HasSubstr("none of 2 traces of Braid's exemplars, such as bb"));
    return check.advice;
  };
  tempo_.Answers("/api/v2/traces/", R"({"trace":{},"metrics":{}})");
  EXPECT_THAT(advice(), AllOf(HasSubstr("backend"), HasSubstr("flushed"), HasSubstr("samplers")));
  tempo_.Forget("/api/v2/traces/");
  facts_.sinks[0].failures = 3;
  facts_.sinks[0].last_error = "connect tempo:4317 refused";
  EXPECT_THAT(advice(), HasSubstr("Sink 'backend' of Braid is failing (connect tempo:4317 refused)"));
  facts_.sinks[0].traces = false;
  EXPECT_THAT(advice(),
              AllOf(HasSubstr("No sink of Braid takes traces"), HasSubstr("endpoint: http://tempo:4317")));
  tempo_.Answers("/api/v2/traces/aa", kV2);
  EXPECT_EQ(Only(Tempo(), "tempo.trace").verdict, Verdict::kWarn);

  jaeger_.Answers("/api/traces/", R"({"data":null,"errors":[{"code":404,"msg":"trace not found"}]})", 404);
  EXPECT_EQ(Only(Jaeger(), "jaeger.trace").verdict, Verdict::kFail);
  jaeger_.Answers("/api/services", R"({"data":null,"total":0})");
  EXPECT_EQ(Only(Jaeger(), "jaeger.services").verdict, Verdict::kWarn);
}

// Scenario: Braid is not there, or has no exemplar; the backend is not there, wants a tenant, or is something
// else. Guarantees: skipped; a failure that says so.
TEST_F(TraceAnswersTest, NothingToAsk) {
  facts_.traces.clear();
  EXPECT_THAT(Only(Tempo(), "tempo.trace").message, HasSubstr("braid.exemplars"));
  facts_.answered = false;
  EXPECT_EQ(Only(Jaeger(), "jaeger.trace").verdict, Verdict::kSkipped);
  tempo_.Answers("/api/echo", "no org id", 401);
  EXPECT_THAT(Only(Tempo(), "tempo.reachable").advice, HasSubstr("--org-id"));
  tempo_.Answers("/api/echo", "<html>");
  EXPECT_THAT(Only(Tempo(), "tempo.reachable").advice, HasSubstr("3200"));
  tempo_.gone = jaeger_.gone = true;
  EXPECT_EQ(Tempo().Count(Verdict::kFail), 1u);
  EXPECT_EQ(Jaeger().Count(Verdict::kFail), 1u);
}

// Scenario: each path in turn answers with something else than the backend does.
// Guarantees: no crash, each ID once, never all ok.
TEST_F(TraceAnswersTest, WrongShapes) {
  const Script good_tempo = tempo_, good_jaeger = jaeger_;
  for (const auto& [status, body] : WrongAnswers()) {
    for (const std::string& path : good_tempo.Paths()) {
      tempo_.Answers(path, body, status);
      EXPECT_LT(Tempo().Count(Verdict::kOk), 2u) << path << ' ' << status << body;
      tempo_ = good_tempo;
    }
    for (const std::string& path : good_jaeger.Paths()) {
      jaeger_.Answers(path, body, status);
      EXPECT_LT(Jaeger().Count(Verdict::kOk), 3u) << path << ' ' << status << body;
      jaeger_ = good_jaeger;
    }
  }
}

}  // namespace
}  // namespace braid::gateway::doctor
