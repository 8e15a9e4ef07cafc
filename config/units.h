#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "config/config.h"

namespace braid::config {

// "500ms", "10s", "5m", "1h". Nothing for anything else, or beyond 100 years.
std::optional<milliseconds> ParseDuration(std::string_view text);

// "512MiB", "64KiB", "1GiB", "10MB" (powers of ten), "42B", "42". Nothing for anything else, or beyond 2^62.
std::optional<uint64_t> ParseSize(std::string_view text);

// "25%", "12.5%" as 250, 125; up to 100 %. Nothing for anything else.
std::optional<uint32_t> ParsePermille(std::string_view text);

// "127.0.0.1:4317", "[::1]:4317", "localhost:4317". Nothing for anything else, such as a host of digits and
// dots that is no IPv4 address, or a port beyond 65535.
std::optional<Address> ParseAddress(std::string_view text);

// Whether only this machine reaches a socket bound to `host`. Names other than localhost do not count: who
// knows what they resolve to.
bool IsLoopback(const std::string& host);

}  // namespace braid::config
