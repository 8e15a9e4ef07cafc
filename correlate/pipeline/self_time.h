#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

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

}  // namespace braid::correlate
