#include "gateway/doctor/loki_probe.h"

#include <boost/json/serialize.hpp>
#include <charconv>
#include <optional>

#include "config/yaml.h"
#include "gateway/json/json_read.h"

namespace braid::gateway::doctor {
namespace {

namespace json = boost::json;
using config::Node;

constexpr std::string_view kNames[] = {"reachable", "version", "config", "write", "read"};

constexpr const char* kLine = "braid doctor: a line to test structured metadata with, nothing else";

constexpr const char* kAllow =
    "In Loki's configuration:\n"
    "  limits_config:\n"
    "    allow_structured_metadata: true\n"
    "  schema_config:\n"
    "    configs:                  # structured metadata needs tsdb and v13 now; keep older entries\n"
    "      - from: \"<the day after tomorrow; on a new installation, a past day>\"\n"
    "        store: tsdb\n"
    "        object_store: <as in the entry before>\n"
    "        schema: v13\n"
    "        index: {prefix: index_, period: 24h}";

constexpr const char* kTenant =
    "It asks for a tenant (auth_enabled: true) or for credentials.\n"
    "For the doctor: --org-id TENANT. In Braid:\n"
    "  sinks:\n    loki:\n      tenant: TENANT\n"
    "In Grafana's data source:\n"
    "  jsonData: {httpHeaderName1: X-Scope-OrgID}\n  secureJsonData: {httpHeaderValue1: TENANT}\n"
    "or, for one tenant only, in Loki's configuration:\n  auth_enabled: false";

bool Says(const std::string& text, std::string_view what) { return text.find(what) != std::string::npos; }

// What is in effect: the last of these that is a scalar.
std::string Scalar(const Node& root, std::initializer_list<std::string_view> path) {
  const Node* node = &root;
  for (const std::string_view key : path) {
    node = node->kind == Node::Kind::kMap ? node->Find(key) : nullptr;
    if (node == nullptr) return {};
  }
  return node->scalar() ? node->text : std::string();
}

// The number in "v13"; 0: none.
int SchemaVersion(std::string_view text) {
  int version = 0;
  if (text.starts_with('v')) std::from_chars(text.data() + 1, text.data() + text.size(), version);
  return version;
}

class LokiProbe {
 public:
  LokiProbe(Peer& peer, const LokiOptions& options, Report* report)
      : peer_(peer), options_(options), to_(report, "loki", peer.url()) {}

  void Run() {
    if (!Reachable()) return to_.SkipRest(kNames, "Loki is not there to ask");
    Version();
    Config();
    if (options_.write) {
      if (Write()) Read();
    } else {
      to_.Skip("write", "not tried: --no-write");
    }
    to_.SkipRest(kNames, options_.write ? "no line was taken" : "not tried: --no-write");
  }

 private:
  bool Reachable() {
    Ask ask;
    ask.path = "/ready";
    const Result<Answer> ready = peer_.Send(std::move(ask));
    if (!ready.ok()) {
      to_.Fail("reachable", "no answer: " + ready.status().message(),
               ReachAdvice("--loki", "Loki", ready.status()));
      return false;
    }
    if (ready->status == 503) {
      to_.Fail("reachable", "not ready: /ready " + Describe(*ready),
               "Wait (a fresh ingester takes 15 s or so), then ask again; if it stays, its log says why.");
      return false;
    }
    if (ready->status == 401 || ready->status == 403) {
      to_.Fail("reachable", "/ready " + Describe(*ready), kTenant);
      return false;
    }
    // A gateway in front of Loki often passes /loki alone on.
    to_.Ok("reachable", ready->status == 200
                            ? "ready"
                            : "answers, though not at /ready (" + std::to_string(ready->status) + ")");
    return true;
  }

  void Version() {
    const Result<json::value> info = peer_.GetJson("/loki/api/v1/status/buildinfo", 1 << 20);
    const std::string version = info.ok() ? std::string(JsonText(JsonMap(*info), "version")) : "";
    if (version.empty()) {
      return to_.Warn("version",
                      "not known: " + (info.ok() ? std::string("/loki/api/v1/status/buildinfo tells none")
                                                 : info.status().message()),
                      "Is this Loki's own address? Structured metadata needs Loki 2.9, better 3.");
    }
    int major = 0, minor = 0;
    const char* end = version.data() + version.size();
    const auto first = std::from_chars(version.data(), end, major);
    if (first.ec == std::errc() && first.ptr != end && *first.ptr == '.')
      std::from_chars(first.ptr + 1, end, minor);
    if (first.ec == std::errc() && (major < 2 || (major == 2 && minor < 9))) {
      return to_.Fail("version", "version " + version + " has no structured metadata",
                      "Use Loki 3, where it is on unless switched off. Then:\n" + std::string(kAllow));
    }
    to_.Ok("version", "version " + version);
  }

