#include "gateway/logging/logging.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/json.hpp>
#include <string>
#include <thread>
#include <vector>

namespace braid::gateway {
namespace {

using std::chrono::seconds;

std::string Logged(const config::Log& options, const std::string& message) {
  testing::internal::CaptureStderr();
  SetUpLogging(options);
  spdlog::debug("quiet");
  spdlog::warn("{}", message);
  return testing::internal::GetCapturedStderr();
}

// Scenario: a message with everything that could break out of its line.
// Guarantees: the JSON log is one valid object whose message is the text again; the level below is not
// logged.
TEST(LoggingTest, JsonLinesCannotBeForged) {
  const std::string message = "a\"b\\c\nd\x01\x7f é";
  const std::string line =
      Logged({.level = config::Log::Level::kInfo, .format = config::Log::Format::kJson}, message);
  ASSERT_EQ(line.find('\n'), line.size() - 1) << line;
  const boost::json::object object = boost::json::parse(line).as_object();
  EXPECT_EQ(object.at("message").as_string(), message);
  EXPECT_EQ(object.at("level").as_string(), "warning");
}

// Scenario: the same in text.
// Guarantees: control characters are shown, not sent to the terminal, and the line stays one.
TEST(LoggingTest, TextLinesCannotBeForged) {
  const std::string line = Logged({}, "a\nb\x1b[31m");
  EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
  EXPECT_NE(line.find("a\\x0ab\\x1b[31m"), std::string::npos) << line;
}

// Scenario: text that is not UTF-8.
// Guarantees: each bad byte becomes U+FFFD, good characters stay.
TEST(LoggingTest, EscapesBadUtf8) {
  EXPECT_EQ(EscapeJson("\xc3\xa9\xff\xe2\x82z"), "\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz");
  EXPECT_EQ(EscapeJson("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

// Scenario: an event strikes again and again.
// Guarantees: one passes per interval, and the next that passes says how many did not.
TEST(RateLimitTest, PassesOnePerInterval) {
  RateLimit limit(seconds(10));
  RateLimit::Clock::time_point now{};
  EXPECT_TRUE(limit.Pass(now));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(limit.Pass(now + seconds(9)));
  const RateLimit::Passed next = limit.Pass(now + seconds(10));
  EXPECT_TRUE(next);
  EXPECT_EQ(next.Suffix(), " (3 more like this were not logged)");
  EXPECT_EQ(limit.Pass(now + seconds(20)).Suffix(), "");
}

// Scenario: four threads strike at one instant.
// Guarantees: exactly one passes, none is lost from the count.
TEST(RateLimitTest, CountsAcrossThreads) {
  RateLimit limit(seconds(10));
  std::atomic<int> passed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1'000; ++i) passed += limit.Pass(RateLimit::Clock::time_point{}) ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(passed, 1);
  EXPECT_EQ(limit.Pass(RateLimit::Clock::time_point{} + seconds(10)).suppressed(), 3'999u);
}

}  // namespace
}  // namespace braid::gateway
