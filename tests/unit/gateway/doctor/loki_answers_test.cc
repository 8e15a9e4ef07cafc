#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include "gateway/doctor/loki_probe.h"
#include "tests/unit/gateway/doctor/scripted_peer.h"

namespace braid::gateway::doctor {
namespace {

using testing::HasSubstr;

constexpr const char* kTrace = "b0000000000000000000000000000001";
constexpr const char* kConfig =
    "target: all\n"
    "schema_config:\n"
    "  configs:\n"
    "  - {from: \"2020-10-24\", store: boltdb-shipper, schema: v11}\n"
    "  - {from: \"2023-01-01T00:00:00Z\", store: tsdb, object_store: filesystem, schema: v13}\n"
    "  - {from: \"2024-01-01\", store: boltdb-shipper, schema: v11}\n"  // after the day of the test
    "limits_config:\n"
    "  allow_structured_metadata: true\n";

std::string Streams(const std::string& result, const std::string& kind = "streams") {
  return R"({"status":"success","data":{"resultType":")" + kind + R"(","result":[)" + result + "]}}";
}

const std::string kFound =
    Streams(std::string(R"({"stream":{"service_name":"braid-doctor"},"values":[["1700000000000000000","l",
    {"structuredMetadata":{"trace_id":")") +
            kTrace + R"("}}]]})");
const std::string kMerged = Streams(std::string(R"({"stream":{"service_name":"braid-doctor","trace_id":")") +
                                    kTrace + R"("},"values":[["1700000000000000000","l"]]})");
const std::string kBare =
    Streams(R"({"stream":{"service_name":"braid-doctor"},"values":[["1700000000000000000","l"]]})");

class LokiAnswersTest : public testing::Test {
 protected:
  LokiAnswersTest() {
    loki_.Answers("/ready", "ready\n");
    loki_.Answers("/loki/api/v1/status/buildinfo", R"({"version":"3.1.0"})");
    loki_.Answers("/config", kConfig);
    loki_.Answers("/loki/api/v1/push", "", 204);
    loki_.Answers("/loki/api/v1/query_range", kFound);
    options_.now_ns = 1'700'000'000'000'000'000;  // in November 2023
    options_.trace_id = kTrace;
    options_.span_id = "b000000000000002";
    options_.pause = [this] { ++pauses_; };
  }

  Report Probe() {
    Report report;
    Peer peer = loki_.Make();
    pauses_ = 0;
    ProbeLoki(peer, options_, &report);
    EXPECT_EQ(report.checks().size(), 5u);  // each ID once
    return report;
  }

  Script loki_;
  LokiOptions options_;
  int pauses_ = 0;
};

// Scenario: a Loki that takes structured metadata and finds it.
// Guarantees: all is ok; the line that was written has the IDs as metadata and not as labels.
TEST_F(LokiAnswersTest, Good) {
  const Report report = Probe();
  EXPECT_EQ(report.Count(Verdict::kOk), 5u) << RenderText(report, false);
  const auto push = std::find_if(loki_.asked.begin(), loki_.asked.end(),
                                 [](const Ask& ask) { return ask.method == "POST"; });
  ASSERT_NE(push, loki_.asked.end());
  const boost::json::value body = boost::json::parse(push->body);
  EXPECT_EQ(body,
            boost::json::parse(
                R"({"streams":[{"stream":{"service_name":"braid-doctor"},"values":[["1700000000000000000",
      "braid doctor: a line to test structured metadata with, nothing else",
      {"trace_id":"b0000000000000000000000000000001","span_id":"b000000000000002"}]]}]})"));
  EXPECT_THAT(Only(report, "loki.write").message,
              HasSubstr("wrote one line to {service_name=\"braid-doctor\"}"));
  loki_.Answers("/loki/api/v1/query_range", kMerged);  // one that does not tell labels and metadata apart
  EXPECT_EQ(Only(Probe(), "loki.read").verdict, Verdict::kOk);
}

