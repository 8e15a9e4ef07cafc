#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

// The latency buckets of the `tempo` dialect: upper bounds 0.002 * 2^n seconds, n = 0..13, then +Inf.
namespace braid::correlate::latency {

constexpr int kBounds = 14;
constexpr int kBuckets = kBounds + 1;
constexpr uint64_t kFirstBoundNs = 2'000'000;

// The bucket a duration falls in. Bounds are inclusive ("le"): exactly 2 ms belongs to the first.
//
// With q = (d - 1) / 2 ms rounded down, d <= 2 ms * 2^n exactly when q < 2^n, so the bucket is the number of
// significant bits of q; one multiplication and one count of leading zeros.
constexpr size_t Bucket(uint64_t duration_ns) {
  const uint64_t q = (duration_ns - (duration_ns != 0 ? 1 : 0)) / kFirstBoundNs;
  return std::min<size_t>(static_cast<size_t>(std::bit_width(q)), kBounds);
}

constexpr uint64_t BoundNs(size_t bucket) { return kFirstBoundNs << bucket; }

constexpr std::array<double, kBounds> kBoundSeconds = {0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128,
                                                       0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384};

}  // namespace braid::correlate::latency
