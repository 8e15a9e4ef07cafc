#include "gateway/doctor/trace_backends.h"

#include <algorithm>
#include <functional>

#include "gateway/json/json_read.h"

namespace braid::gateway::doctor {
namespace {

namespace json = boost::json;

constexpr std::string_view kTempoNames[] = {"reachable", "trace"};
constexpr std::string_view kJaegerNames[] = {"reachable", "services", "trace"};
constexpr size_t kTries = 5;
constexpr size_t kMaxTrace = 64 << 20;

constexpr const char* kTenant =
    "It asks for a tenant or for credentials. For the doctor: --org-id TENANT. In Braid:\n"
    "  sinks:\n    tempo:\n      tenant: TENANT\n"
    "In Grafana's data source:\n"
    "  jsonData: {httpHeaderName1: X-Scope-OrgID}\n  secureJsonData: {httpHeaderValue1: TENANT}";

// Why a backend has none of the traces that Braid has, as far as Braid can tell.
std::string MissingAdvice(const BraidFacts& facts, const std::string& url, std::string_view what) {
  const Result<net::HttpUrl> parsed = net::ParseHttpUrl(url);
  const std::string host = parsed.ok() ? parsed->host : "HOST";
  if (facts.has_status && SinkNames(facts, &BraidFacts::Sink::traces).empty()) {
    return "No sink of Braid takes traces. In Braid's configuration (the port is its OTLP receiver's):\n"
           "  sinks:\n    traces:\n      type: otlp_grpc\n      endpoint: http://" +
           host + ":4317\n      signals: [traces]";
  }
  for (const BraidFacts::Sink& sink : facts.sinks) {
    if (sink.traces && sink.failures > 0) {
      return "Sink '" + sink.name + "' of Braid is failing (" + sink.last_error + "): see braid.sinks.";
    }
  }
  return "Braid's sinks that take traces: " + SinkNames(facts, &BraidFacts::Sink::traces) +
         ". Look at\n"
         "  - the sink's endpoint: is it this " +
         std::string(what) +
         ", and the same tenant?\n"
         "  - traces that are not flushed yet: ask again in a minute;\n"
         "  - samplers, limits and filters on the way to it: a collector between, " +
         std::string(what) + "'s own log and limits.";
}

// Looks for traces of exemplars: the oldest, since the newest may be on their way.
void LookForTraces(const BraidFacts& facts, const std::string& url, std::string_view what, Reporter& to,
                   const std::function<Result<bool>(const std::string&)>& has) {
  if (!facts.answered) return to.Skip("trace", "no trace to look for: Braid does not answer");
  if (facts.traces.empty()) return to.Skip("trace", "no trace to look for: see braid.exemplars");
  size_t asked = 0, found = 0;
  std::string missing;
  for (; asked < std::min(kTries, facts.traces.size()); ++asked) {
    const std::string& trace = facts.traces[asked];
    const Result<bool> there = has(trace);
    if (!there.ok()) {
      return to.Fail("trace", "trace " + trace + " cannot be asked for: " + there.status().message(),
                     there.status().message().find("status 401") != std::string::npos
                         ? kTenant
                         : "Is this the address that answers queries?");
    }
    found += *there ? 1 : 0;
    if (!*there) missing = trace;
  }
  const std::string counts = std::to_string(found) + " of " + std::to_string(asked);
  if (found == asked) return to.Ok("trace", "has " + counts + " traces of Braid's exemplars");
  const std::string advice = MissingAdvice(facts, url, what);
  if (found > 0)
    return to.Warn("trace", "has " + counts + " traces of Braid's exemplars, not " + missing, advice);
  to.Fail("trace",
          "has none of " + std::to_string(asked) + " traces of Braid's exemplars, such as " + missing,
          advice);
}

// Whether `value` holds a span: what is found has, what is not found is sometimes an empty answer.
bool HasSpans(const json::object& trace) {
  return !JsonList(trace, "resourceSpans").empty() || !JsonList(trace, "batches").empty();
}

Result<bool> TempoHas(Peer& tempo, const std::string& trace) {
  // As Grafana asks: first the newer path, on 404 the older one.
  for (const char* path : {"/api/v2/traces/", "/api/traces/"}) {
    Ask ask;
    ask.path = path + Escape(trace);
    ask.headers = {{"Accept", "application/json"}};
    ask.max_bytes = kMaxTrace;
    const Result<Answer> answer = tempo.Send(std::move(ask));
    if (!answer.ok()) return answer.status();
    if (answer->status == 404) continue;
    if (answer->status != 200) return InvalidArgument(path + Describe(*answer).insert(0, " "));
    if (answer->truncated) return InvalidArgument(std::string(path) + " answers with more than 64 MiB");
    const Result<json::value> body = ParseJson(answer->body);
    if (!body.ok()) return body.status().Annotate(path);
    const json::object& top = JsonMap(*body);
    if (HasSpans(top) || HasSpans(JsonMap(top, "trace"))) return true;
    if (!top.contains("trace") && !top.contains("batches") && !top.contains("resourceSpans")) {
      return InvalidArgument(std::string(path) + " answers with something that is no trace");
    }
  }
  return false;
}

Result<bool> JaegerHas(Peer& jaeger, const std::string& trace) {
  Ask ask;
  ask.path = "/api/traces/" + Escape(trace);
  ask.headers = {{"Accept", "application/json"}};
  ask.max_bytes = kMaxTrace;
  const Result<Answer> answer = jaeger.Send(std::move(ask));
  if (!answer.ok()) return answer.status();
  if (answer->status == 404) return false;
  if (answer->status != 200) return InvalidArgument("/api/traces " + Describe(*answer));
  if (answer->truncated) return InvalidArgument("/api/traces answers with more than 64 MiB");
  const Result<json::value> body = ParseJson(answer->body);
  if (!body.ok()) return body.status().Annotate("/api/traces");
  if (!JsonMap(*body).contains("data"))
    return InvalidArgument("/api/traces answers with something that is no trace");
  for (const json::value& one : JsonList(JsonMap(*body), "data")) {
    if (!JsonList(JsonMap(one), "spans").empty()) return true;
  }
  return false;
}

// Whether Tempo answers; reports it.
bool TempoReachable(Peer& tempo, Reporter& to) {
  Result<Answer> answer = tempo.Send({.path = "/api/echo", .headers = {}, .body = {}});
  if (answer.ok() && answer->status == 404)
    answer = tempo.Send({.path = "/ready", .headers = {}, .body = {}});
  if (!answer.ok()) {
    to.Fail("reachable", "no answer: " + answer.status().message(),
            ReachAdvice("--tempo", "Tempo", answer.status()));
    return false;
  }
  if (answer->status == 401 || answer->status == 403) {
    to.Fail("reachable", Describe(*answer), kTenant);
    return false;
  }
  if (answer->status == 503) {
    to.Fail("reachable", "not ready: " + Describe(*answer), "Wait until it has started, then ask again.");
    return false;
  }
  // "echo", or of /ready "ready"; a web server that is not Tempo has pages of its own.
  const bool tempo_like = answer->body.starts_with("echo") || answer->body.starts_with("ready");
  if (answer->status != 200 || !tempo_like) {
    to.Fail("reachable", "does not answer as Tempo does: /api/echo " + Describe(*answer),
            "Is this Tempo's HTTP address (port 3200 unless configured), and not its OTLP port?");
    return false;
  }
  to.Ok("reachable", "answers");
  return true;
}

// A list of names, or null if there are none.
Status LooksLikeServices(const json::object& answer) {
  const json::value* data = answer.if_contains("data");
  const bool names = data != nullptr && data->is_array() &&
                     std::all_of(data->as_array().begin(), data->as_array().end(),
                                 [](const json::value& name) { return name.is_string(); });
  if (names || (data != nullptr && data->is_null() && answer.contains("total"))) return {};
  return InvalidArgument("/api/services does not answer as Jaeger does");
}

}  // namespace

void ProbeTempo(Peer& tempo, const BraidFacts& facts, Report* report) {
  Reporter to(report, "tempo", tempo.url());
  if (TempoReachable(tempo, to)) {
    LookForTraces(facts, tempo.url(), "Tempo", to,
                  [&](const std::string& trace) { return TempoHas(tempo, trace); });
  }
  to.SkipRest(kTempoNames, "Tempo is not there to ask");
}

void ProbeJaeger(Peer& jaeger, const BraidFacts& facts, Report* report) {
  Reporter to(report, "jaeger", jaeger.url());
  const Result<json::value> services = jaeger.GetJson("/api/services", 4 << 20);
  const Status status = services.ok() ? LooksLikeServices(JsonMap(*services)) : services.status();
  if (!status.ok()) {
    to.Fail("reachable", status.message(),
            ReachAdvice("--jaeger", "the Jaeger query service (port 16686 unless configured)", status));
    return to.SkipRest(kJaegerNames, "Jaeger is not there to ask");
  }
  to.Ok("reachable", "answers");
  const size_t count = JsonList(JsonMap(*services), "data").size();
  if (count > 0) {
    to.Ok("services", std::to_string(count) + (count == 1 ? " service" : " services"));
  } else {
    to.Warn("services", "it knows no service: no span has reached it",
            MissingAdvice(facts, jaeger.url(), "Jaeger"));
  }
  LookForTraces(facts, jaeger.url(), "Jaeger", to,
                [&](const std::string& trace) { return JaegerHas(jaeger, trace); });
}

void SkipTempo(Report* report) {
  Reporter(report, "tempo", "").SkipRest(kTempoNames, "not probed: --tempo http://HOST:3200 includes it");
}

void SkipJaeger(Report* report) {
  Reporter(report, "jaeger", "").SkipRest(kJaegerNames, "not probed: --jaeger http://HOST:16686 includes it");
}

}  // namespace braid::gateway::doctor
