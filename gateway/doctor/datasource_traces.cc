#include <re2/re2.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "gateway/doctor/datasource_checks.h"

namespace braid::gateway::doctor {
namespace {

using config::Node;

enum class Dialect { kTempo, kOtel, kBoth };

// Samples that Braid can show (docs/metrics.md), besides those of histograms.
const std::map<std::string, Dialect, std::less<>>& Counters() {
  static const auto* const kCounters = new std::map<std::string, Dialect, std::less<>>{
      {"traces_spanmetrics_calls_total", Dialect::kTempo},
      {"traces_spanmetrics_size_total", Dialect::kTempo},
      {"traces_spanmetrics_self_seconds_total", Dialect::kTempo},
      {"traces_spanmetrics_self_spans_total", Dialect::kTempo},
      {"traces_spanmetrics_events_total", Dialect::kTempo},
      {"traces_spanmetrics_exceptions_total", Dialect::kTempo},
      {"traces_span_metrics_calls_total", Dialect::kOtel},
      {"traces_span_metrics_size_total", Dialect::kOtel},
      {"traces_span_metrics_self_seconds_total", Dialect::kOtel},
      {"traces_span_metrics_self_spans_total", Dialect::kOtel},
      {"traces_span_metrics_events_total", Dialect::kOtel},
      {"traces_span_metrics_exceptions_total", Dialect::kOtel},
      {"traces_target_info", Dialect::kBoth},
      {"traces_service_graph_request_total", Dialect::kBoth},
      {"traces_service_graph_request_failed_total", Dialect::kBoth},
      {"traces_service_graph_connection_info", Dialect::kBoth}};
  return *kCounters;
}

const std::map<std::string, Dialect, std::less<>>& Histograms() {
  static const auto* const kHistograms = new std::map<std::string, Dialect, std::less<>>{
      {"traces_spanmetrics_latency", Dialect::kTempo},
      {"traces_span_metrics_duration_milliseconds", Dialect::kOtel},
      {"traces_service_graph_request_server_seconds", Dialect::kBoth},
      {"traces_service_graph_request_client_seconds", Dialect::kBoth},
      {"traces_service_graph_request_messaging_system_seconds", Dialect::kBoth}};
  return *kHistograms;
}

std::optional<Dialect> DialectOf(std::string_view name) {
  if (const auto counter = Counters().find(name); counter != Counters().end()) return counter->second;
  for (const std::string_view suffix : {"", "_bucket", "_sum", "_count"}) {
    if (!name.ends_with(suffix)) continue;
    const auto found = Histograms().find(name.substr(0, name.size() - suffix.size()));
    if (found != Histograms().end()) return found->second;
  }
  return std::nullopt;
}

std::string LogsFragment(const std::string& uid) {
  return "    jsonData:\n      tracesToLogsV2:\n        datasourceUid: " + uid +
         "\n        spanStartTimeShift: '-5m'\n        spanEndTimeShift: '5m'\n"
         "        tags: [{key: service.name, value: service_name}]\n        customQuery: true\n"
         "        query: '{$${__tags}} | trace_id=\"$${__trace.traceId}\"'";
}

std::string MetricsFragment(const std::string& uid, bool tempo) {
  return "    jsonData:\n      tracesToMetrics:\n        datasourceUid: " + uid +
         "\n        tags: [{key: service.name, value: " + (tempo ? "service" : "service_name") +
         "}]\n        queries:\n          - name: Rate\n            query: 'sum(rate(" +
         (tempo ? "traces_spanmetrics_calls_total" : "traces_span_metrics_calls_total") + "{$$__tags}[5m]))'";
}

// The label that `tags` maps service.name to. Nothing: it is not among them.
std::optional<std::string> ServiceLabel(const Node* tags, const Node** place) {
  if (tags == nullptr || tags->kind != Node::Kind::kList) return std::nullopt;
  for (const Node& tag : tags->items) {
    if (MemberText(&tag, "key") != "service.name") continue;
    *place = &tag;
    const std::string value = MemberText(&tag, "value");
    return value.empty() ? "service.name" : value;  // as Grafana does
  }
  return std::nullopt;
}

// What ${__tags} becomes has to select streams that Braid's Loki sink writes.
void CheckLogTags(DataSources& sources, const Node& jump) {
  const std::string advice = "        tags: [{key: service.name, value: service_name}]";
  const Node* tags = Member(&jump, "tags");
  const Node* place = tags != nullptr ? tags : &jump;
  const std::optional<std::string> label = ServiceLabel(tags, &place);
  if (label && *label == "service_name") return;
  if (label) {
    return sources.Fail(
        "trace_to_logs", place->at,
        "service.name is mapped to '" + *label + "', and Braid's streams have the label service_name",
        advice + "\n(or the label that the sink's `labels` gives to service.name)");
  }
  sources.Warn("trace_to_logs", place->at,
               tags == nullptr
                   ? "without tags Grafana also selects by pod, namespace and others that are no labels of "
                     "Braid's streams"
                   : "tags do not have service.name, by which Braid's streams are told apart",
               advice);
}

void CheckCustomQuery(DataSources& sources, const Node& jump, const std::string& fragment) {
  static const RE2 kByMetadata(R"(trace_id\s*=~?\s*["`]\$\{__(trace|span)\.traceI[dD]\}["`])");
  static const RE2 kByLine(R"(\|[=~]\s*["`][^"`]*\$\{__(trace|span)\.traceI[dD]\})");
  const Node* query = Member(&jump, "query");
  const std::string text = Unescaped(MemberText(&jump, "query"));
  if (text.empty()) {
    return sources.Fail("trace_to_logs", query != nullptr ? query->at : Member(&jump, "customQuery")->at,
                        "customQuery is true, but there is no query", fragment);
  }
  if (!RE2::PartialMatch(text, kByMetadata)) {
    if (RE2::PartialMatch(text, kByLine)) {
      sources.Fail("trace_to_logs", query->at,
                   "the query looks for the trace ID in the line, but Braid sends it as structured metadata",
                   fragment);
    } else {
      sources.Warn("trace_to_logs", query->at, "the query does not select the span's trace", fragment);
    }
  }
  if (text.find("${__tags}") != std::string::npos) CheckLogTags(sources, jump);
}

