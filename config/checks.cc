#include "config/checks.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "config/units.h"

namespace braid::config {
namespace {

// A value and its path.
struct Place {
  const Node* node = nullptr;
  std::string path;

  Place operator/(std::string_view key) const {
    return {node->Find(key), path.empty() ? std::string(key) : path + '.' + std::string(key)};
  }
  bool given() const { return node->at.source >= 0; }
};

// A listener, and where it is configured.
struct NamedListener {
  const Listener* listener;
  Place place;
};

class Checker {
 public:
  Checker(const Config& config, const Node& root, std::vector<Diagnostic>* errors,
          std::vector<Diagnostic>* warnings)
      : config_(config), root_{&root, ""}, errors_(errors), warnings_(warnings) {
    listeners_ = {
        {&config_.receivers.otlp.grpc, root_ / "receivers" / "otlp" / "grpc"},
        {&config_.receivers.otlp.http, root_ / "receivers" / "otlp" / "http"},
        {&config_.web, root_ / "web"},
        {&config_.receivers.prometheus.remote_write, root_ / "receivers" / "prometheus" / "remote_write"}};
  }

  void Run() {
    CheckListeners();
    CheckTimes();
    CheckMetrics();
    CheckMemory();
    CheckFilters();
    CheckSinks();
  }

 private:
  // Reports, unless one of `involved` was refused already, at the first of them that the user wrote.
  void Fail(std::initializer_list<Place> involved, std::string message) {
    Add(errors_, involved, std::move(message));
  }
  void Warn(std::initializer_list<Place> involved, std::string message) {
    Add(warnings_, involved, std::move(message));
  }
  static void Add(std::vector<Diagnostic>* to, std::initializer_list<Place> involved, std::string message) {
    const Place* where = involved.begin();
    for (const Place& place : involved) {
      if (place.node->broken) return;
      if (!where->given() && place.given()) where = &place;
    }
    to->push_back({.at = where->node->at, .source = {}, .path = where->path, .message = std::move(message)});
  }

