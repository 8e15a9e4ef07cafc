#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "correlate/model/exposition.h"

namespace braid::correlate {

// The buckets of a native histogram, and what merging histograms of different resolution needs. Indexes and
// schemas are Prometheus', as in NativeView.
//
// Thread rule: plain data. Bound: at most kMaxBuckets populated buckets per side once Limit() was called.
struct NativeBuckets {
  // What OpenTelemetry's SDKs keep by default.
  static constexpr size_t kMaxBuckets = 160;

  int32_t schema = 0;
  double zero_threshold = 0;
  double zero_count = 0;
  std::vector<NativeBucket> positive;  // by rising index, none twice, counts above 0
  std::vector<NativeBucket> negative;

  double count() const;
  size_t bytes() const {
    return sizeof *this + (positive.capacity() + negative.capacity()) * sizeof(NativeBucket);
  }

  // Keeps room for what a point usually has, and no more.
  void Clear();

  // Halves the resolution until it is `to`: buckets fall together, none is split, so it loses nothing else.
  // REQUIRES: to <= schema.
  void ScaleDown(int32_t to);

  // Scales down until each side has at most kMaxBuckets, or the schema is the coarsest there is.
  void Limit();

  // Makes the zero bucket at least `threshold` wide. Buckets inside it go into it. One that `threshold` cuts
  // cannot be divided, so all of it goes, and the zero bucket becomes as wide as that one reached.
  // REQUIRES: threshold is finite.
  void Widen(double threshold);

  // Adds the observations of `other`, at the coarser of both schemas and the wider of both zero buckets, and
  // within Limit().
  void Add(NativeBuckets other);
};

// The upper bound of bucket `index`; the largest double where that would be infinite. The lower bound is the
// upper one of index - 1.
double NativeUpperBound(int32_t index, int32_t schema);

// The bucket `magnitude` falls into. REQUIRES: it is finite and above 0.
int32_t NativeIndex(double magnitude, int32_t schema);

// Whether any double falls into a bucket of this index.
bool IsNativeIndex(int64_t index, int32_t schema);

}  // namespace braid::correlate