// Scenario: the push is refused, in the words that Loki has for it.
// Guarantees: a failure with the advice that fits, and nothing is looked for.
TEST_F(LokiAnswersTest, Refusals) {
  const struct {
    int status;
    const char* body;
    const char* advice;
  } kRefusals[] = {
      {400,
       "stream '{service_name=\"braid-doctor\"}' includes structured metadata, but this feature is "
       "disallowed. Please see "
       "`limits_config.allow_structured_metadata` or contact your Loki administrator to enable it.",
       "allow_structured_metadata: true\n  schema_config:"},
      {400, "stream '{a}' has structured metadata too large: '70000' bytes, limit: '65536' bytes.",
       "max_structured_metadata_size"},
      {400,
       "entry for stream '{a}' has timestamp too old: 2023-11-14T22:13:20Z, oldest acceptable timestamp is: "
       "x",
       "reject_old_samples_max_age"},
      {400, "entry too far behind, entry timestamp is: x, oldest acceptable timestamp is: y",
       "reject_old_samples_max_age"},
      {400, "entry for stream '{a}' has timestamp too new: 2033", "creation_grace_period"},
      {400, "loghttp.PushRequest.Streams: unmarshalerDecoder: Value looks like Number/Boolean/None",
       "use Loki 3"},
      {401, "no org id", "--org-id TENANT"},
      {403, "", "--org-id TENANT"},
      {429, "Ingestion rate limit exceeded for user fake (limit: 4194304 bytes/sec)", "ingestion_rate_mb"},
      {404, "404 page not found", "path prefix"},
      {500, "empty ring", "log says why"},
  };
  for (const auto& refusal : kRefusals) {
    loki_.Answers("/loki/api/v1/push", refusal.body, refusal.status);
    const Report report = Probe();
    const Check write = Only(report, "loki.write");
    EXPECT_EQ(write.verdict, Verdict::kFail);
    EXPECT_THAT(write.message, HasSubstr("status " + std::to_string(refusal.status)));
    EXPECT_THAT(write.advice, HasSubstr(refusal.advice)) << refusal.body;
    EXPECT_EQ(Only(report, "loki.read").verdict, Verdict::kSkipped);
  }
}

// Scenario: the line is found only later, without its metadata, never, or queries are not answered.
// Guarantees: each is told apart; it is looked for as often as allowed.
TEST_F(LokiAnswersTest, Reading) {
  loki_.Answers("/loki/api/v1/query_range", Streams(""));
  options_.pause = [this] {
    if (++pauses_ == 3) loki_.Answers("/loki/api/v1/query_range", kFound);
  };
  EXPECT_EQ(Only(Probe(), "loki.read").verdict, Verdict::kOk);
  EXPECT_EQ(pauses_, 3);

  loki_.Answers("/loki/api/v1/query_range", kBare);
  EXPECT_THAT(Only(Probe(), "loki.read").message, HasSubstr("thrown away"));
  EXPECT_EQ(Only(Probe(), "loki.read").verdict, Verdict::kFail);

  options_.pause = [this] { ++pauses_; };
  loki_.Answers("/loki/api/v1/query_range", Streams(""));
  EXPECT_EQ(Only(Probe(), "loki.read").verdict, Verdict::kWarn);
  EXPECT_EQ(pauses_, options_.looks - 1);

  loki_.Answers("/loki/api/v1/query_range", "no org id", 401);
  EXPECT_THAT(Only(Probe(), "loki.read").advice, HasSubstr("X-Scope-OrgID"));
}