  // What Loki itself says that is in effect; many do not show it.
  void Config() {
    const Result<std::string> text = peer_.Get("/config", "*/*", config::kMaxYamlBytes);
    if (!text.ok())
      return to_.Skip("config", "not shown (" + text.status().message() + "); the write decides");
    std::vector<config::Diagnostic> errors;
    const Node root = config::ParseYaml(*text, 0, &errors);
    const Node* schemas = root.kind == Node::Kind::kMap ? root.Find("schema_config") : nullptr;
    schemas = schemas != nullptr && schemas->kind == Node::Kind::kMap ? schemas->Find("configs") : nullptr;
    if (!errors.empty() || schemas == nullptr || schemas->kind != Node::Kind::kList ||
        schemas->items.empty()) {
      return to_.Skip("config", "/config is not Loki's YAML; the write decides");
    }
    const std::string allow = Scalar(root, {"limits_config", "allow_structured_metadata"});
    const Node& schema = Active(*schemas);
    const std::string store = Scalar(schema, {"store"});
    const std::string version = Scalar(schema, {"schema"});
    if (allow == "false") {
      return to_.Fail("config", "limits_config.allow_structured_metadata is false", kAllow);
    }
    if (store != "tsdb" || SchemaVersion(version) < 13) {
      return to_.Fail("config",
                      "the schema in effect is " + version + " on " + store + "; v13 on tsdb is needed",
                      kAllow);
    }
    to_.Ok("config", "structured metadata is allowed; schema " + version + " on " + store);
  }

