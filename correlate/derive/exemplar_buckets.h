#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "correlate/derive/buckets.h"
#include "correlate/derive/series_delta.h"

namespace braid::correlate {

// Which exemplars of a series are kept apart: one for each bucket of the histogram that is shown. Where that
// is a native one alone there may be hundreds of buckets, so a series has most() exemplars: beyond them the
// one that was offered longest ago makes room, but each bucket that a classic histogram would have keeps one,
// so that what is rare is not pushed out by what is common.
//
// Thread rule: immutable.
class ExemplarBuckets {
 public:
  // More than any layout has classic buckets: see GivesWay().
  static constexpr size_t kMostNative = 32;

  // By classic buckets, or by native ones if `native` is not null. Lifetime: both are copied.
  ExemplarBuckets(const BucketMap& classic, const NativeMap* native);

  int16_t Of(uint64_t duration_ns) const {
    if (!native_) return static_cast<int16_t>(classic_.Of(duration_ns));
    return duration_ns == 0 ? kZeros : static_cast<int16_t>(native_->Of(duration_ns));
  }

  size_t most() const { return native_ ? kMostNative : classic_.buckets(); }
  bool by_native() const { return native_.has_value(); }

  // Of a series that has most() exemplars, the slots chained from `first` (1 + its index): the one to be
  // overwritten by that of another bucket. REQUIRES: by_native().
  SeriesDelta::Slot& GivesWay(std::vector<SeriesDelta::Slot>& slots, uint32_t first) const;

 private:
  static constexpr int16_t kZeros = -1000;  // beside every bucket there is

  BucketMap classic_;
  std::optional<NativeMap> native_;
};

}  // namespace braid::correlate
