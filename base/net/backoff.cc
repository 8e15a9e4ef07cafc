#include "base/net/backoff.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace braid::net {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

// All of `text` as a decimal number.
std::optional<uint64_t> Number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::optional<unsigned> Month(std::string_view name) {
  constexpr std::array<std::string_view, 12> kNames = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto at = std::find(kNames.begin(), kNames.end(), name);
  if (at == kNames.end()) return std::nullopt;
  return static_cast<unsigned>(at - kNames.begin()) + 1;
}

std::optional<seconds> TimeOfDay(std::string_view text) {
  if (text.size() != 8 || text[2] != ':' || text[5] != ':') return std::nullopt;
  const auto hour = Number(text.substr(0, 2));
  const auto minute = Number(text.substr(3, 2));
  const auto second = Number(text.substr(6, 2));
  if (!hour || !minute || !second || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  return seconds(*hour * 3600 + *minute * 60 + *second);
}

std::optional<std::chrono::system_clock::time_point> ParseDate(std::string_view text) {
  // "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"
  std::array<std::string_view, 6> parts;
  size_t count = 0;
  while (!text.empty()) {
    const size_t begin = text.find_first_not_of(" ,-");
    if (begin == std::string_view::npos) break;
    text.remove_prefix(begin);
    const size_t end = std::min(text.find_first_of(" ,-"), text.size());
    if (count == parts.size()) return std::nullopt;
    parts[count++] = text.substr(0, end);
    text.remove_prefix(end);
  }

  std::optional<uint64_t> day;
  std::optional<unsigned> month;
  std::optional<uint64_t> year;
  std::optional<seconds> time;
  if (count == 6 && parts[5] == "GMT") {
    day = Number(parts[1]);
    month = Month(parts[2]);
    year = Number(parts[3]);
    time = TimeOfDay(parts[4]);
    // Two digits mean this century, or the last one where that lies far ahead; a Retry-After never does.
    if (year && parts[3].size() == 2) *year += *year >= 70 ? 1900 : 2000;
  } else if (count == 5) {
    month = Month(parts[1]);
    day = Number(parts[2]);
    time = TimeOfDay(parts[3]);
    year = Number(parts[4]);
  }
  if (!day || !month || !year || !time || *day > 31 || *year < 1970 || *year > 2200) return std::nullopt;

  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)),
                                         std::chrono::month(*month),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date) + *time;
}

}  // namespace

nanoseconds FullJitter(nanoseconds min, nanoseconds max, uint32_t attempt, double uniform) {
  const double doubled =
      static_cast<double>(min.count()) * static_cast<double>(uint64_t{1} << std::min(attempt - 1, 40u));
  const double bound = std::min(doubled, static_cast<double>(max.count()));
  return nanoseconds(static_cast<int64_t>(bound * uniform));
}

std::optional<nanoseconds> ParseRetryAfter(std::string_view value,
                                           std::chrono::system_clock::time_point now) {
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  if (const auto count = Number(value)) {
    constexpr uint64_t kMost = static_cast<uint64_t>(std::numeric_limits<int64_t>::max() / 1'000'000'000);
    return seconds(static_cast<int64_t>(std::min(*count, kMost)));
  }
  const auto date = ParseDate(value);
  if (!date) return std::nullopt;
  return std::max(nanoseconds(0), std::chrono::duration_cast<nanoseconds>(*date - now));
}

}  // namespace braid::net
