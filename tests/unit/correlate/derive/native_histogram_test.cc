#include "correlate/derive/native_histogram.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <vector>

namespace braid::correlate {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Adds the values one by one, each to the bucket whose bounds (as powers of long doubles, and so finer than
// those under test) hold it.
NativeBuckets Of(const std::vector<double>& values, int32_t schema, double zero_threshold) {
  NativeBuckets made;
  made.schema = schema;
  made.zero_threshold = zero_threshold;
  std::map<int32_t, double> sides[2];
  for (const double value : values) {
    if (std::abs(value) <= zero_threshold) {
      ++made.zero_count;
      continue;
    }
    const long double exact = std::log2(static_cast<long double>(std::abs(value))) * std::exp2l(schema);
    ++sides[value < 0][static_cast<int32_t>(std::ceil(exact))];
  }
  for (const auto& [index, count] : sides[0]) made.positive.push_back({index, count});
  for (const auto& [index, count] : sides[1]) made.negative.push_back({index, count});
  return made;
}

std::vector<double> Random(std::mt19937_64& random, int count) {
  std::lognormal_distribution<double> size(0, 2);
  std::vector<double> values;
  for (int i = 0; i < count; ++i)
    values.push_back(random() % 10 == 0 ? 0 : size(random) * (random() % 3 ? 1 : -1));
  return values;
}

// Every count is that of the values in the bucket's bounds that are not in the zero bucket.
void ExpectHolds(const NativeBuckets& native, const std::vector<double>& values) {
  double zeros = 0;
  for (const double value : values) zeros += std::abs(value) <= native.zero_threshold;
  EXPECT_EQ(native.zero_count, zeros);
  double all = zeros;
  for (const int sign : {1, -1}) {
    const auto& side = sign > 0 ? native.positive : native.negative;
    for (size_t i = 0; i < side.size(); ++i) {
      if (i != 0) {
        EXPECT_LT(side[i - 1].index, side[i].index);
      }
      const double upper = std::exp2(std::ldexp(side[i].index, -native.schema));
      const double lower = std::exp2(std::ldexp(side[i].index - 1, -native.schema));
      double inside = 0;
      for (const double value : values) {
        const double size = value * sign;
        inside += size > native.zero_threshold && size > lower && size <= upper;
      }
      EXPECT_EQ(side[i].count, inside) << side[i].index;
      EXPECT_GT(inside, 0);
      all += inside;
    }
  }
  EXPECT_EQ(all, static_cast<double>(values.size()));
}

// Scenario: values at and beside the bounds of buckets, of all schemas, from the smallest double to the
// largest. Guarantees: a bucket holds its upper bound and not its lower one; the index is the one whose
// bounds hold the value; every double has an index that counts as possible.
TEST(NativeHistogramTest, BoundsAndIndexesAgree) {
  std::mt19937_64 random(1);
  for (int32_t schema = kNativeMinSchema; schema <= kNativeMaxSchema; ++schema) {
    for (int power = -1022; power <= 1023; ++power) {
      const double whole = std::ldexp(1.0, power);
      const int32_t index = NativeIndex(whole, schema);
      const double exact = std::ceil(std::ldexp(power, schema));
      EXPECT_EQ(index, exact) << power << " at " << schema;
      EXPECT_EQ(NativeIndex(std::nextafter(whole, INFINITY), schema),
                std::floor(std::ldexp(power, schema)) + 1);
    }
    for (int i = 0; i < 2000; ++i) {
      const double value = std::ldexp(1 + std::generate_canonical<double, 53>(random),
                                      static_cast<int>(random() % 2040) - 1020);
      const int32_t index = NativeIndex(value, schema);
      EXPECT_GE(NativeUpperBound(index, schema), value);
      EXPECT_LT(NativeUpperBound(index - 1, schema), value);
      const long double exact = std::log2(static_cast<long double>(value)) * std::exp2l(schema);
      EXPECT_NEAR(static_cast<double>(index), static_cast<double>(exact) + 0.5, 0.5 + 1e-9);
    }
    for (const double edge :
         {std::numeric_limits<double>::denorm_min(), std::numeric_limits<double>::max()}) {
      const int32_t index = NativeIndex(edge, schema);
      EXPECT_TRUE(IsNativeIndex(index, schema)) << edge << " at " << schema;
      EXPECT_TRUE(std::isfinite(NativeUpperBound(index, schema)));
      const int beyond = (schema > 0 ? 2 << schema : 2) * (edge < 1 ? -1 : 1);
      EXPECT_FALSE(IsNativeIndex(index + beyond, schema)) << edge << " at " << schema;
    }
  }
  EXPECT_EQ(NativeUpperBound(1, 2), std::exp2(0.25));
  EXPECT_EQ(NativeUpperBound(-1, -4), std::exp2(-16));
}

// Scenario: one set of values at every pair of schemas.
// Guarantees: scaling down gives what counting at the coarser schema gives.
TEST(NativeHistogramTest, ScalingDownIsCountingCoarser) {
  std::mt19937_64 random(2);
  const std::vector<double> values = Random(random, 3000);
  for (int32_t fine = kNativeMinSchema; fine <= kNativeMaxSchema; ++fine) {
    for (int32_t coarse = kNativeMinSchema; coarse <= fine; ++coarse) {
      NativeBuckets scaled = Of(values, fine, 0);
      scaled.ScaleDown(coarse);
      const NativeBuckets counted = Of(values, coarse, 0);
      EXPECT_EQ(scaled.schema, coarse);
      EXPECT_EQ(scaled.positive, counted.positive);
      EXPECT_EQ(scaled.negative, counted.negative);
    }
  }
}

// Scenario: histograms of random values with random schemas and zero thresholds are added, many to one.
// Guarantees: each bucket, and the zero bucket, holds exactly the values between its bounds; no more than 160
// buckets a side; nothing is lost.
TEST(NativeHistogramTest, SumsHoldWhatTheirPartsHeld) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 60; ++round) {
    NativeBuckets sum;
    std::vector<double> all;
    const int parts = 1 + static_cast<int>(random() % 6);
    for (int part = 0; part < parts; ++part) {
      const std::vector<double> values = Random(random, 1 + static_cast<int>(random() % 400));
      const int32_t schema = kNativeMinSchema + static_cast<int32_t>(random() % 13);
      const double threshold = random() % 2 ? 0 : std::exp2(-static_cast<double>(random() % 80) / 10);
      NativeBuckets next = Of(values, schema, threshold);
      next.Limit();
      if (part == 0) {
        sum = next;
      } else {
        sum.Add(next);
      }
      all.insert(all.end(), values.begin(), values.end());
    }
    EXPECT_LE(sum.positive.size(), NativeBuckets::kMaxBuckets);
    EXPECT_LE(sum.negative.size(), NativeBuckets::kMaxBuckets);
    EXPECT_EQ(sum.count(), static_cast<double>(all.size()));
    ExpectHolds(sum, all);
  }
}

