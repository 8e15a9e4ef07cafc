#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/mutex.h"
#include "correlate/derive/exemplar_match.h"
#include "correlate/derive/series_delta.h"
#include "correlate/derive/shown_trace.h"

namespace braid::correlate {

// Spans of kept traces that may be exemplars of histograms which their services sent without any: for each
// set of values that differs (MatchKey), the latest span of every DurationCell.
//
// Shards choose them (SeriesTable::Screen) and hand them over in their deltas. What came more than
// `max_age_ticks` ago leaves.
//
// Thread rule: any thread; short critical sections. Time rule: Advance(), from Tick records; spans replace
// each other by their own end times, so the order in which shards hand over does not matter while there is
// room.
// Bound: max_bytes, and of one service max_sets_per_service; what finds no room is refused and counted.
class ExemplarCandidates {
 public:
  struct Options {
    size_t max_bytes = 16u << 20;

    // A point is compared with all sets of its service.
    size_t max_sets_per_service = 512;

    // 5 minutes: senders export once a minute, and a rare request is the one worth an exemplar.
    uint64_t max_age_ticks = 6000;
  };

  struct Stats {
    uint64_t candidates = 0;  // kept now
    uint64_t bytes = 0;
    uint64_t taken = 0;    // from shards, those that replaced one included
    uint64_t refused = 0;  // no room in a shard or here
    uint64_t expired = 0;
    uint64_t lent = 0;  // see Lent
  };

  explicit ExemplarCandidates(const Options& options) : options_(options) {}

  void Take(const SeriesDelta& delta);
  void Advance(uint64_t tick);

  // Appends those that match and ended in [from_ns, to_ns], in no particular order.
  void Find(const MatchKey& point, uint64_t from_ns, uint64_t to_ns, std::vector<Exemplar>* out) const;

  // The low halves of the traces of what was written as exemplars, on a page or for a push.
  void Lent(const std::vector<uint64_t>& traces);

  // Appends the traces that were lent within the last max_age_ticks, so that they can be kept: at most
  // kMaxLentTraces of them.
  void LentTraces(std::vector<ShownTrace>* out) const;

  static constexpr size_t kMaxLentTraces = 65'536;

  Stats stats() const;

 private:
  struct Entry {
    Exemplar exemplar;
    uint32_t tick = 0;
    uint8_t cell = 0;
  };
  struct Set {
    MatchKey key;
    std::vector<Entry> entries;
  };

  // A set beside its entries: its place in the indexes, and what allocators add.
  static constexpr size_t kSetBytes = sizeof(Set) + 96;

  void Add(const SeriesDelta::Candidate& candidate, uint64_t tick) BRAID_REQUIRES(mutex_);
  void Sweep(uint64_t tick) BRAID_REQUIRES(mutex_);

  const Options options_;
  mutable Mutex mutex_;
  std::vector<Set> sets_ BRAID_GUARDED_BY(mutex_);
  std::vector<uint32_t> free_ BRAID_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint64_t, uint32_t> by_digest_ BRAID_GUARDED_BY(mutex_);  // looked up, never iterated
  absl::flat_hash_map<uint64_t, std::vector<uint32_t>> by_service_ BRAID_GUARDED_BY(mutex_);  // the same
  uint64_t swept_ BRAID_GUARDED_BY(mutex_) = 0;
  uint64_t now_ BRAID_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<uint64_t, uint64_t> lent_traces_
      BRAID_GUARDED_BY(mutex_);  // to the tick they last were
  Stats stats_ BRAID_GUARDED_BY(mutex_);
};

}  // namespace braid::correlate
