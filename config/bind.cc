#include "config/bind.h"

#include <cassert>
#include <charconv>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "config/units.h"

namespace braid::config {
namespace {

const Node& Get(const Node& node, std::string_view key) {
  const Node* found = node.Find(key);
  assert(found != nullptr && "the schema has no such key");
  return *found;
}

const std::string& Text(const Node& node, std::string_view key) { return Get(node, key).text; }

bool Bool(const Node& node, std::string_view key) { return Text(node, key) == "true"; }

template <typename T>
T Number(const Node& node, std::string_view key) {
  const std::string& text = Text(node, key);
  T value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

milliseconds Duration(const Node& node, std::string_view key) { return *ParseDuration(Text(node, key)); }

uint64_t Size(const Node& node, std::string_view key) { return *ParseSize(Text(node, key)); }

uint64_t Share(const Node& node, std::string_view key, uint64_t budget) {
  const std::string& text = Text(node, key);
  const std::optional<uint32_t> permille = ParsePermille(text);
  return permille ? budget / 1000 * *permille + budget % 1000 * *permille / 1000 : *ParseSize(text);
}

template <typename E>
E Enum(const Node& node, std::string_view key, std::initializer_list<std::pair<std::string_view, E>> words) {
  const std::string& text = Text(node, key);
  for (const auto& [word, value] : words) {
    if (word == text) return value;
  }
  assert(false && "the schema has another word");
  return words.begin()->second;
}

Signals BindSignals(const Node& list) {
  Signals signals;
  for (const Node& item : list.items) {
    if (item.text == "traces") signals.traces = true;
    if (item.text == "logs") signals.logs = true;
    if (item.text == "metrics") signals.metrics = true;
  }
  return signals;
}

void BindListener(const Node& node, Listener* listener) {
  listener->enabled = Bool(node, "enabled");
  listener->listen = *ParseAddress(Text(node, "listen"));
  listener->insecure = Bool(node, "insecure");
  const Node& tls = Get(node, "tls");
  if (tls.kind == Node::Kind::kMap) {
    listener->tls = ServerTls{.cert_file = Text(tls, "cert_file"),
                              .key_file = Text(tls, "key_file"),
                              .client_ca_file = Text(tls, "client_ca_file")};
  }
}

Receivers BindReceivers(const Node& node) {
  Receivers receivers;
  const Node& otlp = Get(node, "otlp");
  const Node& grpc = Get(otlp, "grpc");
  BindListener(grpc, &receivers.otlp.grpc);
  receivers.otlp.grpc.max_request_bytes = Size(grpc, "max_request_bytes");
  const Node& http = Get(otlp, "http");
  BindListener(http, &receivers.otlp.http);
  receivers.otlp.http.max_request_bytes = Size(http, "max_request_bytes");
  for (const Node& origin : Get(Get(http, "cors"), "allowed_origins").items) {
    receivers.otlp.http.cors.allowed_origins.push_back(origin.text);
  }
  const Node& remote_write = Get(Get(node, "prometheus"), "remote_write");
  BindListener(remote_write, &receivers.prometheus.remote_write);
  receivers.prometheus.remote_write.max_request_bytes = Size(remote_write, "max_request_bytes");
  return receivers;
}

Correlate BindCorrelate(const Node& node) {
  Correlate correlate;
  correlate.window = Duration(node, "window");
  correlate.log_hold = Duration(node, "log_hold");
  correlate.settle = Duration(node, "settle");
  correlate.decision_max = Duration(node, "decision_max");
  using WaitFor = Correlate::LogsWaitFor;
  correlate.logs_wait_for = Enum<WaitFor>(Get(node, "logs"), "wait_for",
                                          {{"span", WaitFor::kSpan}, {"verdict", WaitFor::kVerdict}});
  using Wait = Correlate::SpansWait;
  correlate.spans_wait =
      Enum<Wait>(Get(node, "spans"), "wait", {{"verdict", Wait::kVerdict}, {"none", Wait::kNone}});
  return correlate;
}

std::vector<std::string> Texts(const Node& node, std::string_view key) {
  std::vector<std::string> texts;
  for (const Node& item : Get(node, key).items) texts.push_back(item.text);
  return texts;
}

SpanMatch BindSpanMatch(const Node& node) {
  SpanMatch match;
  match.kind = Enum<int>(node, "kind",
                         {{"any", -1},
                          {"unspecified", 0},
                          {"internal", 1},
                          {"server", 2},
                          {"client", 3},
                          {"producer", 4},
                          {"consumer", 5}});
  match.status = Enum<int>(node, "status", {{"any", -1}, {"unset", 0}, {"ok", 1}, {"error", 2}});
  match.service = Text(node, "service");
  match.span_name = Text(node, "span_name");
  match.attribute = Text(node, "attribute");
  match.resource = Text(node, "resource");
  match.matches = Text(node, "matches");
  return match;
}

Metrics::Graph BindGraph(const Node& node) {
  Metrics::Graph graph;
  graph.enabled = Bool(node, "enabled");
  graph.wait = Duration(node, "wait");
  graph.dimensions = Texts(node, "dimensions");
  graph.virtual_node_label = Bool(node, "virtual_node_label");
  graph.messaging_latency = Bool(node, "messaging_latency");
  graph.connection_info = Bool(node, "connection_info");
  graph.broker_nodes = Bool(node, "broker_nodes");
  graph.peer_attributes = Texts(node, "peer_attributes");
  graph.database_attributes = Texts(node, "database_attributes");
  return graph;
}

Metrics BindMetrics(const Node& node) {
  Metrics metrics;
  using Dialect = Metrics::Dialect;
  metrics.dialect = Enum<Dialect>(
      node, "dialect", {{"tempo", Dialect::kTempo}, {"otel", Dialect::kOtel}, {"both", Dialect::kBoth}});
  metrics.max_series = Number<uint64_t>(node, "max_series");
  metrics.expire_after = Duration(node, "expire_after");
  metrics.exemplars = Bool(node, "exemplars");
  metrics.exemplar_labels.trace_id = Text(Get(node, "exemplar_labels"), "trace_id");
  metrics.exemplar_labels.span_id = Text(Get(node, "exemplar_labels"), "span_id");
  metrics.calls = Bool(node, "calls");
  metrics.latency = Bool(node, "latency");
  metrics.size = Bool(node, "size");
  metrics.self_time = Bool(node, "self_time");
  using Histograms = Metrics::Histograms;
  metrics.histograms = Enum<Histograms>(
      node, "histograms",
      {{"classic", Histograms::kClassic}, {"native", Histograms::kNative}, {"both", Histograms::kBoth}});
  metrics.status_message = Bool(node, "status_message");
  for (const Node& dimension : Get(node, "dimensions").items) {
    metrics.dimensions.push_back(
        {Text(dimension, "name"), Text(dimension, "default"), Text(dimension, "label")});
  }
  for (const Node::Member& member : Get(node, "mappings").members) {
    metrics.mappings.push_back({member.key, Texts(member.value, "from"), Text(member.value, "join")});
  }
  for (const std::string& label : Texts(node, "exclude_labels")) {
    if (label == "service") metrics.exclude_labels.service = true;
    if (label == "span_name") metrics.exclude_labels.span_name = true;
    if (label == "span_kind") metrics.exclude_labels.span_kind = true;
    if (label == "status_code") metrics.exclude_labels.status_code = true;
  }
  metrics.ratio_attribute = Text(Get(node, "sampling"), "ratio_attribute");
  for (const Node& match : Get(node, "include").items) metrics.include.push_back(BindSpanMatch(match));
  for (const Node& match : Get(node, "exclude").items) metrics.exclude.push_back(BindSpanMatch(match));
  metrics.target_info = Bool(node, "target_info");
  metrics.events = Bool(node, "events");
  metrics.exceptions = Bool(node, "exceptions");
  metrics.exception_message = Bool(node, "exception_message");
  for (const std::string& error : Texts(node, "errors")) {
    if (error == "http_5xx") metrics.errors.http_5xx = true;
    if (error == "http_4xx") metrics.errors.http_4xx = true;
    if (error == "grpc") metrics.errors.grpc = true;
  }
  using Names = Metrics::Names;
  metrics.names = Enum<Names>(
      node, "names", {{"raw", Names::kRaw}, {"dry_run", Names::kDryRun}, {"templates", Names::kTemplates}});
  metrics.graph = BindGraph(Get(node, "graph"));
  const Node& ingested = Get(node, "ingested");
  metrics.ingested.enabled = Bool(ingested, "enabled");
  metrics.ingested.stale_after = Duration(ingested, "stale_after");
  metrics.ingested.max_series = Number<uint64_t>(ingested, "max_series");
  const Node& exemplars = Get(ingested, "exemplars");
  metrics.ingested.exemplars.enabled = Bool(exemplars, "enabled");
  metrics.ingested.exemplars.match = Texts(exemplars, "match");
  metrics.ingested.exemplars.metrics = Text(exemplars, "metrics");
  return metrics;
}

FilterMatch BindMatch(const Node& node) {
  using Field = FilterMatch::Field;
  FilterMatch match;
  match.field = Enum<Field>(node, "field",
                            {{"attribute", Field::kAttribute},
                             {"resource", Field::kResource},
                             {"span_name", Field::kSpanName},
                             {"log_body", Field::kLogBody},
                             {"metric_name", Field::kMetricName}});
  if (const Node* key = node.Find("key")) match.key = key->text;
  match.pattern = Text(node, "pattern");
  return match;
}

FilterRule BindFilter(const Node& node) {
  using Action = FilterRule::Action;
  FilterRule rule;
  rule.name = Text(node, "name");
  rule.action = Enum<Action>(
      node, "action", {{"drop", Action::kDrop}, {"redact", Action::kRedact}, {"remove", Action::kRemove}});
  rule.signals = BindSignals(Get(node, "signals"));
  for (const Node& match : Get(node, "match").items) rule.match.push_back(BindMatch(match));
  if (const Node* key = node.Find("key")) rule.key = key->text;
  if (const Node* pattern = node.Find("pattern")) rule.pattern = pattern->text;
  if (const Node* replacement = node.Find("replacement")) rule.replacement = replacement->text;
  return rule;
}

// What the network sinks have in common.
void BindRemote(const Node& node, Sink* sink) {
  sink->endpoint = Text(node, "endpoint");
  for (const Node::Member& header : Get(node, "headers").members) {
    sink->headers.emplace_back(header.key, Secret(header.value.text));
  }
  const Node& auth = Get(node, "auth");
  if (const Node& basic = Get(auth, "basic"); basic.kind == Node::Kind::kMap) {
    sink->auth.basic = {.username = Text(basic, "username"), .password = Secret(Text(basic, "password"))};
  }
  sink->auth.bearer = Secret(Text(auth, "bearer"));
  const Node& tls = Get(node, "tls");
  sink->tls = {.ca_file = Text(tls, "ca_file"),
               .cert_file = Text(tls, "cert_file"),
               .key_file = Text(tls, "key_file"),
               .server_name = Text(tls, "server_name"),
               .insecure_skip_verify = Bool(tls, "insecure_skip_verify")};
  sink->timeout = Duration(node, "timeout");
  const Node& retry = Get(node, "retry");
  sink->retry = {.initial = Duration(retry, "initial"), .max = Duration(retry, "max")};
  sink->tenant = Text(node, "tenant");
  sink->dead_letter = Text(node, "dead_letter");
}

RemoteWrite BindRemoteWrite(const Node& node) {
  using Protocol = RemoteWrite::Protocol;
  RemoteWrite out;
  out.protocol = Enum<Protocol>(node, "protocol",
                                {{"auto", Protocol::kAuto}, {"1.0", Protocol::kV1}, {"2.0", Protocol::kV2}});
  out.interval = Duration(node, "interval");
  out.origins = {.derived = false, .ingested = false, .self = false};
  for (const Node& origin : Get(node, "origins").items) {
    if (origin.text == "derived") out.origins.derived = true;
    if (origin.text == "ingested") out.origins.ingested = true;
    if (origin.text == "self") out.origins.self = true;
  }
  out.native_histograms = Bool(node, "native_histograms");
  out.exemplars = Bool(node, "exemplars");
  for (const Node::Member& label : Get(node, "external_labels").members) {
    out.external_labels.emplace_back(label.key, label.value.text);
  }
  return out;
}

Sink BindSink(const Node::Member& member, uint64_t budget) {
  const Node& node = member.value;
  Sink sink;
  sink.name = member.key;
  sink.type = Enum<Sink::Type>(node, "type",
                               {{"otlp_grpc", Sink::Type::kOtlpGrpc},
                                {"otlp_http", Sink::Type::kOtlpHttp},
                                {"loki", Sink::Type::kLoki},
                                {"prometheus_remote_write", Sink::Type::kPrometheusRemoteWrite},
                                {"file", Sink::Type::kFile},
                                {"stdout", Sink::Type::kStdout}});
  sink.signals = BindSignals(Get(node, "signals"));
  if (node.Find("endpoint") != nullptr) BindRemote(node, &sink);
  if (node.Find("compression") != nullptr) {
    using Compression = Sink::Compression;
    sink.compression = Enum<Compression>(
        node, "compression",
        {{"none", Compression::kNone}, {"gzip", Compression::kGzip}, {"zstd", Compression::kZstd}});
  }
  if (const Node* labels = node.Find("labels")) {
    for (const Node::Member& label : labels->members) sink.labels.emplace_back(label.key, label.value.text);
  }
  if (const Node* derived = node.Find("derived_metrics")) {
    sink.derived_metrics.enabled = Bool(*derived, "enabled");
    sink.derived_metrics.interval = Duration(*derived, "interval");
    for (const Node::Member& attribute : Get(*derived, "resource_attributes").members)
      sink.derived_metrics.resource_attributes.emplace_back(attribute.key, attribute.value.text);
  }
  if (sink.type == Sink::Type::kPrometheusRemoteWrite) sink.remote_write = BindRemoteWrite(node);
  if (const Node* path = node.Find("path")) sink.path = path->text;
  const Node& queue = Get(node, "queue");
  using OnFull = Queue::OnFull;
  sink.queue = {.max_bytes = Share(queue, "max_bytes", budget),
                .on_full = Enum<OnFull>(queue, "on_full",
                                        {{"drop_oldest", OnFull::kDropOldest}, {"refuse", OnFull::kRefuse}})};
  return sink;
}

Log BindLog(const Node& node) {
  using Level = Log::Level;
  return {.level = Enum<Level>(node, "level",
                               {{"debug", Level::kDebug},
                                {"info", Level::kInfo},
                                {"warn", Level::kWarn},
                                {"error", Level::kError}}),
          .format = Enum<Log::Format>(node, "format",
                                      {{"text", Log::Format::kText}, {"json", Log::Format::kJson}})};
}

}  // namespace

Config Bind(const Node& root) {
  Config config;
  config.memory.budget = Size(Get(root, "memory"), "budget");
  config.threads.cores = Number<uint32_t>(Get(root, "threads"), "cores");
  config.journal.mode =
      Enum<Journal::Mode>(Get(root, "journal"), "mode", {{"memory", Journal::Mode::kMemory}});
  config.receivers = BindReceivers(Get(root, "receivers"));
  BindListener(Get(root, "web"), &config.web);
  config.correlate = BindCorrelate(Get(root, "correlate"));
  config.metrics = BindMetrics(Get(root, "metrics"));
  config.store.max_bytes = Share(Get(root, "store"), "max_bytes", config.memory.budget);
  for (const Node& filter : Get(root, "filters").items) config.filters.push_back(BindFilter(filter));
  for (const Node::Member& sink : Get(root, "sinks").members) {
    config.sinks.push_back(BindSink(sink, config.memory.budget));
  }
  const Node& batch = Get(root, "batch");
  config.batch = {.max_items = Number<uint32_t>(batch, "max_items"),
                  .max_bytes = Size(batch, "max_bytes"),
                  .max_age = Duration(batch, "max_age")};
  config.log = BindLog(Get(root, "log"));
  config.shutdown.drain_deadline = Duration(Get(root, "shutdown"), "drain_deadline");
  return config;
}

}  // namespace braid::config
