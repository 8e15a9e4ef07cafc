#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/prefetch.h"
#include "correlate/derive/latency_buckets.h"
#include "correlate/derive/series_delta.h"

namespace braid::correlate {

// The RED series one shard has seen, and what it counted in them since the last hand-over.
//
// A span counts in the series of its (service, name, kind, status), known by the keyed 64-bit hash that
// decode computed (Item::series). Equal hashes are taken for equal series: 100,000 series collide with
// probability 3e-10, and the key keeps others from aiming.
//
//   Id id = table.Find(item.series);
//   if (id == SeriesTable::kNone) id = table.Intern(item.series, service, name, kind, status);
//   table.Count(id, duration_ns, bytes);
//
// IDs are dense, given in order of first sight and never taken back; the table is never walked in
// hash order, so everything it hands over is a function of the records alone.
//
// Beyond `max_series` or `max_label_bytes` a new combination counts in the overflow series of its (service,
// kind, status), beyond `max_overflow_series` of those in that of its (kind, status): totals stay exact, only
// the name is lost.
//
// Thread rule: belongs to one shard's thread. Time rule: SetNow(), from Tick records.
// Steady state (no new series) allocates nothing.
class SeriesTable {
 public:
  using Id = uint32_t;
  static constexpr Id kNone = ~Id{0};

  struct Options {
    // Traces, not series, are spread over shards, so each shard may come to hold every series of the
    // process. About 300 bytes each, labels apart.
    size_t max_series = 100'000;
    size_t max_overflow_series = 2'000;

    // All label values together.
    size_t max_label_bytes = 16u << 20;

    // A longer service or span name is cut, at a character boundary; series that become equal thereby are
    // one.
    size_t max_value_bytes = 1024;

    // Exemplars kept between two hand-overs, 80 bytes each.
    size_t max_exemplars = 32'768;
  };

  struct Dims {
    std::string_view service;  // empty: the resource has no service.name
    std::string_view name;     // empty if `overflow`
    uint8_t kind = 0;          // opentelemetry-proto SpanKind, 0-5
    uint8_t status = 0;        // Status.StatusCode, 0-2
    bool overflow = false;
  };

  // 15 s in ticks: an older exemplar gives way to any.
  static constexpr uint64_t kExemplarTicks = 300;

  // `seed`: the Epoch's, for hashing service names.
  SeriesTable(const Options& options, uint64_t seed);
  ~SeriesTable();
  SeriesTable(const SeriesTable&) = delete;
  SeriesTable& operator=(const SeriesTable&) = delete;

  BRAID_PREFETCHER void Prefetch(uint64_t hash) const { __builtin_prefetch(&slots_[hash & mask_]); }

  // The series with this hash; kNone if it is not known, or counts in an overflow series.
  Id Find(uint64_t hash) const {
    for (uint64_t at = hash & mask_;; at = (at + 1) & mask_) {
      const HashSlot& slot = slots_[at];
      if (slot.id == kNone || slot.hash == hash) return slot.id;
    }
  }

  // Adds the series, or finds the overflow series for it. Copies the strings.
  // REQUIRES: Find(hash) == kNone. A kind above 5 or status above 2 is taken as 0.
  Id Intern(uint64_t hash, std::string_view service, std::string_view name, uint8_t kind, uint8_t status);

  // Views live as long as the table.
  Dims dims(Id id) const {
    const Row& row = rows_[id];
    return {{row.labels, row.service_size},
            {row.labels + row.service_size, row.name_size},
            row.kind,
            row.status,
            row.overflow};
  }

  // REQUIRES: id is not kNone.
  BRAID_PREFETCHER void PrefetchCell(Id id) const { __builtin_prefetch(&delta_->cells[id], 1); }

  // One span, at most a few ns beyond the cache miss. `duration_ns` 0 where the span ends before it starts.
  void Count(Id id, uint64_t duration_ns, uint64_t bytes) {
    SeriesDelta::Cell& cell = delta_->cells[id];
    if (cell.touched == 0) [[unlikely]]
      Touch(id);
    const size_t bucket = latency::Bucket(duration_ns);
    cell.bytes += bytes;
    const bool wrapped = __builtin_add_overflow(cell.sum_ns, duration_ns, &cell.sum_ns);
    if (++cell.buckets[bucket] == 0 || wrapped) [[unlikely]]
      Carry(id, bucket, wrapped);
  }