void CheckLogsJump(DataSources& sources, const DataSource& source, const Node& jump) {
  const DataSource* loki = sources.OfType("loki", source);
  const std::string fragment = LogsFragment(loki == nullptr ? "UID" : loki->uid);
  const std::string uid = MemberText(&jump, "datasourceUid");
  if (uid.empty())
    return sources.Fail("trace_to_logs", jump.at, "tracesToLogsV2 names no datasourceUid", fragment);
  const DataSource* there = sources.ByUid(uid, source);
  if (there != nullptr && (there->type == "prometheus" || there->IsTraces())) {
    return sources.Fail("trace_to_logs", Member(&jump, "datasourceUid")->at,
                        "'" + uid + "' is of type " + there->type + " and has no logs", fragment);
  }
  if (there != nullptr && there->type != "loki") return;  // other logs, other queries
  if (MemberTrue(&jump, "customQuery")) return CheckCustomQuery(sources, jump, fragment);
  if (const Node* query = Member(&jump, "query"); query != nullptr && !MemberText(&jump, "query").empty()) {
    return sources.Fail("trace_to_logs", query->at, "the query is ignored without customQuery: true",
                        "        customQuery: true");
  }
  if (!MemberTrue(&jump, "filterByTraceID")) {
    sources.Warn("trace_to_logs", jump.at,
                 "shows all logs of the service around the span, and not the trace's", fragment);
  }
  CheckLogTags(sources, jump);
}

// Whether absent jumps are told: for the first source of traces there is.
bool IsMain(DataSources& sources, const DataSource& source) { return sources.Traces(source) == &source; }

// The names of one query, each against what Braid has. Returns the dialects that they are of.
std::set<Dialect> CheckNames(DataSources& sources, const Surroundings& around, const Node& query,
                             const std::string& text) {
  static const RE2 kName(R"(\b(traces_[a-z0-9_]+))");
  std::set<Dialect> dialects;
  re2::StringPiece rest(text);
  std::string name;
  while (RE2::FindAndConsume(&rest, kName, &name)) {
    const std::optional<Dialect> dialect = DialectOf(name);
    if (!dialect) {
      sources.Fail("trace_to_metrics", query.at, "Braid has no metric " + name,
                   "Those it has: docs/metrics.md, such as traces_spanmetrics_calls_total and "
                   "traces_spanmetrics_latency_bucket (dialect tempo).");
      continue;
    }
    dialects.insert(*dialect);
    const bool shown =
        *dialect == Dialect::kBoth || (*dialect == Dialect::kTempo ? around.tempo : around.otel);
    if (!around.dialect_known || (!around.tempo && !around.otel) || shown) continue;
    const bool tempo = *dialect == Dialect::kTempo;
    sources.Fail("trace_to_metrics", query.at,
                 name + " is of dialect " + (tempo ? "tempo" : "otel") + ", and this Braid shows " +
                     (tempo ? "otel" : "tempo"),
                 std::string("Write ") + (tempo ? "traces_span_metrics_..." : "traces_spanmetrics_...") +
                     " here, or in Braid's configuration:\n  metrics:\n    dialect: both");
  }
  return dialects;
}

