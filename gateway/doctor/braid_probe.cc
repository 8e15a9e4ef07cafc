#include "gateway/doctor/braid_probe.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "gateway/json/json_read.h"

namespace braid::gateway::doctor {
namespace {

namespace json = boost::json;

constexpr size_t kMaxPage = 64 << 20;  // 300,000 samples or so
constexpr const char* kOpenMetrics = "application/openmetrics-text; version=1.0.0";
constexpr std::string_view kNames[] = {"ready", "account", "journal", "memory",
                                       "sinks", "spans",   "derived", "exemplars"};

std::string Number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.0f", value);
  return text;
}

class BraidProbe {
 public:
  BraidProbe(Peer& braid, Report* report) : braid_(braid), to_(report, "braid", braid.url()) {}

  BraidFacts Run() {
    facts_.asked = true;
    facts_.url = braid_.url();
    Ready();
    if (facts_.answered) {
      LookAtStatus();
      LookAtPage();
    }
    to_.SkipRest(kNames, facts_.answered ? "not known: see the checks above" : "Braid does not answer");
    return std::move(facts_);
  }

 private:
  void Ready() {
    Ask ask;
    ask.path = "/readyz";
    const Result<Answer> answer = braid_.Send(std::move(ask));
    if (!answer.ok()) {
      return to_.Fail(
          "ready", "no answer: " + answer.status().message(),
          "Is Braid running, and is this its web.listen address? `braid run` starts it; --url says where "
          "it is.");
    }
    if (answer->status == 503 &&
        (answer->body.starts_with("starting") || answer->body.starts_with("draining"))) {
      facts_.answered = true;
      return to_.Fail("ready", "Braid is " + answer->body.substr(0, 8),
                      "Wait until it has started, or start it again if it is stopping.");
    }
    if (answer->status != 200 || !answer->body.starts_with("ok")) {
      return to_.Fail(
          "ready", "/readyz " + Describe(*answer),
          "That is no Braid: --url is to name its web.listen address (127.0.0.1:9464 unless configured).");
    }
    facts_.answered = true;
    to_.Ok("ready", "ready");
  }

  void LookAtStatus() {
    const Result<json::value> got = braid_.GetJson("/api/v1/status", 4 << 20);
    const json::object& status = got.ok() ? JsonMap(*got) : JsonMap(json::value());
    if (!got.ok() || JsonMap(status, "account").empty()) {
      return to_.Fail(
          "account",
          got.ok() ? "/api/v1/status has no account in it" : "/api/v1/status: " + got.status().message(),
          "Is this Braid's own address, without a proxy that answers for it?");
    }
    facts_.has_status = true;
    facts_.version = JsonText(status, "version");
    facts_.store_horizon_seconds = JsonNumber(JsonMap(status, "store"), "horizonSeconds").value_or(0);
    Account(JsonMap(status, "account"));
    const std::string mode(JsonText(JsonMap(status, "journal"), "mode"));
    to_.Ok("journal", mode == "memory"
                          ? "journal.mode is memory: what was acknowledged and not yet delivered is lost "
                            "if the process dies"
                          : "journal.mode is " + mode);
    Memory(status);
    Sinks(status);
    Spans(JsonMap(JsonMap(JsonMap(status, "account"), "ingress"), "traces"));
  }

  void Account(const json::object& account) {
    std::string wrong;
    size_t looked_at = 0;
    const auto look = [&](const std::string& where, const json::value& value) {
      const json::value* balanced = JsonMap(value).if_contains("balanced");
      ++looked_at;
      if (balanced == nullptr || !balanced->is_bool() || !balanced->as_bool()) {
        wrong += (wrong.empty() ? "" : ", ") + where;
      }
    };
    for (const auto& [signal, entry] : JsonMap(account, "ingress"))
      look("received " + std::string(signal), entry);
    for (const auto& [sink, signals] : JsonMap(account, "sinks")) {
      for (const auto& [signal, entry] : JsonMap(signals)) {
        look(std::string(signal) + " of sink " + std::string(sink), entry);
      }
    }
    if (looked_at == 0)
      return to_.Fail("account", "the account in /api/v1/status is empty", "Is this Braid?");
    if (wrong.empty()) return to_.Ok("account", "adds up (" + std::to_string(looked_at) + " entries)");
    to_.Fail("account", "does not add up: " + wrong,
             "That is a fault in Braid: please report it with the output of\n  curl " + braid_.url() +
                 "/api/v1/status");
  }

