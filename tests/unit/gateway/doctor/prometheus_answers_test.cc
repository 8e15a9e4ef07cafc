#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/doctor/prometheus_api.h"
#include "gateway/doctor/prometheus_probe.h"
#include "tests/unit/gateway/doctor/scripted_peer.h"

namespace braid::gateway::doctor {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kTarget =
    R"({"labels":{"job":"braid","instance":"b:9464"},"scrapeUrl":"http://b:9464/metrics",
  "health":"up","lastError":"","scrapeInterval":"15s"})";

std::string Data(const std::string& data) { return R"({"status":"success","data":)" + data + "}"; }

std::string Targets(const std::string& targets) { return Data(R"({"activeTargets":[)" + targets + "]}"); }

// A vector of one sample.
std::string Value(const std::string& value, const std::string& labels = "") {
  return Data(R"({"resultType":"vector","result":[{"metric":{)" + labels + R"(},"value":[1,")" + value +
              R"("]}]})");
}
std::string Nothing() { return Data(R"({"resultType":"vector","result":[]})"); }

std::string Query(const std::string& query) { return "/api/v1/query?query=" + Escape(query); }

constexpr const char* kJob = R"("job":"braid","instance":"b:9464")";
constexpr const char* kMatchers = R"(job="braid",instance="b:9464")";
constexpr const char* kProcesses = "process_start_time_seconds and on (job, instance) braid_build_info";

class PrometheusAnswersTest : public testing::Test {
 protected:
  PrometheusAnswersTest() {
    braid_.Answers("/api/v1/traces/", R"({"traceId":"a"})");
    facts_.asked = facts_.answered = facts_.has_page = facts_.whole_page = facts_.tempo = facts_.has_status =
        true;
    facts_.url = "http://b:9464";
    facts_.page.samples = 120;
    facts_.page.values["process_start_time_seconds"] = 1700000000.25;
    facts_.page.families = {"traces_spanmetrics_calls", "traces_spanmetrics_latency"};
    facts_.traces = {"aa"};
    Good();
  }

  void Good() {
    prometheus_.Answers("/-/ready", "Prometheus Server is Ready.\n");
    prometheus_.Answers("/api/v1/status/buildinfo", Data(R"({"version":"2.42.0"})"));
    prometheus_.Answers("/api/v1/status/flags", Data(R"({"enable-feature":"agent,exemplar-storage"})"));
    prometheus_.Answers("/api/v1/targets", Targets(kTarget));
    prometheus_.Answers(Query(kProcesses), Value("1700000000.25", kJob));
    prometheus_.Answers(Query(std::string("time() - timestamp(up{") + kMatchers), Value("3.5"));
    prometheus_.Answers(Query("scrape_samples_scraped"), Value("118"));
    prometheus_.Answers(Query("scrape_samples_post"), Value("118"));
    prometheus_.Answers(Query("count by (job, instance) (braid_build_info)"), Value("1", kJob));
    prometheus_.Answers(Query("count by (__name__)"),
                        Value("4", R"("__name__":"traces_spanmetrics_calls_total")"));
    prometheus_.Answers(Query("vector(time())"), Value("1700000100"));
    prometheus_.Answers(Query("count(histogram_count"), Nothing());
    prometheus_.Answers("/api/v1/query_exemplars", Exemplars(R"("trace_id":"aa","span_id":"bb")"));
    prometheus_.Answers("/api/v1/rules",
                        Data(R"({"groups":[{"name":"braid","rules":[{"type":"alerting","name":"BraidDown",
                             "query":"up{job=\"braid\"} == 0 or braid_memory_pressure_level > 2","health":"ok"}]}]})"));
  }

  static std::string Exemplars(const std::string& labels) {
    return Data(R"([{"seriesLabels":{},"exemplars":[{"labels":{)" + labels +
                R"(},"value":"1","timestamp":1700000090}]}])");
  }

  Report Probe() {
    Report report;
    Peer prometheus = prometheus_.Make();
    Peer braid = braid_.Make("http://b:9464");
    ProbePrometheus(prometheus, facts_, &braid, &report);
    return report;
  }

  Script prometheus_, braid_;
  BraidFacts facts_;
};

