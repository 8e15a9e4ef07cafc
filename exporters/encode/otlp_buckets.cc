#include "exporters/encode/otlp_buckets.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace braid::exporters {
namespace {

constexpr int32_t kLeastScale = -10;

bool IsFraction(double count) { return std::floor(count) != count; }

int64_t Spread(const std::vector<NativeBucket>& buckets) {
  return buckets.empty() ? 0 : int64_t{buckets.back().index} - buckets.front().index + 1;
}

// Halves the resolution: two neighbours, of which the upper one has an even index, become one.
void Coarsen(std::vector<NativeBucket>* buckets) {
  size_t kept = 0;
  for (const NativeBucket& bucket : *buckets) {
    // Rounds towards +infinity, below zero too.
    const int32_t index = (bucket.index >> 1) + (bucket.index & 1);
    if (kept > 0 && (*buckets)[kept - 1].index == index) {
      (*buckets)[kept - 1].count += bucket.count;
    } else {
      (*buckets)[kept++] = {index, bucket.count};
    }
  }
  buckets->resize(kept);
}

// buckets.size() if there is none of this index.
size_t PlaceOf(const std::vector<NativeBucket>& buckets, int32_t index) {
  const auto at = std::lower_bound(buckets.begin(), buckets.end(), index,
                                   [](const NativeBucket& b, int32_t wanted) { return b.index < wanted; });
  return at != buckets.end() && at->index == index ? static_cast<size_t>(at - buckets.begin())
                                                   : buckets.size();
}

}  // namespace

bool OtlpBuckets::HasFraction(std::span<const double> counts) {
  return std::any_of(counts.begin(), counts.end(), IsFraction);
}

bool OtlpBuckets::HasFraction(const NativeView& native) {
  const auto fraction = [](const NativeBucket& bucket) { return IsFraction(bucket.count); };
  return IsFraction(native.zero_count) ||
         std::any_of(native.positive.begin(), native.positive.end(), fraction) ||
         std::any_of(native.negative.begin(), native.negative.end(), fraction);
}

uint64_t OtlpBuckets::count() const { return std::accumulate(whole_.begin(), whole_.end(), uint64_t{0}); }

void OtlpBuckets::SetExplicit(std::span<const double> counts, const OtlpSentHistogram* before) {
  whole_.assign(counts.size(), 0);
  if (before != nullptr && before->counts.size() == counts.size()) whole_ = before->counts;
  Round(counts);
}

void OtlpBuckets::SetExponential(const NativeView& native, OtlpSentHistogram* before) {
  positive_.assign(native.positive.begin(), native.positive.end());
  negative_.assign(native.negative.begin(), native.negative.end());
  scale_ = native.schema;
  while ((Spread(positive_) > kMostBuckets || Spread(negative_) > kMostBuckets) && scale_ > kLeastScale) {
    Coarsen(&positive_);
    Coarsen(&negative_);
    --scale_;
  }
  counts_.clear();
  for (size_t i = negative_.size(); i-- > 0;) counts_.push_back(negative_[i].count);
  counts_.push_back(native.zero_count);
  for (const NativeBucket& bucket : positive_) counts_.push_back(bucket.count);
  whole_.assign(counts_.size(), 0);
  if (before != nullptr && !PutBefore(before)) whole_.assign(counts_.size(), 0);
  Round(counts_);
}

// Puts what was sent where it belongs by now. False if there is no such place: then it began anew.
bool OtlpBuckets::PutBefore(OtlpSentHistogram* before) {
  if (before->scale < scale_) return false;
  for (; before->scale > scale_; --before->scale) {
    Coarsen(&before->positive);
    Coarsen(&before->negative);
  }
  const size_t zero = negative_.size();
  whole_[zero] = before->zero_count;
  for (const NativeBucket& bucket : before->positive) {
    const size_t at = PlaceOf(positive_, bucket.index);
    if (at == positive_.size()) return false;
    whole_[zero + 1 + at] = static_cast<uint64_t>(bucket.count);
  }
  for (const NativeBucket& bucket : before->negative) {
    const size_t at = PlaceOf(negative_, bucket.index);
    if (at == negative_.size()) return false;
    whole_[zero - 1 - at] = static_cast<uint64_t>(bucket.count);
  }
  return true;
}

// Leaves what is to be sent in whole_, where what was sent before is.
void OtlpBuckets::Round(std::span<const double> counts) {
  const double now = std::accumulate(counts.begin(), counts.end(), 0.0);
  // It lost something, and nobody said that it began anew.
  if (now < static_cast<double>(count()) - 1) std::fill(whole_.begin(), whole_.end(), 0);
  rounding_.Round(counts, whole_);
  rounded_ = !std::equal(counts.begin(), counts.end(), whole_.begin(),
                         [](double a, uint64_t b) { return a == static_cast<double>(b); });
}

}  // namespace braid::exporters
