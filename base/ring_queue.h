#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace braid {

// A FIFO in one growing array: unlike std::deque it allocates nothing once it has reached its size.
// Thread rule: one owner.
template <typename T>
class RingQueue {
 public:
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  size_t capacity_bytes() const { return slots_.size() * sizeof(T); }

  // REQUIRES: !empty() / i < size(). Index 0 is the oldest.
  T& front() { return slots_[first_]; }
  T& operator[](size_t i) { return slots_[(first_ + i) & (slots_.size() - 1)]; }
  const T& operator[](size_t i) const { return slots_[(first_ + i) & (slots_.size() - 1)]; }

  void push_back(T value) { push_slot() = std::move(value); }

  // A new last entry, to be filled in: what it holds is what was there before. The reference is good until
  // the next one is pushed.
  T& push_slot() {
    if (size_ == slots_.size()) Grow();
    return slots_[(first_ + size_++) & (slots_.size() - 1)];
  }

  void pop_front() {
    first_ = (first_ + 1) & (slots_.size() - 1);
    --size_;
  }

  // Keeps, in order, the entries for which `keep` holds.
  template <typename Keep>
  void Compact(Keep keep) {
    size_t kept = 0;
    for (size_t i = 0; i < size_; ++i) {
      T& entry = (*this)[i];
      if (!keep(entry)) continue;
      if (kept != i) (*this)[kept] = std::move(entry);
      ++kept;
    }
    size_ = kept;
  }

 private:
  void Grow() {
    std::vector<T> larger(slots_.empty() ? 64 : slots_.size() * 2);
    for (size_t i = 0; i < size_; ++i) larger[i] = std::move((*this)[i]);
    slots_ = std::move(larger);
    first_ = 0;
  }

  std::vector<T> slots_;  // a power of two of them
  size_t first_ = 0;
  size_t size_ = 0;
};

}  // namespace braid