void CheckMetricsJump(DataSources& sources, const DataSource& source, const Surroundings& around,
                      const Node& jump) {
  constexpr std::string_view kName = "trace_to_metrics";
  const DataSource* prometheus = sources.OfType("prometheus", source);
  const bool tempo_names = !around.dialect_known || around.tempo || !around.otel;
  const std::string fragment = MetricsFragment(prometheus == nullptr ? "UID" : prometheus->uid, tempo_names);
  const std::string uid = MemberText(&jump, "datasourceUid");
  if (uid.empty()) return sources.Fail(kName, jump.at, "tracesToMetrics names no datasourceUid", fragment);
  const DataSource* there = sources.ByUid(uid, source);
  if (there != nullptr && (there->type == "loki" || there->IsTraces())) {
    return sources.Fail(kName, Member(&jump, "datasourceUid")->at,
                        "'" + uid + "' is of type " + there->type + " and has no metrics", fragment);
  }
  const Node* queries = Member(&jump, "queries");
  if (queries == nullptr || queries->kind != Node::Kind::kList || queries->items.empty()) {
    return sources.Warn(kName, queries != nullptr ? queries->at : jump.at, "tracesToMetrics has no queries",
                        fragment);
  }
  std::set<Dialect> dialects;
  bool by_tags = false;
  for (const Node& one : queries->items) {
    const Node* query = Member(&one, "query");
    const std::string text = Unescaped(MemberText(&one, "query"));
    if (text.empty()) {
      sources.Fail(kName, query != nullptr ? query->at : one.at, "the query is empty", fragment);
      continue;
    }
    by_tags = by_tags || text.find("__tags") != std::string::npos;
    dialects.merge(CheckNames(sources, around, *query, text));
  }
  if (!by_tags || dialects.contains(Dialect::kTempo) == dialects.contains(Dialect::kOtel)) return;
  const std::string expected = dialects.contains(Dialect::kTempo) ? "service" : "service_name";
  const Node* tags = Member(&jump, "tags");
  const Node* place = tags != nullptr ? tags : &jump;
  const std::optional<std::string> label = ServiceLabel(tags, &place);
  if (label == expected) return;
  sources.Fail(
      kName, place->at,
      label ? "service.name is mapped to '" + *label + "', and these metrics have the label " + expected
            : "tags do not map service.name to " + expected + ", the label of these metrics",
      "        tags: [{key: service.name, value: " + expected + "}]");
}

}  // namespace

void CheckTraceToLogs(DataSources& sources) {
  for (const DataSource& source : sources.all()) {
    if (!source.IsTraces()) continue;
    const DataSource* loki = sources.OfType("loki", source);
    if (const Node* jump = Member(source.json, "tracesToLogsV2");
        jump != nullptr && jump->kind == Node::Kind::kMap) {
      CheckLogsJump(sources, source, *jump);
    } else if (const Node* old = Member(source.json, "tracesToLogs"); old != nullptr) {
      sources.Warn("trace_to_logs", old->at, "tracesToLogs is the old form",
                   LogsFragment(loki == nullptr ? "UID" : loki->uid));
    } else if (loki != nullptr && IsMain(sources, source)) {
      sources.Warn("trace_to_logs", source.node->at, "spans of '" + source.name + "' do not lead to logs",
                   LogsFragment(loki->uid));
    }
  }
}

void CheckTraceToMetrics(DataSources& sources, const Surroundings& around) {
  for (const DataSource& source : sources.all()) {
    if (!source.IsTraces()) continue;
    const Node* jump = Member(source.json, "tracesToMetrics");
    if (jump != nullptr && jump->kind == Node::Kind::kMap) {
      CheckMetricsJump(sources, source, around, *jump);
      continue;
    }
    const DataSource* prometheus = sources.OfType("prometheus", source);
    if (prometheus == nullptr || !IsMain(sources, source)) continue;
    sources.Warn("trace_to_metrics", source.node->at, "spans of '" + source.name + "' do not lead to metrics",
                 MetricsFragment(prometheus->uid, !around.dialect_known || around.tempo || !around.otel));
  }
}

void CheckServiceMap(DataSources& sources, const Surroundings& around) {
  for (const DataSource& source : sources.all()) {
    if (source.type != "tempo") continue;
    const DataSource* prometheus = sources.OfType("prometheus", source);
    const std::string advice = "    jsonData:\n      serviceMap: {datasourceUid: " +
                               (prometheus == nullptr ? std::string("UID") : prometheus->uid) + "}";
    const Node* map = Member(source.json, "serviceMap");
    const std::string uid = MemberText(map, "datasourceUid");
    if (uid.empty()) {
      if (prometheus == nullptr) continue;
      sources.Warn("service_map", map != nullptr ? map->at : source.node->at,
                   "the Service Graph of '" + source.name + "' has no metrics to draw", advice);
      continue;
    }
    const DataSource* there = sources.ByUid(uid, source);
    if (there != nullptr && (there->type == "loki" || there->IsTraces())) {
      sources.Fail("service_map", Member(map, "datasourceUid")->at,
                   "'" + uid + "' is of type " + there->type + " and has no metrics", advice);
      continue;
    }
    if (!around.dialect_known || around.tempo || !around.otel) continue;
    sources.Warn("service_map", Member(map, "datasourceUid")->at,
                 "Grafana's table of operations asks for metrics of dialect tempo, and this Braid shows otel",
                 "In Braid's configuration:\n  metrics:\n    dialect: both");
  }
}

}  // namespace braid::gateway::doctor
