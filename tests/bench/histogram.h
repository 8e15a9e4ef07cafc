#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace braid::bench {

// Latencies in ns with three significant digits or so: 128 linear steps in every power of two, like
// HdrHistogram.
class Histogram {
 public:
  void Add(uint64_t ns) {
    ++counts_[Index(ns)];
    ++total_;
    if (ns > max_) max_ = ns;
  }

  uint64_t total() const { return total_; }
  uint64_t max() const { return max_; }

  // The value below or at which the share `q` (0-1) of the values lie, rounded up to its step's end; 0 if
  // empty.
  uint64_t Quantile(double q) const {
    if (total_ == 0) return 0;
    const auto wanted = static_cast<uint64_t>(q * static_cast<double>(total_ - 1)) + 1;
    uint64_t seen = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen >= wanted) return End(i) < max_ ? End(i) : max_;
    }
    return max_;
  }

 private:
  static constexpr unsigned kStepBits = 7;

  static size_t Index(uint64_t value) {
    const auto bits = static_cast<unsigned>(std::bit_width(value | 1));
    if (bits <= kStepBits) return value;
    const unsigned shift = bits - kStepBits - 1;
    return (static_cast<size_t>(shift + 1) << kStepBits) + ((value >> shift) & ((1u << kStepBits) - 1));
  }

  static uint64_t End(size_t index) {
    const size_t power = index >> kStepBits;
    const uint64_t step = index & ((1u << kStepBits) - 1);
    if (power == 0) return step;
    return (((1u << kStepBits) + step + 1) << (power - 1)) - 1;
  }

  std::array<uint64_t, size_t{64} << kStepBits> counts_{};
  uint64_t total_ = 0;
  uint64_t max_ = 0;
};

}  // namespace braid::bench
