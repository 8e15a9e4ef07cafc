#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace braid::correlate {

// Finds the bucket of a duration among bounds in whole nanoseconds. Bounds are inclusive ("le"), to the
// nanosecond. A table by the leading four bits of the duration gives the first candidate; where bounds are
// further apart than an eighth of their size it is the answer, or the one after.
//
// Thread rule: immutable.
class BucketMap {
 public:
  BucketMap() = default;

  // REQUIRES: bounds rise; at most 255 of them.
  explicit BucketMap(std::vector<uint64_t> bounds_ns);

  // 0 .. bounds().size(), the last being +Inf.
  size_t Of(uint64_t duration_ns) const {
    size_t bucket = first_[Cell(duration_ns)];
    while (bucket < bounds_.size() && duration_ns > bounds_[bucket]) ++bucket;
    return bucket;
  }

  std::span<const uint64_t> bounds() const { return bounds_; }
  size_t buckets() const { return bounds_.size() + 1; }

 private:
  static constexpr size_t kCells = 65 * 8;
  static size_t Cell(uint64_t v) {
    const auto width = static_cast<unsigned>(std::bit_width(v));
    const uint64_t lead = width > 3 ? v >> (width - 4) : v;
    return width * 8 + (lead & 7);
  }

  std::vector<uint64_t> bounds_;
  std::array<uint8_t, kCells> first_{};
};

// The buckets of a native histogram of schema 3 (eight for each power of two of the unit), for durations in
// whole nanoseconds: bucket i holds (2^((i-1)/8), 2^(i/8)] units.
//
// Thread rule: immutable.
class NativeMap {
 public:
  static constexpr int kSchema = 3;

  // The nanoseconds of one unit: 1e9 where values are seconds, 1e6 for milliseconds.
  explicit NativeMap(uint64_t unit_ns);

  // REQUIRES: duration_ns > 0.
  int32_t Of(uint64_t duration_ns) const { return lowest_ + static_cast<int32_t>(Rank(duration_ns)); }

  uint64_t unit_ns() const { return unit_ns_; }

  // The largest whole number of nanoseconds in bucket `index`.
  uint64_t BoundNs(int32_t index) const { return bounds_[static_cast<size_t>(index - lowest_)]; }

 private:
  size_t Rank(uint64_t v) const;

  const uint64_t unit_ns_;
  int32_t lowest_ = 0;            // the bucket of 1 ns
  std::vector<uint64_t> bounds_;  // of buckets lowest_, lowest_ + 1, ...; the last holds 2^64 - 1
  std::array<uint16_t, 65 * 8> first_{};
};

// The upper bounds existing dashboards expect, in nanoseconds.
std::vector<uint64_t> TempoLatencyBounds();  // 2 ms * 2^n, n = 0..13
std::vector<uint64_t> OtelLatencyBounds();   // 2 ms .. 15 s, sixteen of them
std::vector<uint64_t> TempoGraphBounds();    // 100 ms * 2^n, n = 0..7

}  // namespace braid::correlate
