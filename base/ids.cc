#include "base/ids.h"

namespace braid {
namespace {

constexpr char kDigits[] = "0123456789abcdef";

void WriteWord(uint64_t word, char* out) {
  for (int i = 15; i >= 0; --i) {
    out[i] = kDigits[word & 15];
    word >>= 4;
  }
}

std::optional<uint64_t> ParseWord(std::string_view hex) {
  uint64_t word = 0;
  for (const char c : hex) {
    unsigned digit;
    if (c >= '0' && c <= '9') {
      digit = static_cast<unsigned>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<unsigned>(c - 'a') + 10;
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<unsigned>(c - 'A') + 10;
    } else {
      return std::nullopt;
    }
    word = word << 4 | digit;
  }
  return word;
}

}  // namespace

void WriteHex(const TraceId& id, char* out) {
  WriteWord(id.hi, out);
  WriteWord(id.lo, out + 16);
}

void WriteHex(uint64_t span_id, char* out) { WriteWord(span_id, out); }

std::string ToHex(const TraceId& id) {
  std::string out(32, '0');
  WriteHex(id, out.data());
  return out;
}

std::string ToHex(uint64_t span_id) {
  std::string out(16, '0');
  WriteHex(span_id, out.data());
  return out;
}

std::optional<TraceId> ParseTraceId(std::string_view hex) {
  if (hex.empty() || hex.size() > 32) return std::nullopt;
  const size_t low_digits = hex.size() > 16 ? 16 : hex.size();
  const auto hi = ParseWord(hex.substr(0, hex.size() - low_digits));
  const auto lo = ParseWord(hex.substr(hex.size() - low_digits));
  if (!hi || !lo || (*hi | *lo) == 0) return std::nullopt;
  return TraceId{*hi, *lo};
}

std::optional<uint64_t> ParseSpanId(std::string_view hex) {
  if (hex.empty() || hex.size() > 16) return std::nullopt;
  const auto word = ParseWord(hex);
  if (!word || *word == 0) return std::nullopt;
  return word;
}

}  // namespace braid
