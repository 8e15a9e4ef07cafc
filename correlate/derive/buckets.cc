#include "correlate/derive/buckets.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace braid::correlate {
namespace {

// The least duration that BucketMap::Cell() and NativeMap file under `cell`.
uint64_t LeastOf(size_t cell) {
  const size_t width = cell / 8;
  const uint64_t low = cell % 8;
  if (width == 0) return 0;
  if (width <= 3) return low;  // the value itself
  return (8 | low) << (width - 4);
}

constexpr uint64_t kMs = 1'000'000;

}  // namespace

BucketMap::BucketMap(std::vector<uint64_t> bounds_ns) : bounds_(std::move(bounds_ns)) {
  for (size_t cell = 0; cell < kCells; ++cell) {
    const auto at = std::lower_bound(bounds_.begin(), bounds_.end(), LeastOf(cell));
    first_[cell] = static_cast<uint8_t>(at - bounds_.begin());
  }
}

NativeMap::NativeMap(uint64_t unit_ns) : unit_ns_(unit_ns) {
  // The bound of bucket i is 2^(i/8) units. Where that is whole (i a multiple of 8) long double has it
  // exactly; elsewhere it is irrational and rounding down to a nanosecond changes no comparison of whole
  // nanoseconds.
  const auto bound = [&](int32_t i) {
    const auto octave = static_cast<int32_t>(std::floor(static_cast<double>(i) / 8));
    const long double step = std::exp2(static_cast<long double>(i - octave * 8) / 8);
    return std::ldexp(step * static_cast<long double>(unit_ns), octave);
  };
  int32_t i = 0;
  while (bound(i) >= 1) --i;
  lowest_ = i + 1;
  for (i = lowest_;; ++i) {
    const long double upper = bound(i);
    if (upper >= 0x1p64L) {
      bounds_.push_back(~uint64_t{0});
      break;
    }
    bounds_.push_back(static_cast<uint64_t>(upper));
  }
  for (size_t cell = 0; cell < first_.size(); ++cell) {
    const auto at = std::lower_bound(bounds_.begin(), bounds_.end(), LeastOf(cell));
    first_[cell] = static_cast<uint16_t>(at - bounds_.begin());
  }
}

size_t NativeMap::Rank(uint64_t v) const {
  const auto width = static_cast<unsigned>(std::bit_width(v));
  const uint64_t lead = width > 3 ? v >> (width - 4) : v;
  size_t rank = first_[width * 8 + (lead & 7)];
  while (v > bounds_[rank]) ++rank;
  return rank;
}

std::vector<uint64_t> TempoLatencyBounds() {
  std::vector<uint64_t> bounds;
  for (int n = 0; n < 14; ++n) bounds.push_back((2 * kMs) << n);
  return bounds;
}

std::vector<uint64_t> OtelLatencyBounds() {
  std::vector<uint64_t> bounds;
  for (const uint64_t ms : {2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10'000, 15'000}) {
    bounds.push_back(ms * kMs);
  }
  return bounds;
}

std::vector<uint64_t> TempoGraphBounds() {
  std::vector<uint64_t> bounds;
  for (int n = 0; n < 8; ++n) bounds.push_back((100 * kMs) << n);
  return bounds;
}

}  // namespace braid::correlate
