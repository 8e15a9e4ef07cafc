#pragma once

#include <spdlog/spdlog.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "config/config.h"

// Braid's own log: spdlog's default logger, on standard error. Use spdlog::info() and its like for changes of
// state, and RateLimit for what may happen once per request. Never a secret; no payload at info and above.
namespace braid::gateway {

// Makes the default logger: text for people, or one JSON object a line
//   {"time":"2026-01-02T03:04:05.678Z","level":"warn","thread":12,"message":"..."}
// whose message is escaped, so that nothing a sender wrote can forge a line. In text, control characters are
// escaped for the same reason. Call once, before threads start.
void SetUpLogging(const config::Log& options);

// Lets one event through per interval and counts the others, so that a fault which strikes a thousand times a
// second costs one line. One static instance per place:
//
//   static RateLimit limit(std::chrono::seconds(10));
//   if (const auto pass = limit.Pass()) {
//     spdlog::warn("sink {}: {}{}", name, error, pass.Suffix());
//   }
//
// Thread rule: any thread; wait-free.
// Time rule: the steady clock, or the one that is passed in.
class RateLimit {
 public:
  using Clock = std::chrono::steady_clock;

  class Passed {
   public:
    explicit operator bool() const { return passed_; }

    // Events held back since the last that passed.
    uint64_t suppressed() const { return suppressed_; }

    // "" or " (123 more like this were not logged)".
    std::string Suffix() const;

   private:
    friend class RateLimit;
    bool passed_ = false;
    uint64_t suppressed_ = 0;
  };

  explicit RateLimit(Clock::duration interval) : interval_(interval.count()) {}

  Passed Pass(Clock::time_point now = Clock::now());

 private:
  const Clock::rep interval_;
  std::atomic<Clock::rep> next_{Clock::time_point::min().time_since_epoch().count()};
  std::atomic<uint64_t> suppressed_{0};
};

// `text` with control characters, quotes and backslashes as JSON escapes, without the quotes around it. What
// is not UTF-8 becomes U+FFFD.
std::string EscapeJson(std::string_view text);

}  // namespace braid::gateway
