#include "base/net/backoff.h"

#include <gtest/gtest.h>

namespace braid::net {
namespace {

using namespace std::chrono_literals;

// Scenario: failures 1, 2, 3 ... with the extreme and the middle draw.
// Guarantees: between 0 and a bound that doubles from `min` and ends at `max`, for any number of failures.
TEST(FullJitterTest, DoublesUpToTheMaximum) {
  EXPECT_EQ(FullJitter(250ms, 30s, 1, 0.0), 0ns);
  EXPECT_EQ(FullJitter(250ms, 30s, 1, 0.5), 125ms);
  EXPECT_EQ(FullJitter(250ms, 30s, 2, 0.5), 250ms);
  EXPECT_EQ(FullJitter(250ms, 30s, 5, 0.5), 2s);
  EXPECT_EQ(FullJitter(250ms, 30s, 8, 0.5), 15s);
  EXPECT_EQ(FullJitter(250ms, 30s, 4'000'000'000, 0.5), 15s);
}

// Scenario: every form that RFC 9110 allows, and others.
// Guarantees: the three dates agree; the past is 0; nonsense is nothing; nothing overflows.
TEST(RetryAfterTest, ReadsSecondsAndDates) {
  const auto now =
      std::chrono::system_clock::time_point(784'111'777s - 60s);  // one minute before the dates below
  EXPECT_EQ(ParseRetryAfter("120", now), 120s);
  EXPECT_EQ(ParseRetryAfter(" 0 ", now), 0s);
  EXPECT_EQ(ParseRetryAfter("Sun, 06 Nov 1994 08:49:37 GMT", now), 60s);
  EXPECT_EQ(ParseRetryAfter("Sunday, 06-Nov-94 08:49:37 GMT", now), 60s);
  EXPECT_EQ(ParseRetryAfter("Sun Nov  6 08:49:37 1994", now), 60s);
  EXPECT_EQ(ParseRetryAfter("Sun, 06 Nov 1984 08:49:37 GMT", now), 0s);
  EXPECT_GT(ParseRetryAfter("18446744073709551615", now).value_or(0s), 0s);
  for (const char* bad :
       {"", "soon", "-1", "1.5", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 06 Nov 99999 08:49:37 GMT"}) {
    EXPECT_FALSE(ParseRetryAfter(bad, now).has_value()) << bad;
  }
}

}  // namespace
}  // namespace braid::net