// Scenario: configurations that do not allow it, and some that say nothing.
// Guarantees: a failure with the settings; skipped, and the write decides.
TEST_F(LokiAnswersTest, Configuration) {
  const auto config = [&](const std::string& text) {
    loki_.Answers("/config", text);
    return Only(Probe(), "loki.config");
  };
  EXPECT_THAT(Only(Probe(), "loki.config").message, HasSubstr("schema v13 on tsdb"));
  std::string off = kConfig;
  off.replace(off.find("metadata: true"), 14, "metadata: false");
  EXPECT_EQ(config(off).verdict, Verdict::kFail);
  EXPECT_THAT(config(off).advice, HasSubstr("allow_structured_metadata: true"));
  std::string old = kConfig;
  old.replace(old.find("schema: v13"), 11, "schema: v12");
  EXPECT_THAT(config(old).message, HasSubstr("v12 on tsdb; v13 on tsdb is needed"));
  std::string store = kConfig;
  store.replace(store.find("store: tsdb"), 11, "store: boltdb-shipper");
  EXPECT_THAT(config(store).message, HasSubstr("v13 on boltdb-shipper; v13 on tsdb is needed"));
  for (const char* odd :
       {"", "- a\n", "schema_config: 1\n", "schema_config: {configs: []}\n", "a: [\n", "<html>"}) {
    EXPECT_EQ(config(odd).verdict, Verdict::kSkipped) << odd;
  }
}

// Scenario: nothing is to be written.
// Guarantees: nothing is; what can be seen without is seen.
TEST_F(LokiAnswersTest, NoWrite) {
  options_.write = false;
  const Report report = Probe();
  EXPECT_EQ(report.Count(Verdict::kOk), 3u);
  EXPECT_EQ(report.Count(Verdict::kSkipped), 2u);
  for (const Ask& ask : loki_.asked) EXPECT_EQ(ask.method, "GET");
}

// Scenario: nobody is there, it is starting, it wants a tenant, it is old, or behind a gateway that hides
// /ready. Guarantees: each is told apart.
TEST_F(LokiAnswersTest, ReachableAndVersion) {
  loki_.Answers("/loki/api/v1/status/buildinfo", R"({"version":"2.8.4"})");
  EXPECT_EQ(Only(Probe(), "loki.version").verdict, Verdict::kFail);
  loki_.Answers("/loki/api/v1/status/buildinfo", R"({"version":"2.9.1"})");
  EXPECT_EQ(Only(Probe(), "loki.version").verdict, Verdict::kOk);
  loki_.Answers("/ready", "404", 404);
  EXPECT_EQ(Only(Probe(), "loki.reachable").verdict, Verdict::kOk);
  loki_.Answers("/ready", "Ingester not ready: waiting for 15s after being ready", 503);
  EXPECT_THAT(Only(Probe(), "loki.reachable").message, HasSubstr("waiting for 15s"));
  loki_.Answers("/ready", "no org id", 401);
  EXPECT_THAT(Only(Probe(), "loki.reachable").advice, HasSubstr("tenant: TENANT"));
  loki_.gone = true;
  const Report gone = Probe();
  EXPECT_EQ(gone.Count(Verdict::kFail), 1u);
  EXPECT_EQ(gone.Count(Verdict::kSkipped), 4u);
}

// Scenario: each path in turn, and all at once, answers with something else than Loki does.
// Guarantees: no crash, each ID once; never all ok.
TEST_F(LokiAnswersTest, WrongShapes) {
  const Script good = loki_;
  options_.looks = 2;
  for (const auto& [status, body] : WrongAnswers()) {
    for (const std::string& path : good.Paths()) {
      loki_.Answers(path, body, status);
      const Report report = Probe();
      // A gateway may answer /ready, and anything of the 200s takes a push.
      const bool decides = path != "/ready" && !(path == "/loki/api/v1/push" && status / 100 == 2);
      if (decides) {
        EXPECT_LT(report.Count(Verdict::kOk), 5u) << path << ' ' << status << body;
      }
      loki_ = good;
    }
    for (const std::string& path : good.Paths()) loki_.Answers(path, body, status);
    EXPECT_EQ(Only(Probe(), "loki.reachable").verdict, Verdict::kFail) << status << body;
    loki_ = good;
  }
}

}  // namespace
}  // namespace braid::gateway::doctor
