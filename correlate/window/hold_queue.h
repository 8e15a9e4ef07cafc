#pragma once

#include <cstddef>
#include <cstdint>

#include "base/ring_queue.h"
#include "correlate/window/record.h"

namespace braid::correlate {

// The logs that wait for their span, oldest first.
//
// All of them wait equally long, so arrival order is deadline order: the front is always next to leave, and
// no timer is kept per log. A log that is joined before its time stays in place and is skipped when it
// reaches the front, which makes joining O(1); `is_waiting` tells the two apart. When the skipped ones
// outnumber those waiting, they are swept out, so the queue is never more than about twice what waits.
//
// Time comes in as Tick numbers, from records, never from a clock.
// Thread rule: one shard's thread.
class HoldQueue {
 public:
  enum class Release : uint8_t { kExpired, kOverBudget };

  explicit HoldQueue(uint32_t hold_ticks) : hold_ticks_(hold_ticks) {}

  // REQUIRES: `now` is not before that of any earlier call.
  void Add(Ordinal log, uint32_t bytes, uint32_t now) {
    entries_.push_back({log, bytes, now});
    bytes_ += bytes;
    ++waiting_;
  }

  // A log of this many bytes left by another way (joined, or decided with its trace).
  void Forget(uint32_t bytes) {
    bytes_ -= bytes;
    --waiting_;
  }

  // Hands every waiting log that has been here `hold` ticks (shortened under pressure), or is among the
  // oldest beyond `max_bytes`, to `release(log, reason)`, which must make `is_waiting(log)` false and must
  // not call back into the queue.
  template <typename IsWaiting, typename ReleaseFn>
  void Advance(uint32_t now, uint32_t hold_ticks, size_t max_bytes, IsWaiting is_waiting, ReleaseFn release);

  uint32_t hold_ticks() const { return hold_ticks_; }

  // Logical bytes and number of the logs still waiting.
  size_t bytes() const { return bytes_; }
  size_t waiting() const { return waiting_; }

 private:
  struct Entry {
    Ordinal log = 0;
    uint32_t bytes = 0;
    uint32_t since = 0;
  };

  static constexpr size_t kSweepAbove = 4096;

  const uint32_t hold_ticks_;
  RingQueue<Entry> entries_;
  size_t bytes_ = 0;
  size_t waiting_ = 0;
};

template <typename IsWaiting, typename ReleaseFn>
void HoldQueue::Advance(uint32_t now, uint32_t hold_ticks, size_t max_bytes, IsWaiting is_waiting,
                        ReleaseFn release) {
  while (!entries_.empty()) {
    const Entry front = entries_.front();
    const bool waiting = is_waiting(front.log);
    const bool due = now - front.since >= hold_ticks;
    const bool over = bytes_ > max_bytes;
    if (waiting && !due && !over) break;
    entries_.pop_front();
    if (!waiting) continue;  // Its bytes were given back by Forget().
    bytes_ -= front.bytes;
    --waiting_;
    release(front.log, due ? Release::kExpired : Release::kOverBudget);
  }
  if (entries_.size() > kSweepAbove && entries_.size() > 2 * waiting_) {
    entries_.Compact([&](const Entry& entry) { return is_waiting(entry.log); });
  }
}

}  // namespace braid::correlate
