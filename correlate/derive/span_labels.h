#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "correlate/derive/derive_options.h"
#include "correlate/derive/series_delta.h"
#include "correlate/model/batch.h"

namespace braid::correlate {

// One OTLP span read for its labels: everything that DeriveOptions may ask of it. Slow beside the fold's
// usual path (it looks at every attribute), and needed once for each distinct Item::series only.
//
// Thread rule: one owner. Reused for its capacity; views are valid until the next Read() and as long as the
// Batch.
class SpanLabels {
 public:
  // A peer without spans of its own, as attributes name it.
  struct Peer {
    std::string name;  // empty: none
    Connection connection = Connection::kDirect;
  };

  explicit SpanLabels(const DeriveOptions& options);

  // `kind` and `status` are within their enums.
  void Read(const Batch& batch, uint16_t group, std::string_view span, uint8_t kind, uint8_t status);

  std::string_view service() const { return service_; }
  std::string_view name() const { return name_; }
  uint8_t kind() const { return kind_; }

  // With the error policy applied.
  uint8_t status() const { return status_; }
  ErrorSource error_source() const { return error_source_; }

  // Whether include and exclude let it count.
  bool counted() const { return counted_; }

  // Of the tracestate, else of DeriveOptions::ratio_attribute.
  uint64_t threshold() const { return threshold_; }
  bool threshold_malformed() const { return threshold_malformed_; }

  // The route or operation that instrumentation knows besides the name; empty if there is none.
  std::string_view route() const { return route_; }

  // The values of the labels besides the intrinsic ones, in the order of ExtraLabelNames(): a LabelBlock.
  const std::string& extras() const { return extras_; }

  // The values of DeriveOptions::Graph::dimensions: a LabelBlock.
  const std::string& graph_dimensions() const { return graph_dimensions_; }

  const Peer& peer() const { return peer_; }

  // The labels of traces_target_info as name and value by turns, empty if it has none to show.
  const std::string& target() const { return target_; }

 private:
  struct Attribute {
    std::string_view key;
    std::string_view any_value;
  };

  std::string_view Find(const std::vector<Attribute>& in, std::string_view key, std::string* storage) const;
  bool Append(const std::vector<Attribute>& first, const std::vector<Attribute>& second,
              std::string_view key);
  bool Matches(const SpanMatch& match) const;
  void ReadRatio();
  void ReadErrors();
  void ReadPeer();
  void ReadRoute();
  void ReadExtras(bool otel);
  void ReadTarget();

  const DeriveOptions& options_;

  // A value whose label another takes is not read: it must not tell apart what looks alike.
  std::vector<std::string> tempo_names_;  // ExtraLabelNames()
  std::vector<std::string> otel_names_;
  std::vector<bool> graph_shown_;  // by graph dimension
  std::vector<Attribute> resource_;
  std::vector<Attribute> span_;
  std::string_view service_;
  std::string_view name_;
  std::string_view status_message_;
  uint8_t kind_ = 0;
  uint8_t status_ = 0;
  ErrorSource error_source_ = ErrorSource::kNone;
  bool counted_ = true;
  uint64_t threshold_ = 0;
  bool threshold_malformed_ = false;
  std::string route_;
  std::string extras_;
  std::string graph_dimensions_;
  Peer peer_;
  std::string target_;
  std::string job_;
  std::string instance_;
  mutable std::string scratch_;
};

// The label names of SpanLabels::extras(), once for each dialect that is on, Tempo's first. A name is empty
// where a later one is the same (the later one counts).
std::vector<std::string> ExtraLabelNames(const DeriveOptions& options, bool otel);

// The label names of SpanLabels::graph_dimensions() on an edge: the client's, then the server's.
std::vector<std::string> GraphLabelNames(const DeriveOptions& options);

// Letters, digits and underscores; Tempo's rule for what an attribute key becomes as a label.
std::string SanitizedLabel(std::string_view key);

}  // namespace braid::correlate