  static bool Anywhere(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

  void CheckListeners() {
    for (size_t i = 0; i < listeners_.size(); ++i) {
      const auto& [one, place] = listeners_[i];
      if (!one->enabled) continue;
      const bool authenticated = one->tls && !one->tls->client_ca_file.empty();
      if (!IsLoopback(one->listen.host) && !authenticated && !one->insecure) {
        Fail({place / "listen", place / "tls", place / "insecure"},
             one->listen.ToString() +
                 " can be reached by other machines: set tls with cert_file, key_file and "
                 "client_ca_file, or say insecure: true");
      }
      for (size_t j = 0; j < i; ++j) {
        const auto& [other, other_place] = listeners_[j];
        const bool same_host = one->listen.host == other->listen.host || Anywhere(one->listen.host) ||
                               Anywhere(other->listen.host);
        if (other->enabled && one->listen.port == other->listen.port && one->listen.port != 0 && same_host) {
          Fail({place / "listen", other_place / "listen"},
               place.path + " and " + other_place.path + " listen on the same address, " +
                   one->listen.ToString() + ": give them different ports");
        }
      }
    }
  }

  static std::string Text(const Place& place) { return place.path + " (" + place.node->text + ")"; }

  void NotAbove(const Place& small, bool ok, const Place& large) {
    if (!ok) Fail({small, large}, Text(small) + " is longer than " + Text(large));
  }

  void CheckTimes() {
    const Place correlate = root_ / "correlate";
    const Correlate& c = config_.correlate;
    NotAbove(correlate / "settle", c.settle <= c.decision_max, correlate / "decision_max");
    NotAbove(correlate / "decision_max", c.decision_max <= c.window, correlate / "window");
    NotAbove(correlate / "log_hold", c.log_hold <= c.window, correlate / "window");
  }

  void CheckMetrics() {
    const Place metrics = root_ / "metrics";
    const Metrics& m = config_.metrics;
    const Place expire = metrics / "expire_after";
    if (m.expire_after < config_.correlate.window * 3 / 2 && expire.given()) {
      Warn({expire, root_ / "correlate" / "window"},
           Text(expire) + " is less than " + Text(root_ / "correlate" / "window") +
               " and half as much again, which is how long series are kept instead");
    }
    // The default gives way to a shorter window.
    const Place graph_wait = metrics / "graph" / "wait";
    NotAbove(graph_wait, !graph_wait.given() || m.graph.wait <= config_.correlate.window,
             root_ / "correlate" / "window");
    const Place wait = root_ / "correlate" / "spans" / "wait";
    if (m.self_time && config_.correlate.spans_wait == Correlate::SpansWait::kNone &&
        (metrics / "self_time").given()) {
      Fail({metrics / "self_time", wait},
           "needs the spans of a trace to wait for its verdict, and " + Text(wait) + " lets them go at once");
    }
    if (m.exception_message && !m.exceptions) {
      Fail({metrics / "exception_message", metrics / "exceptions"},
           "has no effect: " + Text(metrics / "exceptions") + ", so there is no metric of exceptions");
    }
    const Place labels = metrics / "exemplar_labels";
    if (m.exemplar_labels.trace_id == m.exemplar_labels.span_id) {
      Fail({labels / "span_id", labels / "trace_id"},
           "is the name of both IDs; give them different ones, or leave the span's out (\"\")");
    }
    for (const auto& [key, name] : {std::pair("trace_id", &m.exemplar_labels.trace_id),
                                    std::pair("span_id", &m.exemplar_labels.span_id)}) {
      if (name->starts_with("__")) Fail({labels / key}, "names that begin with __ are Prometheus' own");
    }
    for (const char* key : {"include", "exclude"}) {
      const Place list = metrics / key;
      const std::vector<SpanMatch>& matches = key == std::string_view("include") ? m.include : m.exclude;
      for (size_t i = 0; i < matches.size(); ++i) {
        const SpanMatch& match = matches[i];
        const Place place{&list.node->items[i], list.path + '[' + std::to_string(i) + ']'};
        if (match == SpanMatch{}) Fail({place}, "asks for nothing, so it means every span");
        if (!match.attribute.empty() && !match.resource.empty()) {
          Fail({place}, "has both attribute and resource, and one matches: take two entries, or one of them");
        }
        if (!match.matches.empty() && match.attribute.empty() && match.resource.empty())
          Fail({place}, "has matches without attribute or resource, whose value it is for");
      }
    }
  }

  void CheckMemory() {
    const Place budget = root_ / "memory" / "budget";
    const Place store = root_ / "store" / "max_bytes";
    if (config_.store.max_bytes > config_.memory.budget / 4 * 3) {
      Fail({store, budget}, Text(store) + " is more than three quarters of " + Text(budget));
    }
    const Place batch = root_ / "batch" / "max_bytes";
    if (config_.batch.max_bytes > config_.memory.budget / 8) {
      Fail({batch, budget}, Text(batch) + " is more than an eighth of " + Text(budget));
    }
    const auto request = [&](uint64_t bytes, const Place& listener) {
      const Place place = listener / "max_request_bytes";
      if (bytes > config_.memory.budget / 2 && place.given()) {
        Warn({place, budget}, "more than half of " + Text(budget) +
                                  ": requests of that size will mostly be told to come back later");
      }
    };
    request(config_.receivers.otlp.grpc.max_request_bytes, listeners_[0].place);
    request(config_.receivers.otlp.http.max_request_bytes, listeners_[1].place);
    request(config_.receivers.prometheus.remote_write.max_request_bytes, listeners_[3].place);
  }

  void CheckFilters() {
    const Place filters = root_ / "filters";
    std::map<std::string, size_t> names;
    for (size_t i = 0; i < config_.filters.size(); ++i) {
      const FilterRule& rule = config_.filters[i];
      const Place place{&filters.node->items[i], filters.path + '[' + std::to_string(i) + ']'};
      if (!names.emplace(rule.name, i).second) {
        Fail({place / "name"}, "a rule of this name is there already; counters could not tell them apart");
      }
      CheckMatch(rule, place);
      CheckReplacement(rule, place);
    }
  }

  // A rule whose conditions belong to signals it does not look at, or to different signals, never applies.
  void CheckMatch(const FilterRule& rule, const Place& place) {
    Signals possible = rule.signals;
    const Place list = place / "match";
    for (size_t i = 0; i < rule.match.size(); ++i) {
      using Field = FilterMatch::Field;
      const Field field = rule.match[i].field;
      // The points of a metric differ in their attributes, so an attribute's condition never holds for one.
      const bool own = field == Field::kAttribute;
      const bool any = field == Field::kResource;
      possible.traces = possible.traces && (any || own || field == Field::kSpanName);
      possible.logs = possible.logs && (any || own || field == Field::kLogBody);
      possible.metrics = possible.metrics && (any || field == Field::kMetricName);
      if (!possible.any()) {
        const Place match{&list.node->items[i], list.path + '[' + std::to_string(i) + ']'};
        Fail({match / "field"},
             "the rule never applies: no item of its signals has this and what else it "
             "asks for");
        return;
      }
    }
  }

  void CheckReplacement(const FilterRule& rule, const Place& place) {
    if (rule.action != FilterRule::Action::kRedact) return;
    const RE2 pattern(rule.pattern.empty() ? "(?s).*" : rule.pattern, RE2::Quiet);
    std::string problem;
    if (pattern.ok() && !pattern.CheckRewriteString(rule.replacement, &problem)) {
      Fail({place / "replacement", place / "pattern"}, "does not fit the pattern: " + problem);
    }
  }

  void CheckSinks() {
    const Place sinks = root_ / "sinks";
    uint64_t queues = 0;
    std::map<std::string, std::string> paths;
    for (const Sink& sink : config_.sinks) {
      const Place place = sinks / sink.name;
      queues += sink.queue.max_bytes;
      if (sink.queue.max_bytes > config_.memory.budget / 4 * 3) {
        Fail({place / "queue" / "max_bytes", root_ / "memory" / "budget"},
             Text(place / "queue" / "max_bytes") + " is more than three quarters of " +
                 Text(root_ / "memory" / "budget"));
      }
      if (!sink.path.empty()) {
        const auto [known, fresh] = paths.emplace(sink.path, sink.name);
        if (!fresh) Fail({place / "path"}, "is written by sink '" + known->second + "' too");
      }
      if (!sink.endpoint.empty()) CheckRemote(sink, place);
      CheckOwnMetrics(sink, place);
    }
    if (queues > config_.memory.budget) {
      Warn({sinks},
           "the queues together may take more than memory.budget; whichever sink stalls first "
           "takes the room of the others");
    }
  }

  void CheckOwnMetrics(const Sink& sink, const Place& place) {
    if (sink.derived_metrics.enabled && !sink.signals.metrics) {
      Fail({place / "derived_metrics" / "enabled", place / "signals"},
           "derived metrics are metrics, which are not among the sink's signals");
    }
    for (const auto& [name, value] : sink.remote_write.external_labels) {
      if (name == "le" || name == "quantile" || name.starts_with("__")) {
        Fail({place / "external_labels" / name}, "this label's name has a meaning of its own in Prometheus");
      }
    }
  }

  void CheckRemote(const Sink& sink, const Place& place) {
    const auto url = boost::urls::parse_uri(sink.endpoint);
    const bool tls = url->scheme() == "https";
    std::string host(url->encoded_host_address().begin(), url->encoded_host_address().end());

    CheckAuth(sink, place);
    CheckClientTls(sink, place, tls);
    CheckLoop(place, host, url->has_port() ? url->port_number() : static_cast<uint16_t>(tls ? 443 : 80));

    const bool secrets = sink.auth.basic || !sink.auth.bearer.empty() || !sink.headers.empty();
    if (secrets && !tls && !IsLoopback(host)) {
      Warn({place / "endpoint"},
           "credentials or headers go to " + host + " in plain text; https:// protects them");
    }
    if (sink.retry.initial > sink.retry.max) {
      NotAbove(place / "retry" / "initial", false, place / "retry" / "max");
    }
  }

  void CheckAuth(const Sink& sink, const Place& place) {
    const Place auth = place / "auth";
    if (sink.auth.basic && !sink.auth.bearer.empty()) {
      Fail({auth / "bearer", auth / "basic"}, "there is auth.basic as well; only one can be sent");
    }
    // Written by the transport, or from other keys.
    constexpr std::array<std::string_view, 9> kReserved = {
        "connection", "content-encoding", "content-length",    "content-type", "host",
        "te",         "trailer",          "transfer-encoding", "user-agent"};
    for (const auto& [name, value] : sink.headers) {
      std::string lower = name;
      std::transform(lower.begin(), lower.end(), lower.begin(),
                     [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
      const Place header = place / "headers" / name;
      if (std::find(kReserved.begin(), kReserved.end(), lower) != kReserved.end() ||
          lower.starts_with("grpc-") || lower == "x-prometheus-remote-write-version") {
        Fail({header}, "this header is written by Braid itself");
      } else if (lower == "authorization" && (sink.auth.basic || !sink.auth.bearer.empty())) {
        Fail({header, auth}, "auth writes this header as well; only one can be sent");
      } else if (lower == "x-scope-orgid" && !sink.tenant.empty()) {
        Fail({header, place / "tenant"}, "tenant writes this header as well; only one can be sent");
      }
    }
  }

  void CheckClientTls(const Sink& sink, const Place& place, bool used) {
    const Place tls = place / "tls";
    if (!used) {
      for (const Node::Member& member : tls.node->members) {
        if (member.value.text.empty() || member.value.text == "false") continue;
        Fail({tls / member.key, place / "endpoint"},
             "has no effect: the endpoint is http://, so there is no TLS");
        return;
      }
    }
    if (sink.tls.cert_file.empty() != sink.tls.key_file.empty()) {
      Fail({tls / "cert_file", tls / "key_file"}, "cert_file and key_file go together");
    }
    if (sink.tls.insecure_skip_verify) {
      Warn({tls / "insecure_skip_verify"}, "the receiver's certificate is not checked");
    }
  }

  void CheckLoop(const Place& place, const std::string& host, uint16_t port) {
    for (const auto& [listener, listener_place] : listeners_) {
      const bool here =
          IsLoopback(host) && (IsLoopback(listener->listen.host) || Anywhere(listener->listen.host));
      if (listener->enabled && port == listener->listen.port && (here || host == listener->listen.host)) {
        Fail({place / "endpoint", listener_place / "listen"},
             "is " + listener_place.path + " itself: data would go in circles");
      }
    }
  }

  const Config& config_;
  const Place root_;
  std::vector<Diagnostic>* const errors_;
  std::vector<Diagnostic>* const warnings_;
  std::vector<NamedListener> listeners_;
};

}  // namespace

void CheckTogether(const Config& config, const Node& root, std::vector<Diagnostic>* errors,
                   std::vector<Diagnostic>* warnings) {
  Checker(config, root, errors, warnings).Run();
}

}  // namespace braid::config
