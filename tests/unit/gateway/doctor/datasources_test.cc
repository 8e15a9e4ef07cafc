#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "gateway/doctor/datasource_checks.h"

namespace braid::gateway::doctor {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

// Everything right, in two files. Line numbers below count on it.
constexpr const char* kMetrics = R"(apiVersion: 1
datasources:
  - name: Prometheus
    uid: prom
    type: prometheus
    url: http://127.0.0.1:9090
    isDefault: true
    jsonData:
      httpMethod: POST
      exemplarTraceIdDestinations:
        - name: trace_id
          datasourceUid: tempo
        - name: trace_id
          url: 'http://127.0.0.1:9464/api/v1/traces/$${__value.raw}'
          urlDisplayLabel: Open in Braid
  - name: Loki
    uid: loki
    type: loki
    url: http://127.0.0.1:3100
    jsonData:
      derivedFields:
        - name: TraceID
          matcherType: label
          matcherRegex: '^trace_id$'
          url: '$${__value.raw}'
          datasourceUid: tempo
)";

constexpr const char* kTraces = R"(apiVersion: 1
datasources:
  - name: Tempo
    uid: tempo
    type: tempo
    url: $TEMPO_URL
    jsonData:
      tracesToLogsV2:
        datasourceUid: loki
        spanStartTimeShift: '-5m'
        tags: [{key: service.name, value: service_name}]
        customQuery: true
        query: '{$${__tags}} | trace_id="$${__trace.traceId}"'
      tracesToMetrics:
        datasourceUid: prom
        tags: [{key: service.name, value: service}]
        queries:
          - name: Rate
            query: 'sum(rate(traces_spanmetrics_calls_total{$$__tags}[5m]))'
          - name: Latency
            query: 'histogram_quantile(0.9, sum by (le) (rate(traces_spanmetrics_latency_bucket{$$__tags}[5m])))'
      serviceMap: {datasourceUid: prom}
      nodeGraph: {enabled: true}
      streamingEnabled: {search: false}
  - name: Jaeger
    uid: jaeger
    type: jaeger
    url: http://127.0.0.1:16686
)";

class DataSourcesTest : public testing::Test {
 protected:
  // Replaces `from`, which occurs, in whichever file has it first.
  void Change(const std::string& from, const std::string& to) {
    for (SourceText& text : texts_) {
      const size_t at = text.text.find(from);
      if (at == std::string::npos) continue;
      text.text.replace(at, from.size(), to);
      return;
    }
    ADD_FAILURE() << "nothing to change: " << from;
  }

  std::vector<Check> Run() {
    Report report;
    Reporter to(&report, "datasources", "test");
    CheckDataSourceTexts(texts_, around_, to);
    return report.checks();
  }

  // What is not fine, as "id verdict message".
  std::vector<Check> Findings() {
    std::vector<Check> found;
    for (Check& check : Run()) {
      if (check.verdict == Verdict::kWarn || check.verdict == Verdict::kFail)
        found.push_back(std::move(check));
    }
    return found;
  }

  void Reset() { texts_ = {{"metrics.yaml", kMetrics}, {"traces.yaml", kTraces}}; }

  std::vector<SourceText> texts_ = {{"metrics.yaml", kMetrics}, {"traces.yaml", kTraces}};
  Surroundings around_{.dialect_known = true,
                       .tempo = true,
                       .otel = false,
                       .prometheus = {},
                       .loki = {},
                       .tempo_url = {},
                       .jaeger = {}};
};

std::string Describe(const std::vector<Check>& checks) {
  std::string out;
  for (const Check& check : checks) {
    out += check.id + ' ' + std::string(VerdictName(check.verdict)) + ' ' + check.message + '\n';
  }
  return out;
}

// Scenario: files in which every jump works.
// Guarantees: nothing is found, and each check says that it is fine or why it does not apply.
TEST_F(DataSourcesTest, GoodFiles) {
  const std::vector<Check> checks = Run();
  EXPECT_EQ(checks.size(), 12u);
  for (const Check& check : checks) {
    EXPECT_EQ(check.verdict, check.id == "datasources.url" ? Verdict::kSkipped : Verdict::kOk)
        << Describe(checks);
  }
  around_.prometheus = "http://localhost:9090/";
  around_.tempo_url = "http://127.0.0.1:1";  // theirs is a variable
  EXPECT_EQ(Describe(Findings()), "");
}