// Scenario: a zero bucket is widened to a bound, into a bucket, and to less than it is; where only the other
// side has a bucket there; and with thresholds that chase each other. Guarantees: a bucket goes whole or
// stays; the threshold is where the last one that went ended.
TEST(NativeHistogramTest, ZeroBucketsTakeWholeBuckets) {
  const NativeBuckets base{.schema = 0,
                           .zero_threshold = 0.25,
                           .zero_count = 1,
                           .positive = {{1, 2}, {2, 3}, {3, 4}},
                           .negative = {{2, 5}}};
  NativeBuckets at_bound = base;
  at_bound.Widen(2);
  EXPECT_EQ(at_bound.zero_threshold, 2);
  EXPECT_EQ(at_bound.zero_count, 3);
  EXPECT_THAT(at_bound.positive, ElementsAre(NativeBucket{2, 3}, NativeBucket{3, 4}));
  EXPECT_THAT(at_bound.negative, ElementsAre(NativeBucket{2, 5}));

  NativeBuckets inside = base;
  inside.Widen(2.5);
  EXPECT_EQ(inside.zero_threshold, 4);
  EXPECT_EQ(inside.zero_count, 11);
  EXPECT_THAT(inside.positive, ElementsAre(NativeBucket{3, 4}));
  EXPECT_THAT(inside.negative, IsEmpty());

  NativeBuckets narrower = base;
  narrower.Widen(0.125);
  EXPECT_EQ(narrower.zero_threshold, 0.25);
  EXPECT_EQ(narrower.zero_count, 1);

  NativeBuckets empty_there = base;
  empty_there.Widen(0.75);
  EXPECT_EQ(empty_there.zero_threshold, 0.75);

  // 1.2 cuts the one's (1, 2], whose end cuts the other's (1, 4].
  NativeBuckets chased{
      .schema = 0, .zero_threshold = 0, .zero_count = 0, .positive = {{1, 1}}, .negative = {}};
  chased.Add(
      {.schema = -1, .zero_threshold = 1.2, .zero_count = 0, .positive = {{1, 1}}, .negative = {{2, 1}}});
  EXPECT_EQ(chased.zero_threshold, 4);
  EXPECT_EQ(chased.zero_count, 2);
  EXPECT_THAT(chased.positive, IsEmpty());
  EXPECT_THAT(chased.negative, ElementsAre(NativeBucket{2, 1}));
}

}  // namespace
}  // namespace braid::correlate
