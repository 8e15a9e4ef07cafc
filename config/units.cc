#include "config/units.h"

#include <arpa/inet.h>
#include <re2/re2.h>

#include <charconv>
#include <limits>

namespace braid::config {
namespace {

// Splits "512MiB" into number and unit.
std::optional<uint64_t> Number(std::string_view text, std::string_view* unit) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  *unit = text.substr(static_cast<size_t>(end - text.data()));
  return number;
}

std::optional<uint64_t> Times(uint64_t number, uint64_t factor, uint64_t limit) {
  if (number > limit / factor) return std::nullopt;
  return number * factor;
}

}  // namespace

std::string Address::ToString() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? '[' + host + ']' : host) + ':' + std::to_string(port);
}

std::optional<milliseconds> ParseDuration(std::string_view text) {
  constexpr uint64_t kLimit = 100ull * 366 * 24 * 3600 * 1000;
  std::string_view unit;
  const std::optional<uint64_t> number = Number(text, &unit);
  if (!number) return std::nullopt;
  uint64_t factor = 0;
  if (unit == "ms") factor = 1;
  if (unit == "s") factor = 1'000;
  if (unit == "m") factor = 60'000;
  if (unit == "h") factor = 3'600'000;
  if (factor == 0) return std::nullopt;
  const std::optional<uint64_t> ms = Times(*number, factor, kLimit);
  if (!ms) return std::nullopt;
  return milliseconds(*ms);
}

std::optional<uint64_t> ParseSize(std::string_view text) {
  constexpr uint64_t kLimit = uint64_t{1} << 62;
  std::string_view unit;
  const std::optional<uint64_t> number = Number(text, &unit);
  if (!number) return std::nullopt;
  uint64_t factor = 0;
  if (unit.empty() || unit == "B") factor = 1;
  if (unit == "KiB") factor = 1_KiB;
  if (unit == "MiB") factor = 1_MiB;
  if (unit == "GiB") factor = 1024_MiB;
  if (unit == "kB") factor = 1'000;
  if (unit == "MB") factor = 1'000'000;
  if (unit == "GB") factor = 1'000'000'000;
  if (factor == 0) return std::nullopt;
  return Times(*number, factor, kLimit);
}

std::optional<uint32_t> ParsePermille(std::string_view text) {
  std::string_view rest;
  const std::optional<uint64_t> whole = Number(text, &rest);
  if (!whole || *whole > 100) return std::nullopt;
  uint32_t permille = static_cast<uint32_t>(*whole) * 10;
  if (rest.size() == 3 && rest[0] == '.' && rest[1] >= '0' && rest[1] <= '9') {
    permille += static_cast<uint32_t>(rest[1] - '0');
    rest.remove_prefix(2);
  }
  if (rest != "%" || permille > 1000) return std::nullopt;
  return permille;
}

std::optional<Address> ParseAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  Address address;
  std::string_view rest;
  const std::optional<uint64_t> port = Number(text.substr(colon + 1), &rest);
  if (!port || !rest.empty() || *port > std::numeric_limits<uint16_t>::max()) return std::nullopt;
  address.port = static_cast<uint16_t>(*port);

  std::string_view host = text.substr(0, colon);
  unsigned char scratch[sizeof(in6_addr)];
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    address.host = host.substr(1, host.size() - 2);
    if (inet_pton(AF_INET6, address.host.c_str(), scratch) != 1) return std::nullopt;
    return address;
  }

  static const RE2 kName(
      "[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*");
  address.host = host;
  if (host.find_first_not_of("0123456789.") == std::string_view::npos) {
    if (inet_pton(AF_INET, address.host.c_str(), scratch) != 1) return std::nullopt;
  } else if (!RE2::FullMatch(address.host, kName)) {
    return std::nullopt;
  }
  return address;
}

bool IsLoopback(const std::string& host) {
  if (host == "localhost") return true;
  in_addr v4{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24 == 127;
  in6_addr v6{};
  if (inet_pton(AF_INET6, host.c_str(), &v6) != 1) return false;
  return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}

}  // namespace braid::config