struct Mistake {
  const char* from;
  const char* to;
  const char* id;
  Verdict verdict;
  const char* message;  // begins so
  const char* advice;   // has this in it
};

constexpr Verdict kWarn = Verdict::kWarn;
constexpr Verdict kFail = Verdict::kFail;

const Mistake kMistakes[] = {
    // The files as such.
    {"uid: prom\n", "uid: \"prom\n", "parse", kFail,
     "metrics.yaml:4:10: not YAML: the quote that begins here is not closed", ""},
    {"    uid: prom\n", "    uid: prom\n    uid: other\n", "parse", kFail,
     "metrics.yaml:5:5: duplicate key 'uid'", ""},
    {"apiVersion: 1\n", "", "api_version", kFail, "metrics.yaml:1:1: apiVersion is missing", "apiVersion: 1"},
    {"apiVersion: 1\n", "apiVersion: 2\n", "api_version", kFail, "metrics.yaml:1:13: apiVersion is not 1",
     "apiVersion: 1"},
    {"name: Jaeger", "name: Tempo", "unique", kFail,
     "traces.yaml:25:11: name 'Tempo' occurs twice; the first is at traces.yaml:3:5", "another name"},
    {"uid: jaeger", "uid: loki", "unique", kFail,
     "traces.yaml:26:10: uid 'loki' occurs twice; the first is at metrics.yaml:16:5", "another uid"},
    {"    type: jaeger\n", "    type: jaeger\n    isDefault: true\n", "unique", kFail,
     "traces.yaml:28:16: a second data source is the default; the first is at metrics.yaml:3:5",
     "isDefault: false"},
    {"uid: jaeger\n    type: jaeger", "uid: jaeger", "parse", kFail,
     "traces.yaml:25:5: a data source needs a name and a type", "type: prometheus"},
    // References.
    {"trace_id\n          datasourceUid: tempo", "trace_id\n          datasourceUid: tmpo", "references",
     kFail, "metrics.yaml:12:26: no data source in these files has uid 'tmpo'", "prom, loki, tempo, jaeger"},
    {"serviceMap: {datasourceUid: prom}", "serviceMap: {datasourceUid: gone}", "references", kFail,
     "traces.yaml:22:35: no data source in these files has uid 'gone'", "prom"},
    {"nodeGraph: {enabled: true}", "lokiSearch: {datasourceUid: gone}", "references", kFail,
     "traces.yaml:23:35: no data source in these files has uid 'gone'", "prom"},
    // Escaping.
    {"url: '$${__value.raw}'", "url: '${__value.raw}'", "escaping", kFail,
     "metrics.yaml:25:16: provisioning replaces ${__value.raw} by", "$${__value.raw}"},
    {"calls_total{$$__tags}", "calls_total{$__tags}", "escaping", kFail,
     "traces.yaml:19:20: provisioning replaces $__tags by", "$$__tags"},
    {"{$${__tags}}", "{$$${__tags}}", "escaping", kFail,
     "traces.yaml:13:16: provisioning replaces ${__tags} by", "$${__tags}"},
    {"httpMethod: POST", "customQueryParameters: 'x=${a.b}'", "escaping", kFail,
     "metrics.yaml:9:30: provisioning replaces ${a.b} by", "$${a.b}"},
    // Exemplar to trace.
    {"- name: trace_id", "- name: traceID", "exemplar_destination", kFail,
     "metrics.yaml:11:17: Braid's exemplars have no label 'traceID'",
     "- name: trace_id\n          datasourceUid: tempo"},
    {"- name: trace_id\n          datasourceUid: tempo", "- datasourceUid: tempo", "exemplar_destination",
     kFail, "metrics.yaml:11:11: the destination has no name", "- name: trace_id"},
    {"- name: trace_id\n          datasourceUid: tempo", "- name: trace_id", "exemplar_destination", kFail,
     "metrics.yaml:11:11: the destination has neither datasourceUid nor url", "datasourceUid: tempo"},
    {"traces/$${__value.raw}'", "traces/'", "exemplar_destination", kFail,
     "metrics.yaml:14:16: the url does not hold the trace ID", "$${__value.raw}"},
    {"trace_id\n          datasourceUid: tempo", "trace_id\n          datasourceUid: loki",
     "exemplar_destination", kFail, "metrics.yaml:12:26: 'loki' is of type loki", "datasourceUid: tempo"},
    {"exemplarTraceIdDestinations:", "exemplarTraceIdDestination:", "exemplar_destination", kWarn,
     "metrics.yaml:3:5: exemplars of 'Prometheus' lead nowhere",
     "exemplarTraceIdDestinations:\n        - name: trace_id"},
    // Log to trace.
    {"'^trace_id$'", "'trace_id'", "derived_field", kWarn,
     "metrics.yaml:24:25: 'trace_id' matches other keys too, such as link_trace_id",
     "matcherRegex: '^trace_id$'"},
    {"'^trace_id$'", "'^trace_id'", "derived_field", kWarn,
     "metrics.yaml:24:25: '^trace_id' matches other keys too, such as trace_id_hex",
     "matcherRegex: '^trace_id$'"},
    {"'^trace_id$'", "'^traceID$'", "derived_field", kFail,
     "metrics.yaml:24:25: '^traceID$' does not match trace_id", "matcherRegex: '^trace_id$'"},
    {"'^trace_id$'", "'^(trace_id$'", "derived_field", kFail,
     "metrics.yaml:24:25: '^(trace_id$' cannot be read", "matcherRegex: '^trace_id$'"},
    {"          matcherRegex: '^trace_id$'\n", "", "derived_field", kFail,
     "metrics.yaml:22:11: matcherRegex is missing", "matcherRegex: '^trace_id$'"},
    {"matcherType: label", "matcherType: regex", "derived_field", kFail,
     "metrics.yaml:22:11: the field looks for the trace ID in the line", "matcherType: label"},
    {"          matcherType: label\n", "", "derived_field", kFail,
     "metrics.yaml:22:11: the field looks for the trace ID in the line", "matcherType: label"},
    {"url: '$${__value.raw}'", "url: ''", "derived_field", kFail,
     "metrics.yaml:25:16: the field's url does not hold the trace ID", "url: '$${__value.raw}'"},
    {"raw}'\n          datasourceUid: tempo", "raw}'\n          datasourceUid: prom", "derived_field", kFail,
     "metrics.yaml:26:26: 'prom' is of type prometheus", "datasourceUid: tempo"},
    {"derivedFields:", "derivedField:", "derived_field", kWarn,
     "metrics.yaml:16:5: logs of 'Loki' do not lead to traces", "derivedFields:"},
    // Trace to logs.
    {"        query: '{$${__tags}} | trace_id=\"$${__trace.traceId}\"'\n", "", "trace_to_logs", kFail,
     "traces.yaml:12:22: customQuery is true, but there is no query", "query: '{$${__tags}} | trace_id="},
    {"customQuery: true", "customQuery: false", "trace_to_logs", kFail,
     "traces.yaml:13:16: the query is ignored without customQuery: true", "customQuery: true"},
    {"| trace_id=\"$${__trace.traceId}\"'", "|= \"$${__trace.traceId}\"'", "trace_to_logs", kFail,
     "traces.yaml:13:16: the query looks for the trace ID in the line", "| trace_id="},
    {" | trace_id=\"$${__trace.traceId}\"'", "'", "trace_to_logs", kWarn,
     "traces.yaml:13:16: the query does not select the span's trace", "| trace_id="},
    {"value: service_name}", "value: service}", "trace_to_logs", kFail,
     "traces.yaml:11:16: service.name is mapped to 'service'", "value: service_name"},
    {"[{key: service.name, value: service_name}]", "[{key: service.name}]", "trace_to_logs", kFail,
     "traces.yaml:11:16: service.name is mapped to 'service.name'", "value: service_name"},
    {"        tags: [{key: service.name, value: service_name}]\n", "", "trace_to_logs", kWarn,
     "traces.yaml:9:9: without tags Grafana also selects by pod", "value: service_name"},
    {"datasourceUid: loki\n        span", "datasourceUid: prom\n        span", "trace_to_logs", kFail,
     "traces.yaml:9:24: 'prom' is of type prometheus", "datasourceUid: loki"},
    {"        datasourceUid: loki\n", "", "trace_to_logs", kFail,
     "traces.yaml:9:9: tracesToLogsV2 names no datasourceUid", "datasourceUid: loki"},
    {"tracesToLogsV2:", "tracesToLogs:", "trace_to_logs", kWarn,
     "traces.yaml:9:9: tracesToLogs is the old form", "tracesToLogsV2:"},
    {"tracesToLogsV2:", "tracesToLogsV3:", "trace_to_logs", kWarn,
     "traces.yaml:3:5: spans of 'Tempo' do not lead to logs", "tracesToLogsV2:"},
    // Trace to metrics.
    {"traces_spanmetrics_calls_total", "traces_spanmetrics_duration_seconds_count", "trace_to_metrics", kFail,
     "traces.yaml:19:20: Braid has no metric traces_spanmetrics_duration_seconds_count",
     "traces_spanmetrics_calls_total"},
    {"'sum(rate(traces_spanmetrics_calls_total{$$__tags}[5m]))'", "''", "trace_to_metrics", kFail,
     "traces.yaml:19:20: the query is empty", "traces_spanmetrics_calls_total"},
    {"value: service}", "value: service_name}", "trace_to_metrics", kFail,
     "traces.yaml:16:16: service.name is mapped to 'service_name'", "value: service}"},
    {"        tags: [{key: service.name, value: service}]\n", "", "trace_to_metrics", kFail,
     "traces.yaml:15:9: tags do not map service.name to service", "value: service}"},
    {"tracesToMetrics:\n        datasourceUid: prom", "tracesToMetrics:\n        datasourceUid: loki",
     "trace_to_metrics", kFail, "traces.yaml:15:24: 'loki' is of type loki", "datasourceUid: prom"},
    {"        queries:\n", "        query:\n", "trace_to_metrics", kWarn,
     "traces.yaml:15:9: tracesToMetrics has no queries", "queries:"},
    {"tracesToMetrics:", "tracesToMetric:", "trace_to_metrics", kWarn,
     "traces.yaml:3:5: spans of 'Tempo' do not lead to metrics", "tracesToMetrics:"},
    // The service map and streaming.
    {"serviceMap: {datasourceUid: prom}", "serviceMap: {}", "service_map", kWarn,
     "traces.yaml:22:19: the Service Graph of 'Tempo' has no metrics", "serviceMap: {datasourceUid: prom}"},
    {"serviceMap: {datasourceUid: prom}", "serviceMap: {datasourceUid: loki}", "service_map", kFail,
     "traces.yaml:22:35: 'loki' is of type loki", "serviceMap: {datasourceUid: prom}"},
    {"search: false", "search: true", "streaming", kWarn, "traces.yaml:24:34: searches stream over gRPC",
     "streamingEnabled: {search: false}"},
};