  // The entry of now: the last whose day has come. Days are written as in ISO 8601, so text order is time's.
  const Node& Active(const Node& schemas) const {
    const auto seconds = static_cast<time_t>(options_.now_ns / 1'000'000'000);
    tm parts{};
    gmtime_r(&seconds, &parts);
    char today[32];
    std::strftime(today, sizeof today, "%Y-%m-%d", &parts);
    const Node* active = &schemas.items.front();
    for (const Node& one : schemas.items) {
      if (Scalar(one, {"from"}).substr(0, 10) <= today) active = &one;
    }
    return *active;
  }

  bool Write() {
    const json::object metadata{{"trace_id", options_.trace_id}, {"span_id", options_.span_id}};
    const json::array entry{std::to_string(options_.now_ns), kLine, metadata};
    const json::object stream{{"stream", json::object{{"service_name", "braid-doctor"}}},
                              {"values", json::array{json::value(entry)}}};
    Ask ask;
    ask.method = "POST";
    ask.path = "/loki/api/v1/push";
    ask.headers = {{"Content-Type", "application/json"}};
    ask.body = json::serialize(json::object{{"streams", json::array{json::value(stream)}}});
    const Result<Answer> answer = peer_.Send(std::move(ask));
    if (!answer.ok()) {
      to_.Fail("write", "no answer to a push: " + answer.status().message(),
               ReachAdvice("--loki", "Loki", answer.status()));
      return false;
    }
    if (answer->status / 100 == 2) {
      to_.Ok("write",
             "wrote one line to {service_name=\"braid-doctor\"}, with trace_id and span_id as structured "
             "metadata");
      return true;
    }
    to_.Fail("write", "a line with structured metadata was refused: it " + Describe(*answer),
             WriteAdvice(*answer));
    return false;
  }

  static std::string WriteAdvice(const Answer& answer) {
    const std::string& body = answer.body;
    if (answer.status == 401 || answer.status == 403) return kTenant;
    if (Says(body, "structured metadata too large") || Says(body, "too many structured metadata")) {
      return "In Loki's configuration:\n  limits_config:\n    max_structured_metadata_size: 64KB\n"
             "    max_structured_metadata_entries_count: 128";
    }
    if (Says(body, "structured metadata") || Says(body, "Structured Metadata")) return kAllow;
    if (Says(body, "too old") || Says(body, "too far behind")) {
      return "The line is of this moment: are the clocks of this machine and of Loki the same? Else in "
             "Loki's "
             "configuration:\n  limits_config:\n    reject_old_samples_max_age: 1w";
    }
    if (Says(body, "too far in the future") || Says(body, "too new")) {
      return "The line is of this moment: set the clocks of this machine and of Loki. Else in Loki's "
             "configuration:\n"
             "  limits_config:\n    creation_grace_period: 10m";
    }
    if (answer.status == 429) {
      return "It is at a limit just now. In Loki's configuration, whichever it names:\n"
             "  limits_config:\n"
             "    ingestion_rate_mb: 16\n    ingestion_burst_size_mb: 32\n"
             "    per_stream_rate_limit: 8MB\n    max_global_streams_per_user: 10000";
    }
    if (answer.status == 404) {
      return "Is there a path prefix, or is this a query-only part of Loki? --loki is to name the address "
             "that "
             "/loki/api/v1/push is below.";
    }
    if (answer.status == 400) {
      return "Loki before 2.9 does not take structured metadata in JSON: use Loki 3. Then:\n" +
             std::string(kAllow);
    }
    return "Its log says why.";
  }

  void Read() {
    // As from Grafana: by metadata, and told apart from labels.
    const std::string stream = "{service_name=\"braid-doctor\"}";
    std::string problem;
    for (int look = 0; look < options_.looks; ++look) {
      if (look > 0 && options_.pause) options_.pause();
      const Result<std::optional<bool>> found = Query(stream + " | trace_id=`" + options_.trace_id + "`");
      if (!found.ok()) {
        problem = found.status().message();
        continue;
      }
      problem.clear();
      if (!*found) continue;
      if (**found) return to_.Ok("read", "found it again by its trace_id, which is structured metadata");
      break;
    }
    if (!problem.empty()) {
      return to_.Fail(
          "read", "the line cannot be asked for: " + problem,
          Says(problem, "status 401") ? kTenant : "Does --loki name an address that answers queries too?");
    }
    const Result<std::optional<bool>> anyhow = Query(stream);
    if (anyhow.ok() && *anyhow) {
      return to_.Fail(
          "read", "the line is there, but its trace_id is not: structured metadata was thrown away",
          "Is something between that knows no structured metadata (an old Loki, a proxy, an agent)?\n" +
              std::string(kAllow));
    }
    to_.Warn("read", "the line was taken, but is not found by queries within some seconds",
             "Ask again: queries of a Loki that is split up or busy come later. If it stays, does the "
             "address that takes "
             "pushes belong to the same Loki, and the same tenant?");
  }

  // Whether our line is in the answer: nothing if not, else whether it has its trace_id as metadata.
  Result<std::optional<bool>> Query(const std::string& query) {
    constexpr uint64_t kMargin = 60'000'000'000;
    Ask ask;
    ask.path = "/loki/api/v1/query_range?limit=20&query=" + Escape(query) +
               "&start=" + std::to_string(options_.now_ns - std::min(options_.now_ns, kMargin)) +
               "&end=" + std::to_string(options_.now_ns + kMargin);
    ask.headers = {{"Accept", "application/json"}, {"X-Loki-Response-Encoding-Flags", "categorize-labels"}};
    const Result<Answer> answer = peer_.Send(std::move(ask));
    if (!answer.ok()) return answer.status();
    if (answer->status != 200) return InvalidArgument("/loki/api/v1/query_range " + Describe(*answer));
    if (answer->truncated) return InvalidArgument("/loki/api/v1/query_range answers with more than 1 MiB");
    const Result<json::value> body = ParseJson(answer->body);
    if (!body.ok()) return body.status();
    const json::object& data = JsonMap(JsonMap(*body), "data");
    if (JsonText(data, "resultType") != "streams") {
      return InvalidArgument("/loki/api/v1/query_range does not answer with streams");
    }
    std::optional<bool> found;
    for (const json::value& value : JsonList(data, "result")) {
      const json::object& labels = JsonMap(JsonMap(value), "stream");
      for (const json::value& row : JsonList(JsonMap(value), "values")) {
        const json::array none;
        const json::array& parts = row.is_array() ? row.as_array() : none;
        if (parts.size() < 2 || JsonText(parts[0]) != std::to_string(options_.now_ns)) continue;
        const json::object& metadata =
            parts.size() > 2 ? JsonMap(JsonMap(parts[2]), "structuredMetadata") : JsonMap(json::value());
        // A Loki that does not tell them apart adds metadata to the labels.
        const bool has = JsonText(metadata, "trace_id") == options_.trace_id ||
                         JsonText(labels, "trace_id") == options_.trace_id;
        found = found.value_or(false) || has;
      }
    }
    return found;
  }

  Peer& peer_;
  const LokiOptions& options_;
  Reporter to_;
};

}  // namespace

void ProbeLoki(Peer& loki, const LokiOptions& options, Report* report) {
  LokiProbe(loki, options, report).Run();
}

void SkipLoki(Report* report) {
  Reporter(report, "loki", "").SkipRest(kNames, "not probed: --loki http://HOST:3100 includes it");
}

}  // namespace braid::gateway::doctor
