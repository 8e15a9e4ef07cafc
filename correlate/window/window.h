#pragma once

#include <cstdint>
#include <deque>

#include "base/prefetch.h"
#include "correlate/model/epoch.h"
#include "correlate/model/inbox.h"
#include "correlate/window/record.h"
#include "correlate/window/span_index.h"
#include "correlate/window/table_memory.h"
#include "correlate/window/trace_table.h"

namespace braid::correlate {

// One shard's memory of what it has seen: a ring of Records in arrival order, an index from span to
// Record, and a slot per trace. It bounds itself: by count (the ring wraps) and by age (Advance).
//
// Time comes in as Tick numbers, from records of the sequence, never from a clock.
// Thread rule: one shard's thread.
class Window {
 public:
  struct Options {
    size_t capacity = 1 << 20;    // Records; a power of two. 62 bytes each, index and traces included
    size_t tombstones = 1 << 17;  // 24 bytes each, their IDs included
    uint32_t max_age_ticks = 120 * 1000 / kTickMs;
  };

  Window(const Epoch& epoch, const Options& options);

  // Whether `o` names a Record that is still there.
  bool Alive(Ordinal o) const { return o != 0 && o - floor_ < head_ - floor_; }

  Record& operator[](Ordinal o) { return ring_[o & mask_]; }
  const Record& operator[](Ordinal o) const { return ring_[o & mask_]; }

  // A Record may lie across two cache lines.
  BRAID_PREFETCHER void Prefetch(Ordinal o) const {
    const char* const record = reinterpret_cast<const char*>(&ring_[o & mask_]);
    __builtin_prefetch(record);
    __builtin_prefetch(record + sizeof(Record) - 1);
  }

  // Ordinals [floor, head) are alive.
  Ordinal floor() const { return floor_; }
  Ordinal head() const { return head_; }
  size_t count() const { return head_ - floor_; }
  size_t capacity() const { return mask_ + 1; }
  uint32_t max_age_ticks() const { return options_.max_age_ticks; }

  // Appends a Record. `retire(ordinal)` is called for the one that makes room, while it is still alive.
  template <typename Retire>
  Ordinal Append(const Record& record, Retire retire);

  // It is now `tick`: Records older than max_age leave, each with a call of `retire`.
  template <typename Retire>
  void Advance(uint32_t tick, Retire retire);

  // The index key of a span under one form of its trace's ID: both halves take part, so that traces which
  // share their low half are kept apart. Whoever may meet the 64-bit form of a trace looks under both (Shard
  // does).
  uint64_t SpanHash(const TraceId& trace, uint64_t span) const {
    return Mix64((trace.lo * 0x9e3779b97f4a7c15u) ^ (trace.hi * 0xc2b2ae3d27d4eb4fu) ^ span ^ epoch_.seed);
  }

  SpanIndex& index() { return index_; }
  const SpanIndex& index() const { return index_; }
  TraceTable& traces() { return traces_; }
  const TraceTable& traces() const { return traces_; }

  // The tick in which a Record was appended. REQUIRES: Alive(o).
  uint32_t TickOf(Ordinal o) const;

  // Ticks between the oldest Record and now: how far back joins and duplicates are recognised.
  uint32_t horizon_ticks() const;

  // Memory reserved for the tables; what is resident grows to this as they fill.
  size_t bytes() const { return ring_.bytes() + index_.bytes() + traces_.bytes(); }

 private:
  struct Mark {
    uint32_t tick;
    Ordinal head;  // when the tick began
  };

  void Step() {
    ++floor_;
    if (floor_ == 0) floor_ = 1;
  }

  const Options options_;
  const Epoch epoch_;
  const uint32_t mask_;
  Ordinal floor_ = 1;
  Ordinal head_ = 1;
  uint32_t tick_ = 0;
  std::deque<Mark> marks_;  // one per tick in which something was appended
  TableMemory<Record> ring_;
  SpanIndex index_;
  TraceTable traces_;
};

template <typename Retire>
Ordinal Window::Append(const Record& record, Retire retire) {
  if (head_ - floor_ > mask_) {
    retire(floor_);
    Step();
  }
  if (marks_.empty() || marks_.back().tick != tick_) marks_.push_back({tick_, head_});
  const Ordinal at = head_;
  ring_[at & mask_] = record;
  ++head_;
  if (head_ == 0) {
    // 0 means "none": the place is passed over. It counts as one Record that nothing refers to.
    ring_[0] = Record{};
    head_ = 1;
  }
  return at;
}

template <typename Retire>
void Window::Advance(uint32_t tick, Retire retire) {
  tick_ = tick;
  while (marks_.size() > 1 && tick - marks_[1].tick >= options_.max_age_ticks) marks_.pop_front();
  if (marks_.empty()) return;
  // Everything before the mark that is now first is too old; so is that mark itself once all of it is.
  Ordinal until = marks_.front().head;
  if (tick - marks_.front().tick > options_.max_age_ticks) {
    until = head_;
    if (marks_.size() > 1) until = marks_[1].head;
  }
  while (Alive(floor_) && static_cast<int32_t>(until - floor_) > 0) {
    retire(floor_);
    Step();
  }
}

}  // namespace braid::correlate
