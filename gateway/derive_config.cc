#include "gateway/derive_config.h"

#include <re2/re2.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "correlate/model/inbox.h"

namespace braid::gateway {
namespace {

using correlate::DeriveOptions;

DeriveOptions::Dialect DialectOf(config::Metrics::Dialect dialect) {
  switch (dialect) {
    case config::Metrics::Dialect::kTempo: return DeriveOptions::Dialect::kTempo;
    case config::Metrics::Dialect::kOtel: return DeriveOptions::Dialect::kOtel;
    case config::Metrics::Dialect::kBoth: return DeriveOptions::Dialect::kBoth;
  }
  return DeriveOptions::Dialect::kTempo;
}

DeriveOptions::Histograms HistogramsOf(config::Metrics::Histograms histograms) {
  switch (histograms) {
    case config::Metrics::Histograms::kClassic: return DeriveOptions::Histograms::kClassic;
    case config::Metrics::Histograms::kNative: return DeriveOptions::Histograms::kNative;
    case config::Metrics::Histograms::kBoth: return DeriveOptions::Histograms::kBoth;
  }
  return DeriveOptions::Histograms::kClassic;
}

DeriveOptions::Names NamesOf(config::Metrics::Names names) {
  switch (names) {
    case config::Metrics::Names::kRaw: return DeriveOptions::Names::kRaw;
    case config::Metrics::Names::kDryRun: return DeriveOptions::Names::kDryRun;
    case config::Metrics::Names::kTemplates: return DeriveOptions::Names::kTemplates;
  }
  return DeriveOptions::Names::kRaw;
}

Status Compile(const std::string& text, correlate::Pattern* out) {
  if (text.empty()) return {};
  re2::RE2::Options options(re2::RE2::Quiet);
  auto pattern = std::make_shared<re2::RE2>(text, options);
  if (!pattern->ok()) return InvalidArgument("pattern " + text + ": " + pattern->error());
  *out = std::move(pattern);
  return {};
}

Status MatchesOf(const std::vector<config::SpanMatch>& from, std::vector<correlate::SpanMatch>* to) {
  for (const config::SpanMatch& match : from) {
    correlate::SpanMatch compiled;
    compiled.kind = match.kind;
    compiled.status = match.status;
    if (Status status = Compile(match.service, &compiled.service); !status.ok()) return status;
    if (Status status = Compile(match.span_name, &compiled.span_name); !status.ok()) return status;
    correlate::Pattern value;
    if (Status status = Compile(match.matches, &value); !status.ok()) return status;
    if (!match.attribute.empty()) compiled.attributes.emplace_back(match.attribute, value);
    if (!match.resource.empty()) compiled.resource.emplace_back(match.resource, value);
    to->push_back(std::move(compiled));
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<const DeriveOptions>> DeriveOptionsOf(const config::Config& config) {
  const config::Metrics& metrics = config.metrics;
  auto derive = std::make_shared<DeriveOptions>();
  derive->dialect = DialectOf(metrics.dialect);
  derive->histograms = HistogramsOf(metrics.histograms);
  derive->calls = metrics.calls;
  derive->latency = metrics.latency;
  derive->size = metrics.size;
  derive->self_time =
      metrics.self_time && config.correlate.spans_wait == config::Correlate::SpansWait::kVerdict;
  derive->status_message = metrics.status_message;
  for (const auto& dimension : metrics.dimensions)
    derive->dimensions.push_back({dimension.name, dimension.fallback, dimension.label});
  for (const auto& mapping : metrics.mappings)
    derive->mappings.push_back({mapping.label, mapping.from, mapping.join});
  derive->without = {.service = metrics.exclude_labels.service,
                     .span_name = metrics.exclude_labels.span_name,
                     .span_kind = metrics.exclude_labels.span_kind,
                     .status_code = metrics.exclude_labels.status_code};
  derive->ratio_attribute = metrics.ratio_attribute;
  if (Status status = MatchesOf(metrics.include, &derive->include); !status.ok())
    return status.Annotate("metrics.include");
  if (Status status = MatchesOf(metrics.exclude, &derive->exclude); !status.ok())
    return status.Annotate("metrics.exclude");
  derive->target_info = metrics.target_info;
  derive->events = metrics.events;
  derive->exceptions = metrics.exceptions;
  derive->exception_message = metrics.exception_message;
  derive->errors_http_5xx = metrics.errors.http_5xx;
  derive->errors_http_4xx = metrics.errors.http_4xx;
  derive->errors_grpc = metrics.errors.grpc;
  derive->names = NamesOf(metrics.names);
  derive->exemplar_labels = {metrics.exemplar_labels.trace_id, metrics.exemplar_labels.span_id};
  derive->graph.enabled = metrics.graph.enabled;
  derive->graph.wait_ticks =
      static_cast<uint32_t>(metrics.graph.wait.count() / static_cast<int64_t>(kTickMs));
  derive->graph.dimensions = metrics.graph.dimensions;
  derive->graph.virtual_node_label = metrics.graph.virtual_node_label;
  derive->graph.messaging_latency = metrics.graph.messaging_latency;
  derive->graph.connection_info = metrics.graph.connection_info;
  derive->graph.broker_nodes = metrics.graph.broker_nodes;
  derive->graph.peer_attributes = metrics.graph.peer_attributes;
  derive->graph.database_attributes = metrics.graph.database_attributes;
  const auto& exemplars = metrics.ingested.exemplars;
  derive->lend.enabled = exemplars.enabled && metrics.ingested.enabled;
  derive->lend.match = exemplars.match;
  if (Status status = Compile(exemplars.metrics, &derive->lend.metrics); !status.ok())
    return status.Annotate("metrics.ingested.exemplars.metrics");
  return std::shared_ptr<const DeriveOptions>(std::move(derive));
}

}  // namespace braid::gateway
