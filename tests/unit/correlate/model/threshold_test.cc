#include "correlate/model/threshold.h"

#include <gtest/gtest.h>

#include <cmath>

namespace braid {
namespace {

struct Case {
  const char* tracestate;
  uint64_t threshold;
  bool malformed = false;
};

// Scenario: tracestates with and without a threshold, well-formed and not.
// Guarantees: digits are padded on the right, the first `ot` member counts, whatever else there is does not
// matter, and what cannot be read is told apart from what is not there.
TEST(ThresholdTest, IsReadFromTracestate) {
  const Case cases[] = {
      {"", 0},
      {"ot=th:8", 0x80000000000000},
      {"ot=th:c", 0xc0000000000000},
      {"ot=th:0", 0},
      {"ot=th:fffffffffffff8", 0xfffffffffffff8},
      {"ot=rv:6e6d1a75832a2f;th:4", 0x40000000000000},
      {"ot=th:4;rv:6e6d1a75832a2f", 0x40000000000000},
      {"vendor=x,ot=th:4", 0x40000000000000},
      {" ot=th:4 ,vendor=x", 0x40000000000000},
      {"ot=a:b,ot=th:4", 0},               // the first member counts
      {"vendor=ot=th:4", 0},               // no member of that name
      {"xot=th:4", 0},                     //
      {"ot=xth:4", 0},                     // no sub-key of that name
      {"ot=th:", 0, true},                 //
      {"ot=th:C", 0, true},                // lower case only
      {"ot=th:4g", 0, true},               //
      {"ot=th:123456789abcdef", 0, true},  // fifteen digits
      {"ot", 0},
      {"ot=", 0},
      {"=th:4", 0},
  };
  for (const Case& one : cases) {
    bool malformed = false;
    EXPECT_EQ(ReadThreshold(one.tracestate, &malformed), one.threshold) << one.tracestate;
    EXPECT_EQ(malformed, one.malformed) << one.tracestate;
  }
}

// Scenario: shares of spans that were kept, among them ones that 2^56 cannot hold exactly, and ones that are
// none. Guarantees: the threshold is the nearest, of two the even one; what is no share, or would keep
// nothing, gives none.
TEST(ThresholdTest, OfARatio) {
  EXPECT_EQ(ThresholdOfRatio(1), 0u);
  EXPECT_EQ(ThresholdOfRatio(0.5), 0x80000000000000u);
  EXPECT_EQ(ThresholdOfRatio(0.25), 0xc0000000000000u);
  EXPECT_EQ(ThresholdOfRatio(0.1), 72057594037927936u - 7205759403792794u);
  EXPECT_EQ(ThresholdOfRatio(0x1p-56), (uint64_t{1} << 56) - 1);
  EXPECT_EQ(ThresholdOfRatio(0x1.8p-56), (uint64_t{1} << 56) - 2);
  EXPECT_EQ(ThresholdOfRatio(0x1.4p-55), (uint64_t{1} << 56) - 2);
  EXPECT_EQ(ThresholdOfRatio(0x1.fffffffffffffp-1), 8u);
  for (const double none : {0.0, -0.5, 1.0000000000000002, 0x1p-57, 1e-300, std::nan(""), HUGE_VAL}) {
    EXPECT_EQ(ThresholdOfRatio(none), std::nullopt) << none;
  }
}

// Guarantees: a weight is the inverse of the share that is kept.
TEST(ThresholdTest, Weight) {
  EXPECT_EQ(WeightOf(0), 1);
  EXPECT_EQ(WeightOf(0x80000000000000), 2);
  EXPECT_EQ(WeightOf(0xc0000000000000), 4);
  EXPECT_EQ(WeightOf((uint64_t{1} << 56) - 1), 0x1p56);
}

}  // namespace
}  // namespace braid
