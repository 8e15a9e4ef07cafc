#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/prefetch.h"
#include "correlate/window/record.h"
#include "correlate/window/table_memory.h"

namespace braid::correlate {

// How long each span of a trace was busy itself: its duration less the union of its direct children's
// intervals, as far as they lie within it.
//
// Thread rule: one owner; kept for its capacity.
class SelfTime {
 public:
  struct Span {
    uint64_t span = 0;
    uint64_t parent = 0;  // 0: none
    uint64_t start_ns = 0;
    uint64_t end_ns = 0;
    uint32_t series = 0;
    uint64_t self_ns = 0;  // the result
  };

  void Clear() { spans_.clear(); }
  void Add(const Span& span) { spans_.push_back(span); }

  // Fills in self_ns of all spans. False, and nothing is filled in, unless the trace is complete: exactly one
  // span without a parent, the parent of every other among the spans, no ID twice.
  bool Compute();

  const std::vector<Span>& spans() const { return spans_; }

 private:
  std::vector<Span> spans_;
  std::vector<uint64_t> children_;  // (index of the parent, index of the child), sorted by parent and start
};

// When the newest spans began and ended, by ordinal: what the Record is too small for. About an eighth of the
// window, which is longer than payload is held; what has been overwritten is read from the payload.
//
// Thread rule: one shard's thread.
class SpanTimes {
 public:
  struct Times {
    uint64_t start_ns = 0;
    uint64_t end_ns = 0;
  };

  // `capacity`: a power of two.
  explicit SpanTimes(size_t capacity) : ring_(capacity), mask_(static_cast<uint32_t>(capacity - 1)) {}

  void Put(Ordinal ordinal, uint64_t start_ns, uint64_t end_ns) {
    ring_[ordinal & mask_] = {start_ns, end_ns};
  }
  bool Has(Ordinal ordinal, Ordinal head) const { return head - ordinal <= mask_; }
  const Times& operator[](Ordinal ordinal) const { return ring_[ordinal & mask_]; }
  BRAID_PREFETCHER void Prefetch(Ordinal ordinal) const { __builtin_prefetch(&ring_[ordinal & mask_]); }
  size_t bytes() const { return ring_.bytes(); }

 private:
  TableMemory<Times> ring_;
  const uint32_t mask_;
};

}  // namespace braid::correlate
