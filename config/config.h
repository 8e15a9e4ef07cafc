#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/secret.h"

// The configuration as plain values: what the rest of the program reads. Names and defaults are those of
// config/braid.schema.json, which says what every key is for; a test compares the two, so that
// Config{} is exactly what an empty file gives.
//
// Thread rule: values; loaded once, then only read.
// Units: std::chrono for times, bytes for sizes.
namespace braid::config {

using std::chrono::milliseconds;

constexpr uint64_t operator""_KiB(unsigned long long n) { return n << 10; }
constexpr uint64_t operator""_MiB(unsigned long long n) { return n << 20; }

// A set of signals.
struct Signals {
  bool traces = false;
  bool logs = false;
  bool metrics = false;

  bool any() const { return traces || logs || metrics; }
  friend bool operator==(const Signals&, const Signals&) = default;
};

struct Memory {
  uint64_t budget = 512_MiB;
  friend bool operator==(const Memory&, const Memory&) = default;
};

struct Threads {
  uint32_t cores = 0;  // core threads; 0: one for each CPU the process may use
  friend bool operator==(const Threads&, const Threads&) = default;
};

struct Journal {
  enum class Mode : uint8_t { kMemory };

  Mode mode = Mode::kMemory;
  friend bool operator==(const Journal&, const Journal&) = default;
};

// The host may be a name, an IPv4 or an IPv6 address (in brackets in the file, without them here).
struct Address {
  std::string host;
  uint16_t port = 0;

  std::string ToString() const;  // "127.0.0.1:4317", "[::1]:4317"
  friend bool operator==(const Address&, const Address&) = default;
};

struct ServerTls {
  std::string cert_file;       // PEM chain
  std::string key_file;        // PEM
  std::string client_ca_file;  // PEM; empty: clients need no certificate
  friend bool operator==(const ServerTls&, const ServerTls&) = default;
};

struct Cors {
  std::vector<std::string> allowed_origins;  // exact origins, or the one entry "*"; empty: no CORS answers
  friend bool operator==(const Cors&, const Cors&) = default;
};

// One listening socket. The loader has checked that one reachable from elsewhere either has TLS with client
// certificates or says `insecure: true`.
struct Listener {
  bool enabled = true;
  Address listen;
  std::optional<ServerTls> tls;
  bool insecure = false;
  friend bool operator==(const Listener&, const Listener&) = default;
};

struct OtlpReceiver {
  struct Grpc : Listener {
    Grpc() { listen = {"127.0.0.1", 4317}; }
    uint64_t max_request_bytes = 64_MiB;  // before and after decompression
    friend bool operator==(const Grpc&, const Grpc&) = default;
  };
  struct Http : Listener {
    Http() { listen = {"127.0.0.1", 4318}; }
    uint64_t max_request_bytes = 64_MiB;
    Cors cors;
    friend bool operator==(const Http&, const Http&) = default;
  };

  Grpc grpc;
  Http http;
  friend bool operator==(const OtlpReceiver&, const OtlpReceiver&) = default;
};

struct PrometheusReceiver {
  struct RemoteWrite : Listener {
    RemoteWrite() {
      enabled = false;
      listen = {"127.0.0.1", 9465};
    }
    uint64_t max_request_bytes = 64_MiB;  // before and after decompression, and as OTLP
    friend bool operator==(const RemoteWrite&, const RemoteWrite&) = default;
  };

  RemoteWrite remote_write;
  friend bool operator==(const PrometheusReceiver&, const PrometheusReceiver&) = default;
};

struct Receivers {
  OtlpReceiver otlp;
  PrometheusReceiver prometheus;
  friend bool operator==(const Receivers&, const Receivers&) = default;
};

struct Web : Listener {
  Web() { listen = {"127.0.0.1", 9464}; }
  friend bool operator==(const Web&, const Web&) = default;
};

struct Correlate {
  enum class LogsWaitFor : uint8_t { kSpan, kVerdict };
  enum class SpansWait : uint8_t { kVerdict, kNone };