// Scenario: one mistake in files that are right otherwise.
// Guarantees: it is found once, by the check it belongs to, at its place, with what to write; and nothing
// else is found.
TEST_F(DataSourcesTest, EachMistakeIsFoundOnceAtItsPlace) {
  for (const Mistake& mistake : kMistakes) {
    Reset();
    Change(mistake.from, mistake.to);
    const std::vector<Check> found = Findings();
    ASSERT_FALSE(found.empty()) << mistake.from << " -> " << mistake.to;
    const Check& check = found.front();
    EXPECT_EQ(check.id, std::string("datasources.") + mistake.id) << Describe(found);
    EXPECT_EQ(check.verdict, mistake.verdict) << Describe(found);
    EXPECT_THAT(check.message, StartsWith(mistake.message));
    EXPECT_THAT(check.advice, HasSubstr(mistake.advice)) << mistake.to;
    // A file that cannot be read takes what it holds away from the others.
    if (std::string_view(mistake.id) != "parse") {
      EXPECT_EQ(found.size(), 1u) << mistake.to << '\n' << Describe(found);
    }
  }
}

// Scenario: Braid shows the other dialect than the files ask for, then both, then nothing is known.
// Guarantees: names and the service map are held against what it shows.
TEST_F(DataSourcesTest, DialectOfBraid) {
  around_.tempo = false;
  around_.otel = true;
  std::vector<Check> found = Findings();
  ASSERT_EQ(found.size(), 3u) << Describe(found);
  EXPECT_THAT(found[0].message, StartsWith("traces.yaml:19:20: traces_spanmetrics_calls_total is of dialect "
                                           "tempo, and this Braid shows otel"));
  EXPECT_THAT(found[1].message,
              StartsWith("traces.yaml:21:20: traces_spanmetrics_latency_bucket is of dialect tempo"));
  EXPECT_THAT(found[2].message, StartsWith("traces.yaml:22:35: Grafana's table of operations"));
  for (const Check& check : found) EXPECT_THAT(check.advice, HasSubstr("dialect: both"));

  Change("value: service}", "value: service_name}");
  Change("traces_spanmetrics_calls_total", "traces_span_metrics_calls_total");
  Change("traces_spanmetrics_latency_bucket", "traces_span_metrics_duration_milliseconds_bucket");
  EXPECT_EQ(Findings().size(), 1u) << Describe(Findings());
  around_.tempo = true;
  EXPECT_EQ(Describe(Findings()), "");
  around_ = {};
  EXPECT_EQ(Describe(Findings()), "");
}

