#include "base/ids.h"

#include <gtest/gtest.h>

#include <string>

namespace braid {
namespace {

// Scenario: IDs as people and APIs write them, good and bad.
// Guarantees: either case, short forms padded on the left; anything else, and zero, is no ID.
TEST(IdsTest, ParsesHex) {
  EXPECT_EQ(ParseTraceId("0123456789abcdef0011223344556677"),
            (TraceId{0x0123456789abcdef, 0x0011223344556677}));
  EXPECT_EQ(ParseTraceId("0123456789ABCDEF0011223344556677"),
            (TraceId{0x0123456789abcdef, 0x0011223344556677}));
  EXPECT_EQ(ParseTraceId("a"), (TraceId{0, 10}));
  EXPECT_EQ(ParseTraceId("10000000000000000"), (TraceId{1, 0}));
  EXPECT_EQ(ParseSpanId("ff"), 255u);
  EXPECT_EQ(ParseSpanId("ffffffffffffffff"), ~uint64_t{0});
  for (const std::string bad : {"", "0", "00000000000000000000000000000000", "g", "0x1", " 1", "1 ", "-1",
                                "0123456789abcdef00112233445566778"}) {
    EXPECT_FALSE(ParseTraceId(bad)) << bad;
  }
  for (const char* bad : {"", "0", "0000000000000000", "x", "00000000000000001"}) {
    EXPECT_FALSE(ParseSpanId(bad)) << bad;
  }
}

// Scenario: what is written is read again. Guarantees: the same ID, in lower case, all digits.
TEST(IdsTest, WritesHex) {
  const TraceId id{0x0000000000000abc, 0xdef0000000000001};
  EXPECT_EQ(ToHex(id), "0000000000000abcdef0000000000001");
  EXPECT_EQ(ParseTraceId(ToHex(id)), id);
  EXPECT_EQ(ToHex(uint64_t{0x1f}), "000000000000001f");
}

// Scenario: 64- and 128-bit forms. Guarantees: the short form meets each long one, long ones only themselves.
TEST(IdsTest, ShortAndLongFormsMeet) {
  const TraceId one{1, 7};
  const TraceId two{2, 7};
  const TraceId brief{0, 7};
  EXPECT_TRUE(one.SameTrace(brief));
  EXPECT_TRUE(brief.SameTrace(two));
  EXPECT_FALSE(one.SameTrace(two));
  EXPECT_FALSE(one.SameTrace({1, 8}));
}

// Scenario: bytes and words. Guarantees: big-endian, as the wire has IDs.
TEST(IdsTest, BigEndian) {
  unsigned char bytes[8];
  StoreBigEndian64(0x0102030405060708, bytes);
  EXPECT_EQ(bytes[0], 1);
  EXPECT_EQ(bytes[7], 8);
  EXPECT_EQ(LoadBigEndian64(bytes), 0x0102030405060708u);
}

}  // namespace
}  // namespace braid
