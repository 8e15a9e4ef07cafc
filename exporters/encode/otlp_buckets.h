#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "correlate/model/exposition.h"
#include "exporters/encode/otlp_point.h"
#include "exporters/encode/whole_counts.h"

namespace braid::exporters {

// A histogram's buckets as OTLP has them: whole counts (WholeCounts says what becomes of fractions), and the
// buckets of an exponential one side by side, so that one which is spread wider than kMostBuckets is made
// coarser.
//
// `before` is what was sent of the same histogram since it began, or null. Nothing falls below it.
//
// Thread rule: one owner. To be used again and again; views live until the next Set.
class OtlpBuckets {
 public:
  static constexpr int64_t kMostBuckets = 1024;

  // Whether any count is not whole. Only of such, now or before, `before` matters.
  static bool HasFraction(std::span<const double> counts);
  static bool HasFraction(const NativeView& native);

  void SetExplicit(std::span<const double> counts, const OtlpSentHistogram* before);

  // May make `before` coarser.
  void SetExponential(const NativeView& native, OtlpSentHistogram* before);

  uint64_t count() const;

  // Whether some count is not what was counted.
  bool rounded() const { return rounded_; }

  // Explicit: all.
  std::span<const uint64_t> counts() const { return whole_; }

  // Exponential.
  int32_t scale() const { return scale_; }
  uint64_t zero_count() const { return whole_[negative_.size()]; }
  size_t positive() const { return positive_.size(); }
  size_t negative() const { return negative_.size(); }
  int32_t positive_index(size_t i) const { return positive_[i].index; }
  int32_t negative_index(size_t i) const { return negative_[i].index; }
  uint64_t positive_count(size_t i) const { return whole_[negative_.size() + 1 + i]; }
  uint64_t negative_count(size_t i) const { return whole_[negative_.size() - 1 - i]; }

 private:
  bool PutBefore(OtlpSentHistogram* before);
  void Round(std::span<const double> counts);

  int32_t scale_ = 0;
  std::vector<NativeBucket> positive_;
  std::vector<NativeBucket> negative_;

  // In the order of their bounds: of an exponential one the negative ones, the zeros, the positive ones.
  std::vector<double> counts_;
  std::vector<uint64_t> whole_;
  bool rounded_ = false;
  WholeCounts rounding_;
};

}  // namespace braid::exporters
