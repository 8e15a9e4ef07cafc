#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/slab.h"
#include "base/status.h"
#include "ingest/decode/metric_families.h"
#include "ingest/decode/remote_write_parse.h"

namespace braid::ingest {

// What became of one remote write request.
struct RemoteWriteTranslation {
  // An ExportMetricsServiceRequest that Decoder::Decode() accepts whole.
  Slab otlp;

  // As the sender counts: float samples, native histograms, exemplars.
  uint64_t samples = 0, histograms = 0, exemplars = 0;

  // Of those, what will never be accepted, by reason; and the series that they belong to.
  std::array<uint64_t, kSeriesFaults> rejected_samples{};
  std::array<uint64_t, kSeriesFaults> rejected_histograms{};
  std::array<uint64_t, kSeriesFaults> rejected_series{};

  // Exemplars that have no place: of rejected series, of summaries, malformed, or without a sample of their
  // series in this request (OTLP has them only on data points).
  uint64_t exemplars_dropped = 0;

  // Where samples of histograms and summaries went: into a point of their own kind, or, where a part is
  // missing in this request, into one point each.
  uint64_t assembled_samples = 0;
  uint64_t loose_samples = 0;

  uint64_t metadata = 0;  // METADATA entries taken

  // What is wrong with the first bad series, a line each; empty without any.
  std::string errors;

  uint64_t rejected_samples_total() const { return Sum(rejected_samples); }
  uint64_t rejected_histograms_total() const { return Sum(rejected_histograms); }
  bool partial() const { return !errors.empty(); }

 private:
  static uint64_t Sum(const std::array<uint64_t, kSeriesFaults>& counts) {
    uint64_t sum = 0;
    for (const uint64_t n : counts) sum += n;
    return sum;
  }
};

// Turns Prometheus remote write requests into OTLP (DESIGN D1: one translation, at the edge), by
// OpenTelemetry's rules (specification, compatibility/prometheus_and_openmetrics.md):
//
//   job, instance            service.name (service.namespace before one '/'), service.instance.id
//   otel_scope_name/_version the scope
//   other labels             attributes
//   counter                  monotonic cumulative Sum under the series' name, _total included
//   gauge; unknown           Gauge; but an unknown family is a counter if its name ends in _total
//   info, stateset           cumulative Sum, not monotonic
//   native histogram         ExponentialHistogram; custom buckets (schema -53) Histogram
//   _bucket, _sum, _count    one Histogram under the base name, if this request has all of them, at the same
//   times
//                            and with integer counts; else a monotonic Sum each, under their own names
//   quantiles, _sum, _count  one Summary, likewise; else a Gauge and two Sums
//   _created                 start time of what it belongs to, if that is in this request; else a Gauge
//   start_timestamp (2.0)    start time
//   stale NaN                a point flagged as without recorded value
//   exemplar                 on its series' last point here; trace_id and span_id as such, if well-formed
//   target_info              a Gauge like others: folded into resources, a resource would be another one in
//   each
//                            request that lacks it
//
// Every Metric carries metadata: prometheus.type, as the OpenTelemetry Collector writes it, and
// prometheus.name, its name in Prometheus, so that MetricIngest shows it unchanged. Metrics are cut at
// kMaxMetricBytes, since a Metric is one item.
//
// The result depends on the request and on what `families` has learnt, not on the order of maps or on time
// otherwise: a repeated request gives the same bytes, which is how its duplicate is recognised.
//
// Thread rule: one per core thread; `families` is shared. Lifetime: pool and families outlive it.
// Bound: tables in proportion to what the request holds, counted before they are leased, at most max_tables;
// OTLP at most max_output.
class RemoteWriteTranslator {
 public:
  struct Options {
    size_t max_tables = 128u << 20;
    size_t max_output = 64u << 20;  // at most kMaxOutput
    uint64_t seed = 0;              // keys the hashing of bucket bounds
  };

  static constexpr size_t kMaxOutput = (1u << 28) - 1024;
  static constexpr size_t kMaxMetricBytes = 256u << 10;

  // Lines in RemoteWriteTranslation::errors.
  static constexpr size_t kMaxErrors = 10;

  RemoteWriteTranslator(MetricFamilies& families, SlabPool& pool, const Options& options);
  ~RemoteWriteTranslator();
  RemoteWriteTranslator(const RemoteWriteTranslator&) = delete;
  RemoteWriteTranslator& operator=(const RemoteWriteTranslator&) = delete;

  // `body` is not compressed any more. `now_seconds`: of any steady clock.
  //   kInvalidArgument    not the protobuf message of `version`
  //   kResourceExhausted  beyond one of the bounds: the sender has to send less at once
  //   kUnavailable        no memory just now
  Result<RemoteWriteTranslation> Translate(RemoteWriteVersion version, std::string_view body, uint32_t tenant,
                                           uint64_t now_seconds);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace braid::ingest
