#include "correlate/model/threshold.h"

#include <cmath>

namespace braid {
namespace {

constexpr size_t kDigits = 14;

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Up to `separator`, which is taken off too.
std::string_view Take(std::string_view* text, char separator) {
  const size_t at = text->find(separator);
  const std::string_view part = text->substr(0, at);
  text->remove_prefix(at == std::string_view::npos ? text->size() : at + 1);
  return part;
}

// Digits are padded with zeros on the right.
bool ReadDigits(std::string_view digits, uint64_t* value) {
  if (digits.empty() || digits.size() > kDigits) return false;
  *value = 0;
  for (const char c : digits) {
    unsigned digit;
    if (c >= '0' && c <= '9') {
      digit = static_cast<unsigned>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<unsigned>(c - 'a' + 10);
    } else {
      return false;
    }
    *value = *value << 4 | digit;
  }
  *value <<= 4 * (kDigits - digits.size());
  return true;
}

}  // namespace

uint64_t ReadThreshold(std::string_view tracestate, bool* malformed) {
  while (!tracestate.empty()) {
    std::string_view member = Trim(Take(&tracestate, ','));
    if (Take(&member, '=') != "ot") continue;
    uint64_t threshold = 0;
    while (!member.empty()) {
      std::string_view value = Take(&member, ';');
      if (Take(&value, ':') != "th") continue;
      if (!ReadDigits(value, &threshold)) {
        *malformed = true;
        threshold = 0;
      }
    }
    return threshold;
  }
  return 0;
}

std::optional<uint64_t> ThresholdOfRatio(double ratio) {
  if (!(ratio > 0 && ratio <= 1)) return std::nullopt;
  // Scaling by a power of two loses nothing, so there is one rounding.
  const double kept = std::nearbyint(std::ldexp(ratio, 56));
  if (kept < 1) return std::nullopt;
  return (uint64_t{1} << 56) - static_cast<uint64_t>(kept);
}

}  // namespace braid