  void Memory(const json::object& status) {
    const json::object& memory = JsonMap(status, "memory");
    const double level = JsonNumber(status, "pressure").value_or(0);
    const double used = JsonNumber(memory, "slabUsedBytes").value_or(0);
    const double most = JsonNumber(memory, "slabMaxBytes").value_or(0);
    const std::string use = Number(std::ceil(used / 1048576)) + " of " + Number(most / 1048576) +
                            " MiB for requests and queues in use";
    if (level <= 0) return to_.Ok("memory", use);
    const std::string advice =
        "Raise memory.budget (and the limit of its container), send less, or let sinks drain: see "
        "braid.sinks.\n"
        "  memory:\n    budget: 1GiB";
    const std::string message = "memory pressure is at level " + Number(level) + " of 3: " + use;
    if (level >= 3) return to_.Fail("memory", message + "; new requests are refused", advice);
    to_.Warn("memory",
             message + (level >= 2 ? "; traces are decided early" : "; logs are held for half as long"),
             advice);
  }

  void Sinks(const json::object& status) {
    for (const auto& [name, signals] : JsonMap(JsonMap(status, "account"), "sinks")) {
      if (name == "braid") continue;  // what stays inside
      facts_.sinks.push_back({.name = std::string(name),
                              .traces = JsonMap(signals).contains("traces"),
                              .logs = JsonMap(signals).contains("logs"),
                              .failures = 0,
                              .last_error = {}});
    }
    for (const json::value& value : JsonList(status, "lanes")) {
      const json::object& lane = JsonMap(value);
      const auto sink =
          std::find_if(facts_.sinks.begin(), facts_.sinks.end(),
                       [&](const BraidFacts::Sink& one) { return one.name == JsonText(lane, "sink"); });
      const double failures = JsonNumber(lane, "consecutiveFailures").value_or(0);
      if (sink == facts_.sinks.end() || failures <= sink->failures) continue;
      sink->failures = failures;
      sink->last_error = JsonText(lane, "lastError");
    }
    if (facts_.sinks.empty()) {
      return to_.Ok("sinks", "none is configured: spans and logs stay in Braid, nothing is forwarded");
    }
    bool failing = false;
    for (const BraidFacts::Sink& sink : facts_.sinks) {
      if (sink.failures <= 0) continue;
      failing = true;
      to_.Fail("sinks",
               "sink '" + sink.name + "' has failed " + Number(sink.failures) +
                   " times in a row: " + sink.last_error,
               "Is its server running, and are these right?\n  sinks:\n    " + sink.name +
                   ":\n      endpoint: ...\n      headers, tenant, tls: ...   # for 401, 403 and TLS errors");
    }
    if (!failing) to_.Ok("sinks", std::to_string(facts_.sinks.size()) + " configured, none failing");
  }

  void Spans(const json::object& traces) {
    const double received = JsonNumber(traces, "received").value_or(0);
    const double accepted = JsonNumber(traces, "accepted").value_or(0);
    if (received <= 0) {
      return to_.Warn(
          "spans", "no span has come in yet",
          "Point your services at it, or try it with `braid demo`:\n"
          "  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317   # gRPC; http://127.0.0.1:4318 for HTTP");
    }
    if (accepted <= 0) {
      return to_.Warn("spans", Number(received) + " spans came in, and none was accepted",
                      "See which outcome of braid_ingress_items_total{signal=\"traces\"} counts at " +
                          braid_.url() +
                          "/metrics?only=self: rejected_filter is a rule of filters:, refused is overload.");
    }
    to_.Ok("spans", Number(received) + " came in, " + Number(accepted) + " were accepted");
  }

  void LookAtPage() {
    facts_.whole_page = true;
    for (const char* only : {"self", "derived", "ingested"}) {
      Ask ask;
      ask.path = std::string("/metrics?only=") + only;
      ask.headers = {{"Accept", kOpenMetrics}};
      ask.max_bytes = kMaxPage;
      Result<Answer> answer = braid_.Send(std::move(ask));
      const bool good = answer.ok() && answer->status == 200;
      if (std::string_view(only) == "self") facts_.has_page = good;
      facts_.whole_page = facts_.whole_page && good && !answer->truncated;
      if (good) {
        ReadPage(answer->body, &facts_.page);
        continue;
      }
      const std::string what = answer.ok() ? Describe(*answer) : answer.status().message();
      if (std::string_view(only) == "ingested") continue;
      facts_.has_page = false;
      return to_.Fail("derived", std::string("/metrics?only=") + only + ": " + what,
                      "Give it more time with --timeout if it has very many series.");
    }
    if (facts_.start_seconds() <= 0) {
      facts_.has_page = false;
      return to_.Fail(
          "derived", "/metrics?only=self has none of Braid's own metrics",
          "That is no page of Braid: is this its own address, without a proxy that answers for it?");
    }
    if (facts_.page.odd_lines > 0) {
      facts_.has_page = false;
      return to_.Fail("derived",
                      "/metrics has " + std::to_string(facts_.page.odd_lines) + " lines that are no samples",
                      "That is no page of Braid: does a proxy change it?");
    }
    Derived();
    Exemplars();
  }

