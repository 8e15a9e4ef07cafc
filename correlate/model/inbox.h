#pragma once

#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "correlate/model/batch.h"
#include "correlate/model/epoch.h"

namespace braid {

// One record of the sequence as one shard sees it. The fold knows nothing but these.
struct InboxRecord {
  enum class Kind : uint8_t {
    kSlice,
    kTick,      // value: the tick's number; ticks are kTickMs apart
    kPressure,  // value: level 0-3
    kEpoch,     // epoch
    kDrain,     // shutdown: decide everything now
  };

  Kind kind = Kind::kTick;
  uint64_t sequence = 0;
  uint64_t value = 0;
  SlicePtr slice;
  Epoch epoch;
};

// Milliseconds of one Tick, the fold's only clock.
constexpr uint64_t kTickMs = 50;

// The ring that carries records to one shard, in sequence order.
//
// Thread rule: pushed under the sequencer's lock (so one producer at a time), popped by the shard's thread.
// Bound: `capacity` records; the sequencer refuses a request when any ring it needs is full, and
// reserves the last kControlRoom places for control records, which are never refused.
class Inbox {
 public:
  static constexpr size_t kControlRoom = 64;

  // `capacity` is a power of two.
  explicit Inbox(size_t capacity) : ring_(capacity) {}

  // Whether a slice fits. REQUIRES: the producer's lock.
  bool HasRoom() const {
    return head_.load(std::memory_order_relaxed) - tail_.load(std::memory_order_acquire) + kControlRoom <
           ring_.size();
  }

  // False (record untouched) if even the reserved room is full. REQUIRES: the producer's lock.
  bool Push(InboxRecord&& record) {
    const uint64_t head = head_.load(std::memory_order_relaxed);
    if (head - tail_.load(std::memory_order_acquire) >= ring_.size()) return false;
    if (record.slice) items_pushed_.fetch_add(record.slice->count, std::memory_order_relaxed);
    ring_[head & (ring_.size() - 1)] = std::move(record);
    head_.store(head + 1, std::memory_order_seq_cst);
    return true;
  }

  // The next record; false if there is none. Shard's thread only.
  bool Pop(InboxRecord* record) {
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    if (tail == head_.load(std::memory_order_acquire)) return false;
    *record = std::move(ring_[tail & (ring_.size() - 1)]);
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

  bool empty() const {
    return tail_.load(std::memory_order_relaxed) == head_.load(std::memory_order_seq_cst);
  }

  // Records waiting. Shard's thread only.
  size_t size() const {
    return head_.load(std::memory_order_acquire) - tail_.load(std::memory_order_relaxed);
  }

  // The consumer's "I am going to sleep" flag: whoever pushes and finds it set clears it and wakes the shard,
  // once.
  std::atomic<bool> sleeping{true};

  // Items ever pushed, for the account's backlog.
  uint64_t items_pushed() const { return items_pushed_.load(std::memory_order_relaxed); }

 private:
  std::vector<InboxRecord> ring_;
  alignas(64) std::atomic<uint64_t> head_{0};
  std::atomic<uint64_t> items_pushed_{0};
  alignas(64) std::atomic<uint64_t> tail_{0};
};

}  // namespace braid
