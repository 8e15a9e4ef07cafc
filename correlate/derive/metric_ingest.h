#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "correlate/derive/derive_options.h"
#include "correlate/derive/shown_trace.h"
#include "correlate/model/batch.h"
#include "correlate/model/exposition.h"

namespace braid::correlate {

class ExemplarCandidates;

// Why a data point that arrived is forwarded, but not re-exposed.
enum class NotExposed : uint8_t {
  kScale,       // an exponential histogram coarser than Prometheus has schemas for (scale below -4)
  kType,        // its family is known as another type
  kUnit,        // its family is known with another unit
  kName,        // one of its samples would carry the name of another family's
  kReserved,    // its name belongs to Braid's own or derived metrics
  kBadName,     // nothing of its name is left as a metric name
  kBadPoint,    // no value or one a counter cannot have, no temporality, buckets that contradict bounds or
                // count
  kOutOfOrder,  // not newer than what is known of its series, or a delta from before its total began
  kCap,         // max_series, max_bytes or max_labels
};
constexpr int kNotExposedReasons = 9;
std::string_view NotExposedName(NotExposed reason);

// The metrics that senders push over OTLP, kept as their latest state for re-exposition.
//
// Names and labels follow OpenTelemetry's rules for Prometheus: see PrometheusMetricName; service.name and
// service.namespace make `job`, service.instance.id makes `instance`, the scope's name and version become
// otel_scope_name and otel_scope_version, and the resource's other attributes one target_info series.
// Monotonic sums are counters, others gauges. Exponential histograms are native ones: of at most 160 buckets
// a side and schema 8, for which they are scaled down, with the latest exemplar of up to ten buckets. A
// family may have both kinds of histogram; a series that changes its kind starts afresh.
//
// A metric that says what it was in Prometheus (metadata prometheus.name, from remote write) is shown under
// just that name, its labels as they were. Its type may be unknown at first: when a surer word comes, be it
// the type or a whole histogram where there were parts of one, that takes the name over, and what was shown
// on a guess leaves.
//
// Delta sums and histograms are added up from their first point on, and their start time stays that of the
// first. So it is too when a point begins later than the one before it ended: SDKs leave out intervals
// without a measurement, which looks the same as a restart, and a total that starts again would lose what
// came before wherever the next point is larger. Only buckets that cannot be added, of other bounds, start
// afresh, with a start time of their own. A cumulative point is taken as it is, start time included.
//
// A family has the type, unit and help of whoever sent it first. A point that contradicts type or unit is not
// exposed, one with another help is; both are counted. A series leaves when nothing refreshes it for
// `stale_ticks`, or when its sender says that it ended; a family leaves with its last series.
//
// Thread rule: any thread; one short critical section per Apply, and per family in Write.
// Time rule: Advance(), from Tick records. Nothing is decided by the points' own times but their order.
// Bound: max_series and max_bytes (labels, points and exemplars, as estimated); counted under
// NotExposed::kCap.
class MetricIngest {
 public:
  struct Options {
    size_t max_series = 100'000;
    size_t max_bytes = 64u << 20;
    size_t max_labels = 64;

    // A longer label value is cut, at a character boundary.
    size_t max_value_bytes = 2048;

    bool target_info = true;

    // 5 minutes: Prometheus' own lookback.
    uint64_t stale_ticks = 6000;

    // Families that others put on the page.
    std::vector<std::string> reserved_prefixes = {"braid_", "traces_spanmetrics_", "traces_span_metrics_",
                                                  "traces_service_graph_"};
    std::vector<std::string> reserved_names = {};

    // Keys the hashing of labels: the Epoch's.
    uint64_t seed = 0;

    // Both or neither; they outlive this. Where a sender's histogram of durations has no exemplar in a
    // bucket, a matching span of the same service is written instead: the latest that ended since the series
    // began, and within max_loan_age_ns of its last point, before or after.
    const DeriveOptions::Lend* lend = nullptr;
    ExemplarCandidates* candidates = nullptr;
    uint64_t max_loan_age_ns = 300'000'000'000;
  };

  struct Stats {
    uint64_t families = 0;
    uint64_t series = 0;
    uint64_t bytes = 0;
    uint64_t points = 0;  // taken into a series
    uint64_t expired_series = 0;
    uint64_t help_conflicts = 0;
    uint64_t exemplars_dropped = 0;  // on a gauge or a summary, which cannot show one, or beyond a native ten
    std::array<uint64_t, kNotExposedReasons> not_exposed{};
  };

  explicit MetricIngest(const Options& options);
  ~MetricIngest();
  MetricIngest(const MetricIngest&) = delete;
  MetricIngest& operator=(const MetricIngest&) = delete;

  // Takes in the metrics at `items` of a batch of metrics. Keeps nothing of the batch.
  void Apply(const BatchRef& batch, std::span<const Item> items);

  // The fold's clock; series that went stale leave.
  void Advance(uint64_t tick);

  // The ingested families. The caller checks Selection::ingested.
  void Write(ExpositionWriter& writer) const;

  // Appends the trace of every exemplar that Write() would show; a trace may come several times.
  void ShownTraces(std::vector<ShownTrace>* out) const;

  Stats stats() const;

 private:
  struct State;

  const Options options_;
  mutable Mutex mutex_;
  std::unique_ptr<State> state_ BRAID_GUARDED_BY(mutex_);
};

}  // namespace braid::correlate
