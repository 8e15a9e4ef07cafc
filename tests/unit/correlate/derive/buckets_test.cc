#include "correlate/derive/buckets.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "correlate/derive/series_table.h"

namespace braid::correlate {
namespace {

// Every duration that is near a bound, powers of two and their neighbours, and random ones of each size.
std::vector<uint64_t> Durations(std::span<const uint64_t> bounds) {
  std::vector<uint64_t> durations = {0, 1, 2, 3, ~uint64_t{0}, ~uint64_t{0} - 1};
  for (const uint64_t bound : bounds) {
    for (const uint64_t d : {bound - 1, bound, bound + 1}) durations.push_back(d);
  }
  std::mt19937_64 random(5);
  for (int bit = 0; bit < 64; ++bit) {
    const uint64_t power = uint64_t{1} << bit;
    for (const uint64_t d : {power - 1, power, power + 1}) durations.push_back(d);
    for (int i = 0; i < 200; ++i) durations.push_back(random() >> bit);
  }
  return durations;
}

// Scenario: durations at, just below and just above every bound of every dialect, and everywhere else.
// Guarantees: the bucket is the one a search of the bounds finds, inclusive to the nanosecond.
TEST(BucketMapTest, AgreesWithASearch) {
  for (const auto dialect :
       {DeriveOptions::Dialect::kTempo, DeriveOptions::Dialect::kOtel, DeriveOptions::Dialect::kBoth}) {
    DeriveOptions derive;
    derive.dialect = dialect;
    for (const BucketMap& map : {SpanBuckets(derive), GraphBuckets(derive)}) {
      for (const uint64_t d : Durations(map.bounds())) {
        size_t expected = 0;
        while (expected < map.bounds().size() && d > map.bounds()[expected]) ++expected;
        ASSERT_EQ(map.Of(d), expected) << d;
      }
    }
  }
}

// Guarantees: the bounds are those that dashboards know.
TEST(BucketMapTest, Bounds) {
  EXPECT_EQ(TempoLatencyBounds().size(), 14u);
  EXPECT_EQ(TempoLatencyBounds().front(), 2'000'000u);
  EXPECT_EQ(TempoLatencyBounds().back(), 16'384'000'000u);
  EXPECT_EQ(OtelLatencyBounds().size(), 16u);
  EXPECT_EQ(OtelLatencyBounds().back(), 15'000'000'000u);
  EXPECT_EQ(TempoGraphBounds().size(), 8u);
  EXPECT_EQ(TempoGraphBounds().back(), 12'800'000'000u);
}

// Scenario: the same durations in native buckets of seconds and of milliseconds.
// Guarantees: bucket i holds (2^((i-1)/8), 2^(i/8)] units; exact powers of two are in the bucket they bound.
TEST(NativeMapTest, BucketsAreExact) {
  for (const uint64_t unit : {uint64_t{1'000'000'000}, uint64_t{1'000'000}}) {
    const NativeMap map(unit);
    for (const uint64_t d : Durations({})) {
      if (d == 0) continue;
      const int32_t index = map.Of(d);
      // Powers with 64 bits of mantissa; their error is far below the distance of a whole nanosecond to a
      // bound that is not whole.
      const long double value = static_cast<long double>(d) / static_cast<long double>(unit);
      const long double upper = std::exp2(static_cast<long double>(index) / 8);
      const long double lower = std::exp2(static_cast<long double>(index - 1) / 8);
      const long double slack = value * 0x1p-60L;
      ASSERT_LE(value, upper + slack) << d;
      ASSERT_GT(value, lower - slack) << d;
    }
    EXPECT_EQ(map.Of(unit), 0);
    EXPECT_EQ(map.Of(unit + 1), 1);
    EXPECT_EQ(map.Of(unit * 2), 8);
    EXPECT_EQ(map.Of(unit * 2 + 1), 9);
    EXPECT_EQ(map.Of(unit / 2), -8);
    EXPECT_EQ(map.Of(unit / 2 + 1), -7);
    EXPECT_EQ(map.Of(unit * 1024), 80);
  }
}

}  // namespace
}  // namespace braid::correlate
