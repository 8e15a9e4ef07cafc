#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "correlate/derive/derive_options.h"
#include "correlate/derive/series_delta.h"
#include "correlate/derive/shown_trace.h"
#include "correlate/model/exposition.h"

namespace braid::correlate {

class SeriesState;

// Which origins a page shows: `/metrics?only=derived,ingested,self`.
struct Selection {
  bool derived = true;
  bool ingested = true;
  bool self = true;
};

// The derived series of the process: merges the shards' deltas, applies the cap, lets series end, and writes
// pages.
//
// Series of different shards are one if their dimensions are equal. Everything kept is a whole number, for
// each sampling threshold apart, so sums are exact in any order; new series and exemplars are decided in
// (tick, shard) order, so a replay decides them alike. For that a delta waits until every shard has handed
// over for its tick, or some shard is more than kMaxPending hand-overs ahead of the slowest. A series ends
// when no shard has a row for it any more.
//
// Thread rule: any thread; stats() waits for nobody. Merging holds the lock for about 50 ns per touched
// series; Write holds it for the whole page, so that a page is exact at one instant. What shards hand over
// meanwhile waits with them. Lifetime: keeps no reference into any shard.
class SeriesOwner {
 public:
  struct Options {
    size_t shards = 1;

    // New label sets beyond either count in the overflow series of their (service, kind, status), and beyond
    // `max_overflow_series` of those in that of their (kind, status). Shared fairly between services: see
    // Admission.
    size_t max_series = 100'000;
    size_t max_overflow_series = 2'000;
    size_t max_label_bytes = 64u << 20;

    // Exemplars kept, over all series and buckets. A bucket that finds no room goes without.
    size_t max_exemplars = 262'144;

    // Restored series of which no shard has heard since end after this.
    uint64_t expire_ticks = 18'000;

    // Span names that were counted under another: listed ones.
    size_t max_merged_names = 2'000;

    // Keys the hashing of labels: the Epoch's.
    uint64_t seed = 0;
  };

  struct Stats {
    uint64_t series = 0;      // overflow series included
    uint64_t max_series = 0;  // Options::max_series
    uint64_t overflow_series = 0;
    uint64_t overflow_spans = 0;  // spans counted in an overflow series
    uint64_t expired_series = 0;
    uint64_t exemplars = 0;
    uint64_t exemplars_refused = 0;
    uint64_t labels_truncated = 0;
    uint64_t thresholds_malformed = 0;
    uint64_t thresholds_coarsened = 0;
    uint64_t names_merged = 0;
    uint64_t template_nodes_refused = 0;
    uint64_t template_nodes_replaced = 0;
    uint64_t deltas_merged = 0;
    uint64_t deltas_pending = 0;
    uint64_t bytes = 0;
  };

  // Who makes the series.
  struct Cardinality {
    struct Share {
      std::string name;
      uint64_t count = 0;
    };
    uint64_t series = 0;
    uint64_t max_series = 0;
    std::vector<Share> services;  // by series, most first
    std::vector<Share> labels;    // by distinct values, most first
  };

  // Span names that count under a template.
  struct MergedName {
    std::string service;
    std::string name;
    uint64_t count = 0;  // signatures
    std::vector<std::string> examples;
  };

  static constexpr size_t kMaxPending = 1;

  // `derive` outlives the owner.
  SeriesOwner(const Options& options, const DeriveOptions& derive);
  ~SeriesOwner();
  SeriesOwner(const SeriesOwner&) = delete;
  SeriesOwner& operator=(const SeriesOwner&) = delete;

  // The wall time of one tick, from which start times follow. Call before the first Merge; later calls are
  // ignored.
  void Anchor(uint64_t tick, uint64_t unix_ns);

  // REQUIRES: shard < Options::shards; the ticks of one shard's deltas rise.
  void Merge(SeriesDeltaPtr delta, uint32_t shard);

  // Merges what still waits for other shards: at shutdown, and before a digest.
  void Flush();

  // The derived families. The caller checks Selection::derived.
  void Write(ExpositionWriter& writer) const;

  // Appends the trace of every exemplar that Write() would show; a trace may come several times. `merged` is
  // set to the tick of each shard's last delta that was merged.
  void ShownTraces(std::vector<ShownTrace>* out, std::vector<uint64_t>* merged) const;

  // As of the last merge: it does not wait for a page that is being written.
  Stats stats() const;

  // The `top` worst of each. Looks at every series.
  Cardinality WhoMakesSeries(size_t top) const;
  std::vector<MergedName> MergedNames() const;

  // All series with their counts and start times, as one value that Restore() takes: in this process or, with
  // the same DeriveOptions, in a later one. Waiting deltas are not part of it: call Flush() first.
  std::string Serialize() const;

  // Adds what Serialize() gave to what is there: counts add up, the earlier start time stays. `tick` is now.
  // kInvalidArgument, and nothing is changed, for bytes that Serialize() did not write or for other buckets.
  Status Restore(std::string_view bytes, uint64_t tick);

  // Of all counts by dimensions, whatever the order of merging. For comparing replays; it sorts.
  uint64_t Digest() const;

 private:
  void Publish() BRAID_REQUIRES(mutex_);

  const Options options_;
  const DeriveOptions& derive_;
  mutable Mutex mutex_;
  std::unique_ptr<SeriesState> state_ BRAID_GUARDED_BY(mutex_);
  mutable Mutex stats_mutex_;  // taken inside of mutex_
  Stats stats_ BRAID_GUARDED_BY(stats_mutex_);
};

}  // namespace braid::correlate