// Scenario: a Prometheus that does all that Braid needs.
// Guarantees: all is ok, but for what is not needed.
TEST_F(PrometheusAnswersTest, Good) {
  const Report report = Probe();
  EXPECT_EQ(report.checks().size(), 12u);
  EXPECT_EQ(report.Count(Verdict::kOk), 11u) << RenderText(report, false);
  EXPECT_EQ(Only(report, "prometheus.native_histograms").verdict, Verdict::kSkipped);
  EXPECT_THAT(Only(report, "prometheus.scrape").message, HasSubstr("http://b:9464/metrics"));
}

// Scenario: targets and series in every relation to the Braid that is looked at.
// Guarantees: each is told apart, with what to change.
TEST_F(PrometheusAnswersTest, Scrape) {
  const auto scrape = [&] { return Only(Probe(), "prometheus.scrape"); };
  // Down, for several reasons.
  const std::pair<const char*, const char*> kReasons[] = {
      {"dial tcp 127.0.0.1:9464: connect: connection refused", "listen: 0.0.0.0:9464"},
      {"sample limit exceeded", "sample_limit: 0"},
      {"body size limit exceeded", "body_size_limit: 0"},
      {"context deadline exceeded", "scrape_timeout: 30s"},
      {"server returned HTTP status 404 Not Found", "metrics_path: /metrics"},
      {"x509: certificate signed by unknown authority", "scheme: https"},
      {"something new", "curl -v"}};
  for (const auto& [error, advice] : kReasons) {
    prometheus_.Answers(
        "/api/v1/targets",
        Targets(
            R"({"labels":{"job":"j","instance":"i"},"scrapeUrl":"http://b:9464/metrics","health":"down","lastError":")" +
            std::string(error) + "\"}"));
    prometheus_.Answers(Query(kProcesses), Nothing());
    const Check check = scrape();
    EXPECT_EQ(check.verdict, Verdict::kFail);
    EXPECT_THAT(check.message, AllOf(HasSubstr("is down"), HasSubstr(error)));
    EXPECT_THAT(check.advice, HasSubstr(advice));
  }
  // Not yet scraped.
  prometheus_.Answers("/api/v1/targets",
                      Targets(R"({"labels":{},"scrapeUrl":"http://b:9464/metrics","health":"unknown"})"));
  EXPECT_THAT(scrape().message, HasSubstr("not been scraped yet"));
  // By another name.
  Good();
  facts_.url = "http://127.0.0.1:19464";
  EXPECT_EQ(scrape().verdict, Verdict::kOk);
  // Without a target: remote write.
  prometheus_.Answers("/api/v1/targets", Targets(""));
  EXPECT_THAT(scrape().message, HasSubstr("remote write"));
  EXPECT_EQ(scrape().verdict, Verdict::kOk);
  // Another Braid alone.
  prometheus_.Answers(Query(kProcesses), Value("1600000000", kJob));
  EXPECT_THAT(scrape().message, AllOf(HasSubstr("scrapes another Braid"), HasSubstr("b:9464")));
  EXPECT_THAT(scrape().advice, HasSubstr("- targets: ['127.0.0.1:19464']"));
  // The same address, but an earlier process.
  facts_.url = "http://b:9464";
  prometheus_.Answers("/api/v1/targets", Targets(kTarget));
  EXPECT_THAT(scrape().message, HasSubstr("of another process"));
  // Without its own metrics.
  prometheus_.Answers(Query(kProcesses), Nothing());
  EXPECT_THAT(scrape().message, HasSubstr("without Braid's own metrics"));
  // None, but a job that should be it, with the wrong port.
  prometheus_.Answers(
      "/api/v1/targets",
      Targets(
          R"({"labels":{"job":"my-braid","instance":"i"},"scrapeUrl":"http://b:9999/metrics","health":"down","lastError":"refused"})"));
  EXPECT_THAT(scrape().message, AllOf(HasSubstr("scrapes no Braid"),
                                      HasSubstr("http://b:9999/metrics, which is down: refused")));
  EXPECT_THAT(scrape().advice, HasSubstr("job_name: braid"));
}

// Scenario: one thing at a time is wrong.
// Guarantees: the check it belongs to says so, with what to change.
TEST_F(PrometheusAnswersTest, EachTrouble) {
  const struct {
    std::string path, body, id;
    Verdict verdict;
    const char* says;
    const char* advice;
  } kTroubles[] = {
      {Query("time() - timestamp(up"), Value("120"), "scrape_age", Verdict::kWarn, "120 s ago, every 15 s",
       "scrape_interval"},
      {Query("time() - timestamp(up"), Nothing(), "scrape_age", Verdict::kWarn, "no scrape within",
       "scrape_interval"},
      {Query("scrape_samples_post"), Value("18"), "samples", Verdict::kWarn, "drop 100 of them",
       "metric_relabel_configs"},
      {Query("count by (job, instance)"),
       Data(
           R"({"resultType":"vector","result":[{"metric":{"instance":"x"},"value":[1,"1"]},{"metric":{"instance":"y"},"value":[1,"1"]}]})"),
       "one_braid", Verdict::kWarn, "2 Braids: x, y", "too high"},
      {Query("count by (__name__)"), Nothing(), "derived", Verdict::kFail, "that are not here", "params"},
      {"/api/v1/status/flags", Data(R"({"enable-feature":""})"), "exemplar_storage", Verdict::kFail,
       "is off (--enable-feature is empty)", "--enable-feature=exemplar-storage"},
      {"/api/v1/status/flags", Data(R"({"enable-feature":"no-exemplar-storage"})"), "exemplar_storage",
       Verdict::kFail, "'no-exemplar-storage'", "--enable-feature=exemplar-storage"},
      {"/api/v1/query_exemplars", Data("[]"), "exemplars", Verdict::kFail,
       "none within the last five minutes, though", "OpenMetrics"},
      {"/api/v1/query_exemplars", Exemplars(R"("traceID":"aa")"), "exemplars", Verdict::kFail,
       "no label trace_id (but traceID)", "name: trace_id"},
      {"/api/v1/rules", Data(R"({"groups":[]})"), "rules", Verdict::kWarn, "no alert about Braid",
       "braid rules export > braid-rules.yaml"},
      {"/api/v1/rules",
       Data(
           R"({"groups":[{"name":"g","rules":[{"type":"alerting","name":"A","query":"braid_x > 1","health":"err","lastError":"many-to-many"}]}]})"),
       "rule_health", Verdict::kFail, "rule 'A' of group 'g' fails: many-to-many", "one_braid"},
  };
  for (const auto& trouble : kTroubles) {
    Good();
    prometheus_.Forget(trouble.path);
    Script all = prometheus_;
    for (const std::string& path : all.Paths()) {
      if (path.starts_with(trouble.path)) prometheus_.Forget(path);  // the longer one would win
    }
    prometheus_.Answers(trouble.path, trouble.body);
    const Check check = Only(Probe(), "prometheus." + trouble.id);
    EXPECT_EQ(check.verdict, trouble.verdict) << trouble.id << ": " << check.message;
    EXPECT_THAT(check.message, HasSubstr(trouble.says));
    EXPECT_THAT(check.advice, HasSubstr(trouble.advice));
    prometheus_ = all;
  }
}

// Scenario: Braid has lost the traces of exemplars, then shows none itself; flags are not told (others than
// Prometheus). Guarantees: a warning that names the horizon; a warning and no failure; what is there decides.
TEST_F(PrometheusAnswersTest, Exemplars) {
  facts_.store_horizon_seconds = 42;
  braid_.Answers("/api/v1/traces/", "{}", 404);
  const Check lost = Only(Probe(), "prometheus.exemplar_traces");
  EXPECT_EQ(lost.verdict, Verdict::kWarn);
  EXPECT_THAT(lost.message,
              AllOf(HasSubstr("only 0 of 1"), HasSubstr("reaches back 42 s"), HasSubstr("(not aa)")));
  EXPECT_THAT(lost.advice, HasSubstr("max_bytes"));

  facts_.traces.clear();
  prometheus_.Answers("/api/v1/query_exemplars", Data("[]"));
  EXPECT_EQ(Only(Probe(), "prometheus.exemplars").verdict, Verdict::kWarn);

  Good();
  prometheus_.Answers("/api/v1/status/flags", "not found", 404);
  const Report report = Probe();
  EXPECT_EQ(Only(report, "prometheus.exemplar_storage").verdict, Verdict::kSkipped);
  EXPECT_EQ(Only(report, "prometheus.exemplars").verdict, Verdict::kOk);
}

// Scenario: 1,000 exemplars of 500 traces over five minutes.
// Guarantees: at most twenty are asked for, the first and the last among them.
TEST_F(PrometheusAnswersTest, ResolvesAtMostTwenty) {
  std::string list;
  for (int i = 0; i < 1000; ++i) {
    list += (i == 0 ? "" : ",") + std::string(R"({"labels":{"trace_id":"t)") + std::to_string(i / 2) +
            R"("},"timestamp":)" + std::to_string(1700000000 + i / 5) + "}";
  }
  prometheus_.Answers("/api/v1/query_exemplars", Data(R"([{"exemplars":[)" + list + "]}]"));
  EXPECT_THAT(Only(Probe(), "prometheus.exemplar_traces").message, HasSubstr("20 of 20"));
  ASSERT_EQ(braid_.asked.size(), 20u);
  EXPECT_EQ(braid_.asked.front().path, "/api/v1/traces/t0");
  EXPECT_EQ(braid_.asked.back().path, "/api/v1/traces/t499");
}

// Scenario: Braid shows native histograms only; Prometheus has none, then has them.
// Guarantees: a failure that names the flag and the setting; ok.
TEST_F(PrometheusAnswersTest, NativeHistograms) {
  facts_.native_only = true;
  const Check none = Only(Probe(), "prometheus.native_histograms");
  EXPECT_EQ(none.verdict, Verdict::kFail);
  EXPECT_THAT(none.advice,
              AllOf(HasSubstr("--enable-feature=native-histograms"), HasSubstr("histograms: both")));
  prometheus_.Answers(Query("count(histogram_count"), Value("12"));
  EXPECT_EQ(Only(Probe(), "prometheus.native_histograms").verdict, Verdict::kOk);
}

// Scenario: nobody is there, it is starting, it asks for credentials, it is something else.
// Guarantees: one failure, all else skipped, and advice that fits.
TEST_F(PrometheusAnswersTest, NotThere) {
  const auto reach = [&] {
    const Report report = Probe();
    EXPECT_EQ(report.Count(Verdict::kFail), 1u);
    EXPECT_EQ(report.Count(Verdict::kSkipped), 11u);
    return Only(report, "prometheus.reachable");
  };
  prometheus_.gone = true;
  EXPECT_THAT(reach().advice, HasSubstr("--prometheus says where it is"));
  prometheus_.gone = false;
  prometheus_.Answers("/-/ready", "Service Unavailable", 503);
  EXPECT_THAT(reach().message, HasSubstr("not ready"));
  prometheus_.Answers("/-/ready", "", 401);
  prometheus_.Answers("/api/v1/status/buildinfo", "Unauthorized", 401);
  EXPECT_THAT(reach().advice, HasSubstr("credentials"));
  prometheus_.Answers("/api/v1/status/buildinfo", "<html>", 200);
  EXPECT_THAT(reach().message, HasSubstr("not JSON"));
}

// Scenario: each path in turn, and all at once, answers with something else than Prometheus does.
// Guarantees: no crash, every ID is there; something is found, unless the path decides nothing by itself.
TEST_F(PrometheusAnswersTest, WrongShapes) {
  const Script good = prometheus_;
  for (const auto& [status, body] : WrongAnswers()) {
    for (const std::string& path : good.Paths()) {
      prometheus_.Answers(path, body, status);
      const Report report = Probe();
      EXPECT_GE(report.checks().size(), 12u);
      const bool decides = path != "/-/ready" && !path.ends_with("histogram_count");
      if (decides) {
        EXPECT_LT(report.Count(Verdict::kOk), 11u) << path << ' ' << status << body;
      }
      prometheus_ = good;
    }
    for (const std::string& path : good.Paths()) prometheus_.Answers(path, body, status);
    EXPECT_EQ(Only(Probe(), "prometheus.reachable").verdict, Verdict::kFail) << status << body;
    prometheus_ = good;
  }
}

// Scenario: label values with quotes; durations in Prometheus' spelling, and others.
// Guarantees: quoted; read, and refused.
TEST(PrometheusApiTest, Spelling) {
  EXPECT_EQ(Matcher("job", "a\"b\\c\nd"), R"(job="a\"b\\c\nd")");
  EXPECT_EQ(ParsePrometheusDuration("1m30s"), 90);
  EXPECT_EQ(ParsePrometheusDuration("500ms"), 0.5);
  for (const char* bad : {"", "s", "10", "1x", "-1s", "1s "})
    EXPECT_FALSE(ParsePrometheusDuration(bad)) << bad;
  EXPECT_EQ(Escape("a{b=\"c\"} d"), "a%7Bb%3D%22c%22%7D%20d");
  EXPECT_EQ(Authority("http://localhost/x"), "127.0.0.1:80");
  EXPECT_EQ(Authority("https://h/x"), "h:443");
  EXPECT_EQ(Authority("h:1"), "");
}

}  // namespace
}  // namespace braid::gateway::doctor