// Scenario: an address is given that the files do not have; then one that differs in its spelling alone.
// Guarantees: a warning at the url, and none.
TEST_F(DataSourcesTest, Addresses) {
  around_.prometheus = "http://127.0.0.1:9091";
  const std::vector<Check> found = Findings();
  ASSERT_EQ(found.size(), 1u) << Describe(found);
  EXPECT_EQ(found[0].id, "datasources.url");
  EXPECT_THAT(found[0].message,
              StartsWith("metrics.yaml:6:10: Grafana asks 'http://127.0.0.1:9090', and --prometheus names"));
  EXPECT_THAT(found[0].advice, HasSubstr("url: http://127.0.0.1:9091"));
  around_.prometheus = "http://localhost:9090";
  EXPECT_EQ(Describe(Findings()), "");
}

// Scenario: two organisations have data sources of the same names and uids; one refers to the other's.
// Guarantees: no collision, but the reference does not resolve.
TEST_F(DataSourcesTest, OrganisationsAreApart) {
  texts_.push_back({"other.yaml",
                    "apiVersion: 1\ndatasources:\n  - {name: Loki, uid: loki, type: loki, orgId: 2}\n"
                    "  - {name: P, type: prometheus, orgId: 2, jsonData: {x: {datasourceUid: prom}}}\n"});
  const std::vector<Check> found = Findings();
  ASSERT_EQ(found.size(), 1u) << Describe(found);
  EXPECT_THAT(found[0].message, StartsWith("other.yaml:4:73: no data source in these files has uid 'prom'"));
}

