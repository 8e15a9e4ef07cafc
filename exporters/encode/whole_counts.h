#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace braid::exporters {

// Whole counts for the buckets of a histogram that was counted in fractions, for formats that have no others.
//
// A reader of cumulative histograms takes a bucket that falls for a restart, or subtracts below zero, so
// `sent`, what was sent of each bucket before, only ever grows. Beyond that,
//
//   - all buckets together are within a half of what was counted, and
//   - so are those up to any bound, as long as no bucket was sent more than it has by now: in the first
//     round, and wherever buckets grew by a span or two since.
//   - Else those up to a bound are as near as the buckets before let them be, by least squares (Ayer's pool
//     of adjacent violators). In a million rounds of a few random weighted spans each that was within 2.5
//     for 15 buckets and 3 for 160; each bucket by itself to the nearest number would be within 7.5 and 80.
//
// No rounding can promise less than 1 for every bound. Errors that are shared out before it is known which
// bucket grows next run against each other: with four buckets and weights of 1.5 some order of spans breaks
// it whatever was sent, and with six buckets and sixths even 1 itself (whole_counts_test.cc plays the first
// game).
//
// Thread rule: one owner; keeps nothing but its memory between calls.
class WholeCounts {
 public:
  // `counts`: by bucket, in the order of their bounds, not cumulative. REQUIRES: as many of both; `sent` of
  // zeros where nothing was sent.
  void Round(std::span<const double> counts, std::span<uint64_t> sent);

 private:
  // Neighbouring buckets that share a mean.
  struct Block {
    double mean = 0;
    double size = 0;
  };
  std::vector<Block> blocks_;
};

}  // namespace braid::exporters
