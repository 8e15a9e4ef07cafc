#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "correlate/derive/series_delta.h"
#include "correlate/model/exposition.h"

namespace braid::correlate {

// Which origins a page shows: `/metrics?only=derived,ingested,self`.
struct Selection {
  bool derived = true;
  bool ingested = true;
  bool self = true;
};

// The RED series of the process: merges the shards' deltas, applies the cap, and writes pages.
//
// Series of different shards are one if their dimensions are equal. Everything kept is an integer, so sums
// are exact in any order; new series and exemplars are decided in (tick, shard) order, so a replay decides
// them alike. For that a delta waits until every shard has handed over for its tick, or some shard is more
// than kMaxPending hand-overs ahead of the slowest.
//
// Thread rule: any thread. Merging holds the lock for about 50 ns per touched series; Write holds it only to
// copy the counts (about 20 ms for 100,000 series), never while it formats.
// Lifetime: keeps no reference into any shard.
class SeriesOwner {
 public:
  struct Options {
    size_t shards = 1;

    // New combinations beyond either count in the overflow series of their (service, kind, status), and
    // beyond `max_overflow_series` of those in that of their (kind, status).
    size_t max_series = 100'000;
    size_t max_overflow_series = 2'000;
    size_t max_label_bytes = 16u << 20;

    // Exemplars kept, over all series and buckets. A bucket that finds no room goes without.
    size_t max_exemplars = 262'144;

    // Whether traces_spanmetrics_size_total is written.
    bool size_total = false;
  };

  struct Stats {
    uint64_t series = 0;  // overflow series included
    uint64_t overflow_series = 0;
    uint64_t overflow_spans = 0;  // spans counted in an overflow series
    uint64_t exemplars = 0;
    uint64_t exemplars_refused = 0;
    uint64_t labels_truncated = 0;
    uint64_t deltas_merged = 0;
    uint64_t deltas_pending = 0;
    uint64_t bytes = 0;
  };

  static constexpr size_t kMaxPending = 1;

  explicit SeriesOwner(const Options& options);
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

  Stats stats() const;

  // Of all counts by dimensions, whatever the order of merging. For comparing replays; it sorts.
  uint64_t Digest() const;

 private:
  struct State;

  const Options options_;
  mutable Mutex mutex_;
  std::unique_ptr<State> state_ BRAID_GUARDED_BY(mutex_);
};

}  // namespace braid::correlate
