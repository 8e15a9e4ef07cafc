#include "correlate/window/window.h"

#include <bit>
#include <stdexcept>

namespace braid::correlate {
namespace {

// Room for traces of six Records and more. With fewer the buckets overflow now and then, and the oldest trace
// of a bucket gives way to a tombstone before its time.
constexpr size_t kRecordsPerTrace = 6;

}  // namespace

Window::Window(const Epoch& epoch, const Options& options)
    : options_(options),
      epoch_(epoch),
      mask_(static_cast<uint32_t>(options.capacity - 1)),
      ring_(options.capacity),
      index_(options.capacity),
      traces_(epoch, options.capacity / kRecordsPerTrace, options.tombstones) {
  if (!std::has_single_bit(options.capacity))
    throw std::invalid_argument("window capacity is not a power of two");
}

uint32_t Window::TickOf(Ordinal o) const {
  // The last mark that does not lie after `o`.
  size_t low = 0;
  size_t high = marks_.size();
  while (high - low > 1) {
    const size_t middle = low + (high - low) / 2;
    if (static_cast<int32_t>(marks_[middle].head - o) <= 0) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return marks_[low].tick;
}

uint32_t Window::horizon_ticks() const {
  // The newest mark at or before the floor is the oldest Record's.
  for (size_t i = 0; i < marks_.size(); ++i) {
    if (i + 1 == marks_.size() || static_cast<int32_t>(marks_[i + 1].head - floor_) > 0)
      return tick_ - marks_[i].tick;
  }
  return 0;
}

}  // namespace braid::correlate
