#include "base/slab.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>

namespace braid {
namespace {

constexpr size_t kSmallest = 4096;
constexpr unsigned kSmallestBits = 12;

// From here on slabs are mappings of their own: given back, they leave the process at once, and no heap is
// left in pieces. Smaller ones come from the heap.
constexpr size_t kMapped = 128 << 10;

}  // namespace

Slab& Slab::operator=(Slab&& other) noexcept {
  if (this == &other) return *this;
  Reset();
  pool_ = std::exchange(other.pool_, nullptr);
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  capacity_ = std::exchange(other.capacity_, 0);
  return *this;
}

void Slab::Append(std::string_view bytes) {
  if (bytes.empty()) return;
  std::memcpy(data_ + size_, bytes.data(), bytes.size());
  size_ += bytes.size();
}

bool Slab::Reserve(size_t more) {
  if (more <= room()) return true;
  Slab larger = pool_->Take(std::max(size_ + more, capacity_ + capacity_ / 2));
  if (!larger) return false;
  larger.Append(view());
  *this = std::move(larger);
  return true;
}

void Slab::Reset() {
  if (data_ != nullptr) pool_->GiveBack(data_, capacity_);
  pool_ = nullptr;
  data_ = nullptr;
  size_ = 0;
  capacity_ = 0;
}

SlabPool::~SlabPool() {
  for (size_t i = 0; i < kClasses; ++i) {
    for (char* data : free_[i]) Free(data, ClassBytes(i));
  }
}

char* SlabPool::Allocate(size_t capacity) {
  char* data = nullptr;
  if (capacity >= kMapped) {
    void* mapped = ::mmap(nullptr, capacity + Slab::kPadding, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped != MAP_FAILED) data = static_cast<char*>(mapped);
  } else {
    data = static_cast<char*>(std::aligned_alloc(64, capacity + Slab::kPadding));
    if (data != nullptr) std::memset(data + capacity, 0, Slab::kPadding);
  }
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

void SlabPool::Free(char* data, size_t capacity) {
  if (capacity >= kMapped) {
    ::munmap(data, capacity + Slab::kPadding);
  } else {
    std::free(data);
  }
}

size_t SlabPool::ClassOf(size_t capacity) {
  capacity = std::max(capacity, kSmallest);
  const unsigned bits = static_cast<unsigned>(std::bit_width(capacity - 1));  // 2^bits >= capacity
  const size_t index = (bits - kSmallestBits) * 2;
  // The half step below: 3/4 of 2^bits.
  if (bits > kSmallestBits && capacity <= (size_t{3} << (bits - 2))) return index - 1;
  return index;
}

size_t SlabPool::ClassBytes(size_t index) {
  const size_t power = kSmallest << ((index + 1) / 2);
  return index % 2 == 0 ? power : power / 4 * 3;
}

Slab SlabPool::Take(size_t capacity) {
  const size_t index = ClassOf(capacity);
  if (index >= kClasses) return {};
  const size_t bytes = ClassBytes(index);
  if (used_.fetch_add(bytes, std::memory_order_relaxed) + bytes > options_.max_bytes) {
    used_.fetch_sub(bytes, std::memory_order_relaxed);
    return {};
  }
  return Lend(index);
}

Slab SlabPool::TakeUnbounded(size_t capacity) {
  const size_t index = ClassOf(capacity);
  if (index >= kClasses) throw std::bad_alloc();
  used_.fetch_add(ClassBytes(index), std::memory_order_relaxed);
  return Lend(index);
}

Slab SlabPool::Lend(size_t index) {
  Slab slab;
  slab.pool_ = this;
  slab.capacity_ = ClassBytes(index);
  {
    MutexLock lock(mutex_);
    asked_[index] = ++calls_;
    if (!free_[index].empty()) {
      slab.data_ = free_[index].back();
      free_[index].pop_back();
      idle_.fetch_sub(slab.capacity_, std::memory_order_relaxed);
      return slab;
    }
  }
  slab.data_ = Allocate(slab.capacity_);
  return slab;
}

void SlabPool::GiveBack(char* data, size_t capacity) {
  used_.fetch_sub(capacity, std::memory_order_relaxed);
  if (capacity > options_.max_idle_bytes) {
    Free(data, capacity);
    return;
  }
  // Slabs of sizes that are asked for no more must not keep the place of those that are: taking memory from
  // the system costs a page fault per page, many times what copying into it does.
  idle_.fetch_add(capacity, std::memory_order_relaxed);
  bool kept = false;
  for (;;) {
    std::pair<char*, size_t> surplus;
    {
      MutexLock lock(mutex_);
      if (!kept) free_[ClassOf(capacity)].push_back(data);
      kept = true;
      if (idle_.load(std::memory_order_relaxed) <= options_.max_idle_bytes) return;
      surplus = TakeStalest();
      if (surplus.first == nullptr) return;  // others are about to put back what they have counted
      idle_.fetch_sub(surplus.second, std::memory_order_relaxed);
    }
    Free(surplus.first, surplus.second);
  }
}

std::pair<char*, size_t> SlabPool::TakeStalest() {
  size_t stalest = kClasses;
  for (size_t i = 0; i < kClasses; ++i) {
    if (!free_[i].empty() && (stalest == kClasses || asked_[i] < asked_[stalest])) stalest = i;
  }
  if (stalest == kClasses) return {};
  char* data = free_[stalest].back();
  free_[stalest].pop_back();
  return {data, ClassBytes(stalest)};
}

}  // namespace braid