  // The fold's clock, for the age of exemplars.
  void SetNow(uint64_t tick) { now_ = tick; }

  BRAID_PREFETCHER void PrefetchBars(Id id) const { __builtin_prefetch(&bars_[id]); }

  // Whether Offer() of a span this slow would change anything, so that the rest of the exemplar need not be
  // fetched in vain. Of equals the first stays.
  bool Wants(Id id, uint64_t duration_ns, bool failing) const;

  // A span of a kept trace, at its verdict. Replaces the bucket's exemplar if it tells more or that one is
  // older than kExemplarTicks.
  void Offer(Id id, const Exemplar& exemplar);

  // Hands over everything counted, born and offered since the last time, and goes on with an empty delta.
  // Every shard calls this at the same ticks (say each 20th), even if it has nothing, so that the owner can
  // merge in order. Null if the owner still holds all deltas: nothing is lost, the next one carries both.
  SeriesDeltaPtr TakeDelta(uint64_t tick);

  size_t series() const { return rows_.size(); }

  // Physical bytes of the tables, labels and the delta being filled.
  size_t bytes() const;

 private:
  struct HashSlot {
    uint64_t hash = 0;
    Id id = kNone;
  };
  struct Row {
    const char* labels = nullptr;
    uint32_t service_size = 0;
    uint32_t name_size = 0;
    uint8_t kind = 0;
    uint8_t status = 0;
    bool overflow = false;
  };

  // What an exemplar must reach to be wanted, by bucket: 0 none so far, else Bar(). The best of up to
  // kExemplarTicks: what is below it would lose against the one that the owner holds. One line to look at,
  // while exemplars lie scattered.
  struct alignas(64) Bars {
    std::array<uint32_t, latency::kBuckets> bar{};
    uint32_t since = 0;  // tick of the first; after kExemplarTicks all start anew
  };
  static_assert(sizeof(Bars) == 64);

  // Rises with what MoreTelling() looks at first; equal for near equals.
  static uint32_t Bar(uint64_t duration_ns, bool failing) {
    const auto width = static_cast<uint32_t>(std::bit_width(duration_ns));
    const uint32_t shift = width > 24 ? width - 24 : 0;
    return uint32_t{failing} << 31 |
           ((width << 24 | (static_cast<uint32_t>(duration_ns >> shift) & 0xffffff)) + 1);
  }

  // Three deltas: one filling, one being merged, one on its way.
  static constexpr size_t kDeltas = 3;

  void Touch(Id id);
  void Carry(Id id, size_t bucket, bool sum);
  Id Overflow(std::string_view service, uint8_t kind, uint8_t status);
  uint64_t OverflowHash(std::string_view service, uint8_t kind, uint8_t status) const;
  std::string_view Cut(std::string_view value, bool* cut) const;
  Id Add(uint64_t hash, const Dims& dims);
  void Place(uint64_t hash, Id id);
  void Grow();
  const char* CopyLabels(std::string_view service, std::string_view name);

  const Options options_;
  const uint64_t seed_;
  uint64_t now_ = 0;
  uint64_t last_tick_ = 0;
  std::vector<Bars> bars_;  // by series ID

  // Open addressing, at most two thirds full; overflow series under the hash of their own dimensions.
  std::vector<HashSlot> slots_;
  uint64_t mask_ = 0;
  std::vector<Row> rows_;
  size_t named_ = 0;      // rows that are no overflow series
  size_t overflows_ = 0;  // overflow series with a service

  std::vector<std::unique_ptr<char[]>> blocks_;
  size_t block_size_ = 0;
  size_t block_used_ = 0;
  size_t label_bytes_ = 0;
  size_t block_bytes_ = 0;

  std::shared_ptr<SeriesDeltaPool> pool_;
  SeriesDeltaPtr delta_;
};

}  // namespace braid::correlate