// Scenario: a field by regex beside the one by label, one about something else, variables of the environment
// and Grafana's expanders, a default query that filters by trace. Guarantees: none of them is a finding.
TEST_F(DataSourcesTest, WhatIsNoMistake) {
  Change(
      "      derivedFields:\n",
      "      derivedFields:\n"
      "        - {name: Old, matcherRegex: 'traceID=(\\w+)', url: '$${__value.raw}', datasourceUid: tempo}\n"
      "        - {name: User, matcherType: label, matcherRegex: user, url: 'http://u/$${__value.raw}'}\n");
  Change("httpMethod: POST",
         "httpMethod: POST\n      a: ${NAME}\n      b: $NAME\n      c: $__env{NAME}\n      d: $__file{/a.b}\n"
         "      e: costs 5$\n      alertmanagerUid: grafana\n      manageAlerts: true");
  Change("customQuery: true\n        query: '{$${__tags}} | trace_id=\"$${__trace.traceId}\"'",
         "filterByTraceID: true");
  EXPECT_EQ(Describe(Findings()), "");
  Change("filterByTraceID: true", "filterBySpanID: true");
  const std::vector<Check> found = Findings();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_THAT(found[0].message, HasSubstr("shows all logs of the service"));
}

// Scenario: wrong shapes everywhere: lists for maps, maps for texts, nothing at all.
// Guarantees: it ends, with a finding and without a crash.
TEST_F(DataSourcesTest, WrongShapes) {
  for (const char* text :
       {"", "[]", "a", "apiVersion: 1", "apiVersion: 1\ndatasources: {}",
        "apiVersion: 1\ndatasources: [1, [], {}, null]", "apiVersion: [1]\ndatasources: []",
        "apiVersion: 1\ndatasources: [{name: [], type: {}, uid: {}, jsonData: 7}]",
        "apiVersion: 1\ndatasources: [{name: a, type: prometheus, uid: u, jsonData: "
        "{exemplarTraceIdDestinations: {a: b}}}, "
        "{name: t, type: tempo, uid: v, jsonData: {tracesToLogsV2: 1, tracesToMetrics: [], serviceMap: 3, "
        "streamingEnabled: 1}}]",
        "apiVersion: 1\ndatasources: [{name: a, type: prometheus, uid: u, jsonData: "
        "{exemplarTraceIdDestinations: [1, {name: []}]}}]",
        "apiVersion: 1\ndatasources: [{name: l, type: loki, uid: u, jsonData: {derivedFields: [1, {}, "
        "{matcherRegex: {}}]}}, "
        "{name: t, type: tempo, uid: v, jsonData: {tracesToLogsV2: {tags: {}, query: []}, tracesToMetrics: "
        "{queries: [1, {}]}}}]"}) {
    texts_ = {{"x.yaml", text}};
    EXPECT_FALSE(Findings().empty()) << text;
  }
  texts_ = {{"x.yaml", "apiVersion: 1\ndatasources: []\n"}};
  EXPECT_EQ(Describe(Findings()), "");
}

