#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "correlate/model/watch.h"

namespace re2 {
class RE2;
}

namespace braid::correlate {

// A regular expression that somewhere matches; null: not asked for.
using Pattern = std::shared_ptr<const re2::RE2>;

// Which spans an entry of `include` or `exclude` means: those of which everything that is given holds.
struct SpanMatch {
  int kind = -1;    // opentelemetry-proto SpanKind, -1: any
  int status = -1;  // Status.StatusCode
  Pattern service;
  Pattern span_name;

  // By attribute key; a missing attribute matches nothing.
  std::vector<std::pair<std::string, Pattern>> attributes;
  std::vector<std::pair<std::string, Pattern>> resource;
};

// What is derived from spans, and how it is named. One instance for the process; every shard and the Series
// owner read the same.
struct DeriveOptions {
  // Names, labels, units and buckets: those of Tempo's metrics-generator, of the Collector's connectors, or
  // both sets side by side (the service graph then once, in Tempo's shape).
  enum class Dialect : uint8_t { kTempo, kOtel, kBoth };
  enum class Histograms : uint8_t { kClassic, kNative, kBoth };
  enum class Names : uint8_t { kRaw, kDryRun, kTemplates };

  // An attribute that becomes a label.
  struct Dimension {
    std::string key;
    std::string fallback = {};  // the label's value where neither span nor resource has the attribute
    std::string label = {};     // empty: SanitizedLabel(key)
  };

  struct Mapping {
    std::string label;
    std::vector<std::string> from;
    std::string join;
  };

  // Labels that the metrics of spans go without. Rows of shards are still told apart by them, because stamps
  // and the service graph need them; the owner counts together what is equal without.
  struct Without {
    bool service = false;
    bool span_name = false;
    bool span_kind = false;
    bool status_code = false;
  };

  struct Graph {
    bool enabled = true;
    uint32_t wait_ticks = 200;  // for the other side, before a peer named by attributes is taken for it
    std::vector<std::string> dimensions;
    bool virtual_node_label = false;
    bool messaging_latency = false;
    bool connection_info = false;
    bool broker_nodes = false;  // messages go through a node for their broker
    std::vector<std::string> peer_attributes = {"peer.service", "service.peer.name", "db.name",
                                                "db.system",    "db.system.name",    "server.address"};
    std::vector<std::string> database_attributes = {"db.namespace", "db.name", "db.system", "db.system.name"};
  };

  // Spans as exemplars of histograms that their services send without any: see ExemplarCandidates.
  struct Lend {
    bool enabled = false;

    // Attributes that have to agree; at most MatchKey::kMaxValues.
    std::vector<std::string> match = {"http.request.method", "http.route", "http.response.status_code",
                                      "rpc.service", "rpc.method"};
    Pattern metrics;  // names of histograms that get them; null: of all
  };

  // Labels of exemplars; no name: without it.
  struct ExemplarLabels {
    std::string trace_id = "trace_id";
    std::string span_id = "span_id";
  };

  Dialect dialect = Dialect::kTempo;
  Histograms histograms = Histograms::kClassic;
  bool calls = true;
  bool latency = true;
  bool size = true;
  bool status_message = false;
  std::vector<Dimension> dimensions;
  std::vector<Mapping> mappings;
  Without without;

  // Key of the attribute that holds the share of spans that was kept, where the tracestate does not say.
  std::string ratio_attribute;

  std::vector<SpanMatch> include;  // none: all
  std::vector<SpanMatch> exclude;
  bool target_info = false;
  bool events = false;
  bool exceptions = false;
  bool exception_message = false;  // beside the type
  bool self_time = true;

  // What makes a span an error besides its status.
  bool errors_http_5xx = false;
  bool errors_http_4xx = false;
  bool errors_grpc = false;

  Names names = Names::kRaw;
  ExemplarLabels exemplar_labels;
  Graph graph;
  Lend lend;

  bool tempo() const { return dialect != Dialect::kOtel; }
  bool otel() const { return dialect != Dialect::kTempo; }
  bool classic() const { return histograms != Histograms::kNative; }
  bool native() const { return histograms != Histograms::kClassic; }
  bool more_errors() const { return errors_http_5xx || errors_http_4xx || errors_grpc; }

  // What decode has to mix into Item::series for this.
  WatchList Watch() const;
};

}  // namespace braid::correlate
