#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "correlate/model/signal.h"

namespace braid::bench {

// The yardstick of kernel_bench: the least code we know of that does the same work as the product's decode
// and fold:
//
//   walk a request's framing and every attribute, check lengths and UTF-8, extract what counts;
//   recognise a span that was seen before; join logs and spans in either order of arrival; chain a trace's
//   records; count rate, errors and a latency histogram for each (service, span name, kind, status).
//
// It keeps no payload, decides nothing, knows no tenants, shards, late resources, limits or accounts, and
// believes its hashes: that is what the product is allowed to cost more for. Records go into a ring and
// expire by its wrapping; the span index and the trace table hold ordinals, whose entries die with their
// records. The index has eight entries to a cache line and two lines for a key, three quarters full: 10.7
// bytes a record.
class ReferenceKernel {
 public:
  // `capacity`: records, a power of two.
  explicit ReferenceKernel(size_t capacity);

  // False if the request is malformed.
  bool Take(Signal signal, std::string_view request);

  uint64_t spans() const { return spans_; }
  uint64_t logs() const { return logs_; }
  uint64_t duplicates() const { return duplicates_; }
  uint64_t joined() const { return joined_; }
  uint64_t errors() const;
  size_t series() const { return cells_.size(); }

 private:
  struct Extracted {
    uint64_t trace_hi;
    uint64_t trace_lo;
    uint64_t span;
    uint64_t parent;
    uint64_t duration_ns;
    uint64_t series;
    uint64_t span_hash;
    uint64_t trace_hash;
    bool log;
    bool error;
  };
  struct Record {
    uint64_t span;
    uint64_t trace_lo;
    uint64_t parent;
    uint64_t duration_ns;
    uint32_t previous;  // in its trace
    uint32_t series;    // kLog for a log
  };
  struct TraceSlot {
    uint64_t hi;
    uint64_t lo;
    uint32_t head;
    uint32_t count;
  };
  struct alignas(64) Cell {
    uint64_t count = 0;
    uint64_t errors = 0;
    uint64_t sum_ns = 0;
    uint64_t buckets[16] = {};
  };
  struct SeriesSlot {
    uint64_t hash = 0;
    uint32_t id = 0;  // 1 + index into cells_
  };

  struct alignas(64) Line {
    uint32_t tags[8] = {};
    uint32_t ordinals[8] = {};
  };

  static constexpr uint32_t kLog = ~uint32_t{0};
  static constexpr size_t kAhead = 16;

  struct Walker;

  void Prefetch(Extracted& item);
  void Apply(const Extracted& item);
  bool Alive(uint32_t ordinal) const { return ordinal != 0 && head_ - ordinal < ring_.size(); }
  uint32_t CellOf(uint64_t series);
  size_t FirstLine(uint64_t hash) const { return static_cast<size_t>((hash >> 32) * index_.size() >> 32); }
  size_t SecondLine(uint64_t hash) const { return FirstLine(hash * 0x9e3779b97f4a7c15u); }
  uint32_t* Find(const Extracted& item);
  void Put(uint64_t hash, uint32_t ordinal);

  std::vector<Record> ring_;
  uint32_t head_ = 1;
  std::vector<Line> index_;
  std::vector<TraceSlot> traces_;
  std::vector<SeriesSlot> series_;
  std::vector<Cell> cells_;
  std::vector<Extracted> batch_;
  uint64_t spans_ = 0;
  uint64_t logs_ = 0;
  uint64_t duplicates_ = 0;
  uint64_t joined_ = 0;
};

}  // namespace braid::bench