// Scenario: a folder with files of several kinds, an empty folder, a file that is not there.
// Guarantees: *.yaml and *.yml are read in order, together; the rest is said to be missing.
TEST_F(DataSourcesTest, ReadsFoldersAsGrafanaDoes) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "braid-doctor-sources";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder / "empty");
  std::ofstream(folder / "b.yml") << kTraces;
  std::ofstream(folder / "a.yaml") << kMetrics;
  std::ofstream(folder / "c.txt") << "not: [yaml";
  Report report;
  CheckDataSources({folder.string()}, {}, &report);
  EXPECT_EQ(report.Count(Verdict::kFail), 0u) << Describe(report.checks());
  EXPECT_EQ(report.checks().front().message, "4 data sources in 2 files");

  Report missing;
  CheckDataSources({(folder / "empty").string(), (folder / "none.yaml").string()}, {}, &missing);
  // The whole folder that Grafana is provisioned from, as `braid dashboards export --provisioning` writes it.
  std::filesystem::create_directories(folder / "grafana" / "datasources");
  std::ofstream(folder / "grafana" / "datasources" / "a.yaml") << kMetrics;
  std::ofstream(folder / "grafana" / "datasources" / "b.yaml") << kTraces;
  Report whole;
  CheckDataSources({(folder / "grafana").string()}, {}, &whole);
  EXPECT_EQ(whole.checks()[0].message, report.checks()[0].message);
  ASSERT_EQ(missing.Count(Verdict::kFail), 2u) << Describe(missing.checks());
  EXPECT_THAT(missing.checks()[0].message, HasSubstr("no *.yaml in this folder"));
  EXPECT_THAT(missing.checks()[1].message, AllOf(HasSubstr("none.yaml"), HasSubstr("No such file")));
  EXPECT_EQ(missing.checks().size(), 13u);  // each ID, and one twice
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace braid::gateway::doctor
