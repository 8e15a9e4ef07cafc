#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace braid::net {

// The pause before attempt `attempt` + 1 (attempt counts failures, from 1): uniform between 0 and
// min(max, min * 2^(attempt - 1)), so that many senders that failed together do not come back together.
// `uniform` is in [0, 1). (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter, "full jitter")
std::chrono::nanoseconds FullJitter(std::chrono::nanoseconds min, std::chrono::nanoseconds max,
                                    uint32_t attempt, double uniform);

// The value of a Retry-After header (RFC 9110, 10.2.3): seconds, or a date in any of the three forms of
// HTTP, which becomes the time from `now` (0 if it has passed). Nothing if it is neither.
std::optional<std::chrono::nanoseconds> ParseRetryAfter(std::string_view value,
                                                        std::chrono::system_clock::time_point now);

}  // namespace braid::net
