#include "correlate/derive/native_histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace braid::correlate {
namespace {

// Powers of two between which all doubles lie, with one to spare for senders that round at the edge.
constexpr int64_t kLeastExponent = -1075;
constexpr int64_t kGreatestExponent = 1025;

void Append(std::vector<NativeBucket>* to, int32_t index, double count) {
  if (!to->empty() && to->back().index == index) {
    to->back().count += count;
  } else {
    to->push_back({index, count});
  }
}

void ScaleSide(std::vector<NativeBucket>* side, int32_t shift) {
  size_t kept = 0;
  for (const NativeBucket bucket : *side) {
    // Bucket i ends where bucket ceil(i / 2^shift) of the coarser schema does, or within it.
    const int32_t index = ((bucket.index - 1) >> shift) + 1;
    if (kept != 0 && (*side)[kept - 1].index == index) {
      (*side)[kept - 1].count += bucket.count;
    } else {
      (*side)[kept++] = {index, bucket.count};
    }
  }
  side->resize(kept);
}

std::vector<NativeBucket> Merged(const std::vector<NativeBucket>& a, const std::vector<NativeBucket>& b) {
  std::vector<NativeBucket> merged;
  merged.reserve(a.size() + b.size());
  size_t i = 0;
  size_t k = 0;
  while (i < a.size() || k < b.size()) {
    const bool from_a = k == b.size() || (i < a.size() && a[i].index <= b[k].index);
    const NativeBucket& next = from_a ? a[i++] : b[k++];
    Append(&merged, next.index, next.count);
  }
  return merged;
}

}  // namespace

double NativeUpperBound(int32_t index, int32_t schema) {
  double bound;
  if (schema <= 0) {
    const int64_t exponent = static_cast<int64_t>(index) << -schema;
    bound = std::ldexp(1.0, static_cast<int>(std::clamp<int64_t>(exponent, -2000, 2000)));
  } else {
    const int32_t part = index & ((1 << schema) - 1);
    bound = std::ldexp(std::exp2(std::ldexp(part, -schema)), index >> schema);
  }
  return std::min(bound, std::numeric_limits<double>::max());
}

int32_t NativeIndex(double magnitude, int32_t schema) {
  if (schema <= 0) {
    // 2^(exponent - 1) <= magnitude < 2^exponent; the lower bound belongs to the bucket below.
    int exponent;
    if (std::frexp(magnitude, &exponent) == 0.5) --exponent;
    return ((exponent - 1) >> -schema) + 1;
  }
  int32_t index = static_cast<int32_t>(std::ceil(std::ldexp(std::log2(magnitude), schema)));
  // The logarithm is rounded, the bounds decide.
  while (NativeUpperBound(index - 1, schema) >= magnitude) --index;
  while (NativeUpperBound(index, schema) < magnitude) ++index;
  return index;
}

bool IsNativeIndex(int64_t index, int32_t schema) {
  if (schema >= 0) return index >= kLeastExponent << schema && index <= kGreatestExponent << schema;
  return index >= kLeastExponent >> -schema && index <= (kGreatestExponent >> -schema) + 1;
}

double NativeBuckets::count() const {
  double sum = zero_count;
  for (const NativeBucket& bucket : negative) sum += bucket.count;
  for (const NativeBucket& bucket : positive) sum += bucket.count;
  return sum;
}

void NativeBuckets::Clear() {
  schema = 0;
  zero_threshold = zero_count = 0;
  for (std::vector<NativeBucket>* side : {&positive, &negative}) {
    if (side->capacity() > 4 * kMaxBuckets) std::vector<NativeBucket>().swap(*side);
    side->clear();
  }
}

void NativeBuckets::ScaleDown(int32_t to) {
  const int32_t shift = schema - to;
  if (shift <= 0) return;
  ScaleSide(&positive, shift);
  ScaleSide(&negative, shift);
  schema = to;
}

void NativeBuckets::Limit() {
  while (schema > kNativeMinSchema && std::max(positive.size(), negative.size()) > kMaxBuckets) {
    ScaleDown(schema - 1);
  }
}

void NativeBuckets::Widen(double threshold) {
  if (threshold <= zero_threshold) return;
  // What one side adds ends at a bound, and bounds cut no bucket of the other side.
  for (const std::vector<NativeBucket>* side : {&positive, &negative}) {
    for (const NativeBucket& bucket : *side) {
      if (NativeUpperBound(bucket.index - 1, schema) >= threshold) break;
      threshold = std::max(threshold, NativeUpperBound(bucket.index, schema));
    }
  }
  for (std::vector<NativeBucket>* side : {&positive, &negative}) {
    size_t inside = 0;
    while (inside < side->size() && NativeUpperBound((*side)[inside].index - 1, schema) < threshold) {
      zero_count += (*side)[inside++].count;
    }
    side->erase(side->begin(), side->begin() + static_cast<std::ptrdiff_t>(inside));
  }
  zero_threshold = threshold;
}

void NativeBuckets::Add(NativeBuckets other) {
  // At their own resolution, where a threshold cuts the least. Each round one of them gets wider, by a bucket
  // it has.
  while (zero_threshold != other.zero_threshold) {
    Widen(other.zero_threshold);
    other.Widen(zero_threshold);
  }
  const int32_t coarser = std::min(schema, other.schema);
  ScaleDown(coarser);
  other.ScaleDown(coarser);
  zero_count += other.zero_count;
  positive = Merged(positive, other.positive);
  negative = Merged(negative, other.negative);
  Limit();
}

}  // namespace braid::correlate
