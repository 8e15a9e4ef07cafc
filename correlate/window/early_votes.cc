#include "correlate/window/early_votes.h"

#include <algorithm>

namespace braid::correlate {

EarlyVotes::EarlyVotes(size_t votes) : buckets_(std::max((votes + kBucket - 1) / kBucket, size_t{1})) {}

const EarlyVotes::Vote* EarlyVotes::Find(uint64_t hash, uint32_t tenant, const TraceId& trace) const {
  if (waiting_ == 0) return nullptr;
  for (const Vote& vote : buckets_[BucketOf(hash)].votes) {
    if (vote.order != 0 && vote.tenant == tenant && TraceId{vote.trace_hi, vote.trace_lo}.SameTrace(trace))
      return &vote;
  }
  return nullptr;
}

EarlyVotes::Added EarlyVotes::Add(uint64_t hash, uint32_t tenant, const TraceId& trace) {
  if (Find(hash, tenant, trace) != nullptr) return Added::kRepeated;
  // A free place has order 0, so it is the oldest.
  auto& votes = buckets_[BucketOf(hash)].votes;
  Vote& place = *std::min_element(votes.begin(), votes.end(),
                                  [](const Vote& a, const Vote& b) { return a.order < b.order; });
  const bool replaced = place.order != 0;
  if (!replaced) ++waiting_;
  place = {trace.hi, trace.lo, next_order_++, tenant};
  return replaced ? Added::kReplaced : Added::kNew;
}

bool EarlyVotes::Take(uint64_t hash, uint32_t tenant, const TraceId& trace) {
  const Vote* found = Find(hash, tenant, trace);
  if (found == nullptr) return false;
  auto& votes = buckets_[BucketOf(hash)].votes;
  votes[static_cast<size_t>(found - votes.data())] = {};
  --waiting_;
  return true;
}

}  // namespace braid::correlate