  bool HasFamily(std::string_view prefix) const {
    const auto found = facts_.page.families.lower_bound(std::string(prefix));
    return found != facts_.page.families.end() && found->starts_with(prefix);
  }

  void Derived() {
    facts_.tempo = HasFamily("traces_spanmetrics_");
    facts_.otel = HasFamily("traces_span_metrics_");
    for (const char* latency : {"traces_spanmetrics_latency", "traces_span_metrics_duration_milliseconds"}) {
      if (facts_.page.families.contains(latency)) facts_.native_only = !facts_.page.classic.contains(latency);
    }
    if (!facts_.tempo && !facts_.otel) {
      return to_.Warn(
          "derived", "the page has no metrics derived from spans",
          "They appear with the first span (see braid.spans); metrics.calls and metrics.latency must not "
          "both be false.");
    }
    const auto series = facts_.page.values.find("braid_series_derived_series");
    to_.Ok("derived", (series == facts_.page.values.end() ? "" : Number(series->second) + " series, ") +
                          "dialect " +
                          (facts_.tempo && facts_.otel ? "both"
                           : facts_.tempo              ? "tempo"
                                                       : "otel") +
                          (facts_.native_only ? ", native histograms only" : ""));
  }

  void Exemplars() {
    std::vector<Page::Exemplar> exemplars = facts_.page.exemplars;
    std::stable_sort(
        exemplars.begin(), exemplars.end(),
        [](const Page::Exemplar& a, const Page::Exemplar& b) { return a.timestamp < b.timestamp; });
    std::set<std::string> known;
    for (Page::Exemplar& one : exemplars) {
      if (known.insert(one.trace_id).second) facts_.traces.push_back(std::move(one.trace_id));
    }
    if (facts_.traces.empty()) {
      return to_.Warn(
          "exemplars", "the OpenMetrics page has none",
          "They come at a trace's verdict, some seconds after its spans. metrics.exemplars must not be "
          "false.");
    }
    const std::string& newest = facts_.traces.back();
    const Result<bool> has = HasTrace(braid_, newest);
    if (!has.ok()) {
      return to_.Fail("exemplars", "its trace cannot be asked for: " + has.status().message(),
                      "See braid.ready; a longer --timeout may help.");
    }
    if (!*has) {
      return to_.Fail(
          "exemplars", "trace " + newest + " of an exemplar cannot be fetched from Braid",
          "It has left the store: raise store.max_bytes and memory.budget.\n"
          "braid_store_unpinned_traces and braid_store_pins_lost_total count how often that happens.");
    }
    to_.Ok("exemplars", "of " + std::to_string(facts_.traces.size()) + " traces; the newest can be fetched");
  }

  Peer& braid_;
  Reporter to_;
  BraidFacts facts_;
};

}  // namespace

double BraidFacts::start_seconds() const {
  const auto found = page.values.find("process_start_time_seconds");
  return found == page.values.end() ? 0 : found->second;
}

BraidFacts ProbeBraid(Peer& braid, Report* report) { return BraidProbe(braid, report).Run(); }

void SkipBraid(Report* report) {
  Reporter(report, "braid", "").SkipRest(kNames, "not probed: --url is empty");
}

Result<bool> HasTrace(Peer& braid, const std::string& trace_id) {
  Ask ask;
  ask.path = "/api/v1/traces/" + Escape(trace_id);
  ask.max_bytes = 4096;  // the beginning says enough
  const Result<Answer> answer = braid.Send(std::move(ask));
  if (!answer.ok()) return answer.status();
  if (answer->status == 404) return false;
  if (answer->status != 200 || answer->body.find("\"traceId\"") == std::string::npos) {
    return InvalidArgument("/api/v1/traces " + Describe(*answer));
  }
  return true;
}

std::string SinkNames(const BraidFacts& facts, bool BraidFacts::Sink::* takes) {
  std::string names;
  for (const BraidFacts::Sink& sink : facts.sinks) {
    if (sink.*takes) names += (names.empty() ? "" : ", ") + sink.name;
  }
  return names;
}

}  // namespace braid::gateway::doctor
