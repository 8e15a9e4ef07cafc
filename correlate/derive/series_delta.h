#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/mutex.h"
#include "correlate/derive/latency_buckets.h"

namespace braid::correlate {

// One measured span of a kept trace, offered to its latency bucket.
struct Exemplar {
  uint64_t duration_ns = 0;
  uint64_t time_ns = 0;  // when the span ended, Unix time
  TraceId trace;
  uint64_t span = 0;
  bool failing = false;  // its trace carries an error, whatever this span's own status
};

// Whether `a` says more than `b` of the same bucket: a failing trace before a healthy one, then the slower
// span. Equal ones are told apart by their IDs, so that the order of arrival does not matter.
bool MoreTelling(const Exemplar& a, const Exemplar& b);

class SeriesDeltaPool;

// What one shard counted between two hand-overs: a cell per touched series, the names of series seen
// for the first time, and the best exemplar per touched (series, bucket). Integers only, so that merging
// is exact in any order.
//
// Thread rule: one owner at a time: the shard that fills it, then the Series owner that merges it.
struct SeriesDelta {
  // The hot line: everything that counting one span writes.
  struct alignas(64) Cell {
    uint64_t sum_ns = 0;
    uint64_t bytes = 0;
    std::array<uint16_t, latency::kBuckets> buckets{};
    uint16_t touched = 0;
    uint32_t exemplars = 0;  // 1 + index of the first Slot of this series in `exemplars`
  };
  static_assert(sizeof(Cell) == 64);

  // A counter of a Cell that wrapped: 2^16 spans in a bucket, or 2^64 ns if `bucket` is kSum.
  struct Carry {
    static constexpr uint8_t kSum = 255;
    uint32_t series = 0;
    uint8_t bucket = 0;
  };

  struct Slot {
    Exemplar exemplar;
    uint64_t tick = 0;
    uint32_t series = 0;
    uint32_t next = 0;  // as Cell::exemplars
    uint8_t bucket = 0;
  };

  // A series seen for the first time; its strings lie in `labels`, service first.
  struct Birth {
    uint32_t series = 0;
    uint32_t at = 0;
    uint32_t service_size = 0;
    uint32_t name_size = 0;
    uint8_t kind = 0;
    uint8_t status = 0;
    bool overflow = false;
  };

  uint64_t tick = 0;        // of the hand-over
  uint64_t since = 0;       // tick of the one before
  std::vector<Cell> cells;  // by the shard's series ID
  std::vector<uint32_t> touched;
  std::vector<Carry> carries;
  std::vector<Slot> exemplars;
  std::vector<Birth> births;
  std::string labels;

  // Events of the window, to be added up.
  uint64_t exemplars_refused = 0;  // no slot free under SeriesTable::Options::max_exemplars
  uint64_t labels_truncated = 0;   // series whose service or name was cut to max_value_bytes

  // Empties it, keeping capacity. Only touched cells are visited.
  void Clear();

  size_t ByteSize() const;
};

// Gives a SeriesDelta back to the table that fills it, on whatever thread.
struct SeriesDeltaRecycler {
  std::shared_ptr<SeriesDeltaPool> pool;
  void operator()(SeriesDelta* delta) const;
};
using SeriesDeltaPtr = std::unique_ptr<SeriesDelta, SeriesDeltaRecycler>;

// The few deltas of one table, going round between shard and owner.
// Thread rule: any thread; taken once per hand-over. Lifetime: shared by the table and every delta under way.
class SeriesDeltaPool {
 public:
  explicit SeriesDeltaPool(size_t max_deltas) : max_deltas_(max_deltas) {}
  ~SeriesDeltaPool();
  SeriesDeltaPool(const SeriesDeltaPool&) = delete;
  SeriesDeltaPool& operator=(const SeriesDeltaPool&) = delete;

  // An empty delta; null if all of them are under way.
  SeriesDelta* Take();
  void GiveBack(SeriesDelta* delta);

 private:
  const size_t max_deltas_;
  Mutex mutex_;
  size_t made_ BRAID_GUARDED_BY(mutex_) = 0;
  std::vector<SeriesDelta*> idle_ BRAID_GUARDED_BY(mutex_);
};

}  // namespace braid::correlate