  milliseconds window{120'000};
  milliseconds log_hold{10'000};
  milliseconds settle{2'000};
  milliseconds decision_max{30'000};
  LogsWaitFor logs_wait_for = LogsWaitFor::kSpan;  // correlate.logs.wait_for
  SpansWait spans_wait = SpansWait::kVerdict;      // correlate.spans.wait
  friend bool operator==(const Correlate&, const Correlate&) = default;
};

// Which spans an entry of metrics.include or exclude means. Empty and -1: not asked for.
struct SpanMatch {
  int kind = -1;    // opentelemetry-proto SpanKind
  int status = -1;  // Status.StatusCode
  std::string service;
  std::string span_name;
  std::string attribute;
  std::string resource;
  std::string matches;
  friend bool operator==(const SpanMatch&, const SpanMatch&) = default;
};

struct Metrics {
  enum class Dialect : uint8_t { kTempo, kOtel, kBoth };
  enum class Histograms : uint8_t { kClassic, kNative, kBoth };
  enum class Names : uint8_t { kRaw, kDryRun, kTemplates };

  struct Dimension {
    std::string name;      // of the attribute
    std::string fallback;  // metrics.dimensions[].default
    std::string label;     // empty: made of the name
    friend bool operator==(const Dimension&, const Dimension&) = default;
  };

  // Labels that are left out.
  struct ExcludeLabels {
    bool service = false;
    bool span_name = false;
    bool span_kind = false;
    bool status_code = false;
    friend bool operator==(const ExcludeLabels&, const ExcludeLabels&) = default;
  };

  struct Mapping {
    std::string label;
    std::vector<std::string> from;
    std::string join = "/";
    friend bool operator==(const Mapping&, const Mapping&) = default;
  };

  struct Errors {
    bool http_5xx = false;
    bool http_4xx = false;
    bool grpc = false;
    friend bool operator==(const Errors&, const Errors&) = default;
  };

  struct Graph {
    bool enabled = true;
    milliseconds wait{10'000};
    std::vector<std::string> dimensions;
    bool virtual_node_label = false;
    bool messaging_latency = false;
    bool connection_info = false;
    bool broker_nodes = false;
    std::vector<std::string> peer_attributes = {"peer.service", "service.peer.name", "db.name",
                                                "db.system",    "db.system.name",    "server.address"};
    std::vector<std::string> database_attributes = {"db.namespace", "db.name", "db.system", "db.system.name"};
    friend bool operator==(const Graph&, const Graph&) = default;
  };

  struct ExemplarLabels {
    std::string trace_id = "trace_id";
    std::string span_id = "span_id";  // empty: none
    friend bool operator==(const ExemplarLabels&, const ExemplarLabels&) = default;
  };

  struct Exemplars {
    bool enabled = false;
    std::vector<std::string> match = {"http.request.method", "http.route", "http.response.status_code",
                                      "rpc.service", "rpc.method"};
    std::string metrics = "[._]duration(_(seconds|milliseconds))?$";
    friend bool operator==(const Exemplars&, const Exemplars&) = default;
  };

  struct Ingested {
    bool enabled = true;
    milliseconds stale_after{300'000};
    uint64_t max_series = 100'000;
    Exemplars exemplars;
    friend bool operator==(const Ingested&, const Ingested&) = default;
  };

  Dialect dialect = Dialect::kTempo;
  uint64_t max_series = 20'000;  // distinct label sets
  milliseconds expire_after{900'000};
  bool exemplars = true;
  ExemplarLabels exemplar_labels;
  bool calls = true;
  bool latency = true;
  bool size = true;
  bool self_time = true;
  Histograms histograms = Histograms::kClassic;
  bool status_message = false;
  std::vector<Dimension> dimensions;
  std::vector<Mapping> mappings;  // in order of the file
  ExcludeLabels exclude_labels;
  std::string ratio_attribute;  // metrics.sampling.ratio_attribute; empty: none
  std::vector<SpanMatch> include;
  std::vector<SpanMatch> exclude;
  bool target_info = false;
  bool events = false;
  bool exceptions = false;
  bool exception_message = false;
  Errors errors;  // besides the status
  Names names = Names::kRaw;
  Graph graph;
  Ingested ingested;
  friend bool operator==(const Metrics&, const Metrics&) = default;
};

struct Store {
  uint64_t max_bytes = 128_MiB;  // in the file also as a share of memory.budget, which is the default: 25%
  friend bool operator==(const Store&, const Store&) = default;
};

// One predicate of a rule: `pattern` (RE2, unanchored) finds something in what `field` names. (Not "on": YAML
// 1.1 readers take that key for a boolean.)
struct FilterMatch {
  enum class Field : uint8_t { kAttribute, kResource, kSpanName, kLogBody, kMetricName };

  Field field = Field::kAttribute;
  std::string key;  // the attribute's key, for kAttribute and kResource only
  std::string pattern;
  friend bool operator==(const FilterMatch&, const FilterMatch&) = default;
};

// Rules are tried in order on every item before anything else sees it. A rule applies when all of `match`
// does; no match at all means every item of `signals`.
struct FilterRule {
  enum class Action : uint8_t {
    kDrop,    // the item is gone, counted under the rule's name; later rules do not see it
    kRedact,  // in values of the attributes named by `key`, what `pattern` finds becomes `replacement`
    kRemove,  // the attributes named by `key` are taken out
  };

  std::string name;
  Signals signals{true, true, true};
  std::vector<FilterMatch> match;
  Action action = Action::kDrop;
  std::string key;                  // RE2, fully anchored, for attribute keys; kRedact and kRemove
  std::string pattern;              // RE2 within the value; kRedact; empty: the whole value
  std::string replacement = "***";  // kRedact; \1 to \9 are groups of `pattern`
  friend bool operator==(const FilterRule&, const FilterRule&) = default;
};

struct ClientTls {
  std::string ca_file;    // PEM; empty: the system's
  std::string cert_file;  // PEM; with key_file: our certificate for mutual TLS
  std::string key_file;
  std::string server_name;  // expected in the certificate and sent as SNI; empty: the endpoint's host
  bool insecure_skip_verify = false;
  friend bool operator==(const ClientTls&, const ClientTls&) = default;
};

struct BasicAuth {
  std::string username;
  Secret password;
  friend bool operator==(const BasicAuth&, const BasicAuth&) = default;
};

// At most one of the two.
struct Auth {
  std::optional<BasicAuth> basic;
  Secret bearer;  // empty: none
  friend bool operator==(const Auth&, const Auth&) = default;
};

struct Retry {
  milliseconds initial{250};
  milliseconds max{30'000};
  friend bool operator==(const Retry&, const Retry&) = default;
};

struct Queue {
  enum class OnFull : uint8_t { kDropOldest, kRefuse };

  uint64_t max_bytes = 64_MiB;  // in the file also as a share of memory.budget, which is the default: 12.5%
  OnFull on_full = OnFull::kDropOldest;
  friend bool operator==(const Queue&, const Queue&) = default;
};

// kOtlpGrpc, kOtlpHttp: metrics derived from spans, sent there as OTLP.
struct DerivedMetrics {
  bool enabled = false;
  milliseconds interval{60'000};
  std::vector<std::pair<std::string, std::string>> resource_attributes;  // in order of the file
  friend bool operator==(const DerivedMetrics&, const DerivedMetrics&) = default;
};

// kPrometheusRemoteWrite.
struct RemoteWrite {
  enum class Protocol : uint8_t { kAuto, kV1, kV2 };  // auto, 1.0, 2.0

  // What /metrics has by the same names.
  struct Origins {
    bool derived = true;
    bool ingested = true;
    bool self = false;
    friend bool operator==(const Origins&, const Origins&) = default;
  };

  Protocol protocol = Protocol::kAuto;
  milliseconds interval{15'000};
  Origins origins;
  bool native_histograms = true;
  bool exemplars = true;
  std::vector<std::pair<std::string, std::string>> external_labels;  // in order of the file
  friend bool operator==(const RemoteWrite&, const RemoteWrite&) = default;
};

// One place that data goes to. Which members mean something depends on `type`; the loader refuses keys
// that the type would ignore.
struct Sink {
  enum class Type : uint8_t { kOtlpGrpc, kOtlpHttp, kLoki, kPrometheusRemoteWrite, kFile, kStdout };
  enum class Compression : uint8_t { kNone, kGzip, kZstd };

  std::string name;
  Type type = Type::kOtlpGrpc;
  Signals signals{true, true, true};

  // All but kFile and kStdout: an absolute http:// or https:// URL; https means TLS. kOtlpHttp appends
  // /v1/traces, /v1/logs, /v1/metrics, kLoki appends /loki/api/v1/push, kPrometheusRemoteWrite nothing.
  // kOtlpGrpc: no path.
  std::string endpoint;

  std::vector<std::pair<std::string, Secret>> headers;  // sent with each request (gRPC: as metadata)
  Auth auth;
  ClientTls tls;
  Compression compression = Compression::kNone;  // kOtlpGrpc: none or gzip; others but kOtlpHttp: none
  milliseconds timeout{10'000};                  // of one request
  Retry retry;
  std::string tenant;  // X-Scope-OrgID; empty: none

  // kLoki: stream label to resource attribute, in order of the file.
  std::vector<std::pair<std::string, std::string>> labels;

  DerivedMetrics derived_metrics;
  RemoteWrite remote_write;

  std::string path;  // kFile: JSON lines are appended to it
  Queue queue;
  std::string dead_letter;  // file for what the receiver refuses for good; empty: dropped and counted
  friend bool operator==(const Sink&, const Sink&) = default;
};

struct Batch {
  uint32_t max_items = 2048;
  uint64_t max_bytes = 1_MiB;
  milliseconds max_age{200};
  friend bool operator==(const Batch&, const Batch&) = default;
};

struct Log {
  enum class Level : uint8_t { kDebug, kInfo, kWarn, kError };
  enum class Format : uint8_t { kText, kJson };

  Level level = Level::kInfo;
  Format format = Format::kText;
  friend bool operator==(const Log&, const Log&) = default;
};

struct Shutdown {
  milliseconds drain_deadline{25'000};
  friend bool operator==(const Shutdown&, const Shutdown&) = default;
};

struct Config {
  Memory memory;
  Threads threads;
  Journal journal;
  Receivers receivers;
  Web web;
  Correlate correlate;
  Metrics metrics;
  Store store;
  std::vector<FilterRule> filters;  // in order of the file
  std::vector<Sink> sinks;          // in order of the file; names are unique
  Batch batch;
  Log log;
  Shutdown shutdown;
  friend bool operator==(const Config&, const Config&) = default;
};

}  // namespace braid::config
