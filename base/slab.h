#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"

namespace braid {

class SlabPool;

// A piece of memory from a SlabPool: `size()` bytes of content in `capacity()` bytes of room, with at
// least kPadding zero-initialised-once bytes readable beyond the capacity, so that decoders may load
// whole vectors. Given back to the pool when it is destroyed, on any thread.
//
// Thread rule: one owner at a time.
// Lifetime: the pool outlives every Slab.
class Slab {
 public:
  static constexpr size_t kPadding = 64;

  Slab() = default;
  Slab(Slab&& other) noexcept { *this = std::move(other); }
  Slab& operator=(Slab&& other) noexcept;
  ~Slab() { Reset(); }

  // False for a Slab that was never taken, was moved from, or was refused by the pool.
  explicit operator bool() const { return data_ != nullptr; }

  char* data() { return data_; }
  const char* data() const { return data_; }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  size_t room() const { return capacity_ - size_; }
  std::string_view view() const { return {data_, size_}; }

  // REQUIRES: size <= capacity().
  void set_size(size_t size) { size_ = size; }

  // REQUIRES: bytes.size() <= room().
  void Append(std::string_view bytes);

  // Makes room for `more` bytes beyond size(), moving to a larger slab if need be; grows at least by
  // half so that appending is linear. False if the pool refuses; the content then stays as it is.
  bool Reserve(size_t more);

  void Reset();

 private:
  friend class SlabPool;

  SlabPool* pool_ = nullptr;
  char* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

// Recycled memory for request bodies, chunks and encodings. A fresh mapping per body costs 280-350 ns
// per span in page faults, a reused one 10 (measured), so slabs are kept per size class.
//
// Thread rule: any thread; one short critical section per Take or give-back.
// Bound: `Options::max_bytes` of capacity lent out at once. Take() refuses beyond it, which is what
// turns into "try again later" for the sender.
class SlabPool {
 public:
  struct Options {
    size_t max_bytes = 256u << 20;

    // Idle slabs kept for reuse. Beyond it those of the size that was asked for longest ago go back to the
    // system.
    size_t max_idle_bytes = 64u << 20;
  };

  explicit SlabPool(const Options& options) : options_(options) {}
  ~SlabPool();
  SlabPool(const SlabPool&) = delete;
  SlabPool& operator=(const SlabPool&) = delete;

  // An empty Slab (false) if `capacity` more bytes would exceed the bound.
  Slab Take(size_t capacity);

  // As Take(), but beyond the bound too: for memory that must be had to give other memory back (a
  // chunk under encoding, a survivor of evacuation). Still counted.
  Slab TakeUnbounded(size_t capacity);

  // Capacity lent out, and kept idle.
  size_t used_bytes() const { return used_.load(std::memory_order_relaxed); }
  size_t idle_bytes() const { return idle_.load(std::memory_order_relaxed); }
  size_t max_bytes() const { return options_.max_bytes; }

 private:
  friend class Slab;

  // Classes are powers of two and the half steps between: 4 KiB, 6 KiB, 8 KiB ...
  static constexpr size_t kClasses = 40;
  static size_t ClassOf(size_t capacity);
  static size_t ClassBytes(size_t index);

  static char* Allocate(size_t capacity);
  static void Free(char* data, size_t capacity);

  Slab Lend(size_t index);
  void GiveBack(char* data, size_t capacity);

  const Options options_;
  std::atomic<size_t> used_{0};
  std::atomic<size_t> idle_{0};
  Mutex mutex_;
  // Takes an idle slab of the class least recently asked for; null if nothing is idle.
  std::pair<char*, size_t> TakeStalest() BRAID_REQUIRES(mutex_);

  std::array<std::vector<char*>, kClasses> free_ BRAID_GUARDED_BY(mutex_);
  std::array<uint64_t, kClasses> asked_ BRAID_GUARDED_BY(mutex_){};  // when, in calls
  uint64_t calls_ BRAID_GUARDED_BY(mutex_) = 0;
};

}  // namespace braid
