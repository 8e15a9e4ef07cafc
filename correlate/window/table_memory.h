#pragma once

#include <cstddef>
#include <type_traits>

namespace braid::correlate {

// A fixed array of zero-initialised T, mapped from the system, so that only the pages in use take memory.
// T is trivial: all-zero bytes are its empty state.
template <typename T>
class TableMemory {
 public:
  explicit TableMemory(size_t count);
  ~TableMemory();
  TableMemory(const TableMemory&) = delete;
  TableMemory& operator=(const TableMemory&) = delete;

  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return count_; }
  size_t bytes() const { return count_ * sizeof(T); }

 private:
  T* data_;
  size_t count_;
};

// Throws std::bad_alloc: tables are made at start-up only.
void* MapZeroed(size_t bytes);
void Unmap(void* data, size_t bytes);

template <typename T>
TableMemory<T>::TableMemory(size_t count)
    : data_(static_cast<T*>(MapZeroed(count * sizeof(T)))), count_(count) {
  static_assert(std::is_trivially_destructible_v<T> && std::is_trivially_copyable_v<T>);
}

template <typename T>
TableMemory<T>::~TableMemory() {
  Unmap(data_, bytes());
}

}  // namespace braid::correlate
