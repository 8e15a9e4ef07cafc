#include "correlate/derive/any_value.h"

#include <bit>
#include <charconv>
#include <cstdint>
#include <utility>

#include "base/wire.h"

namespace braid::correlate {
namespace {

// Field numbers of opentelemetry-proto common.proto.
constexpr uint32_t kKey = 1, kAnyValue = 2;
constexpr uint32_t kAnyString = 1, kAnyBool = 2, kAnyInt = 3, kAnyDouble = 4, kAnyArray = 5, kAnyKvlist = 6,
                   kAnyBytes = 7;

template <typename T>
void AppendDigits(std::string* out, T value) {
  char digits[32];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
  out->append(digits, end);
}

void AppendBase64(std::string* out, std::string_view bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const auto at = [&](size_t k) {
      return k < bytes.size() ? static_cast<uint32_t>(static_cast<unsigned char>(bytes[k])) : 0u;
    };
    const uint32_t word = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
    *out += kDigits[word >> 18];
    *out += kDigits[word >> 12 & 63];
    *out += i + 1 < bytes.size() ? kDigits[word >> 6 & 63] : '=';
    *out += i + 2 < bytes.size() ? kDigits[word & 63] : '=';
  }
}

void AppendJsonString(std::string* out, std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  *out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      (*out += '\\') += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      (out->append("\\u00") += kHex[static_cast<size_t>(c) >> 4]) += kHex[static_cast<size_t>(c) & 15];
    } else {
      *out += c;
    }
  }
  *out += '"';
}

// Scalars plainly; arrays and maps as JSON, and strings in them quoted. Nesting is bounded by what decode
// lets through (32 levels).
void Append(std::string* out, std::string_view any, bool json) {
  wire::Field last;
  for (wire::Cursor c(any); c.Next();) last = c.field();  // of a oneof the last member counts
  switch (last.number) {
    case kAnyString:
      if (json) {
        AppendJsonString(out, last.bytes);
      } else {
        out->append(last.bytes);
      }
      return;
    case kAnyBool: out->append(last.scalar != 0 ? "true" : "false"); return;
    case kAnyInt: AppendDigits(out, static_cast<int64_t>(last.scalar)); return;
    case kAnyDouble: AppendDigits(out, std::bit_cast<double>(last.scalar)); return;
    case kAnyBytes:
      if (json) *out += '"';
      AppendBase64(out, last.bytes);
      if (json) *out += '"';
      return;
    case kAnyArray: {
      *out += '[';
      bool first = true;
      for (wire::Cursor c(last.bytes); c.Next();) {
        if (c.field().number != 1) continue;
        if (!std::exchange(first, false)) *out += ',';
        Append(out, c.field().bytes, true);
      }
      *out += ']';
      return;
    }
    case kAnyKvlist: {
      *out += '{';
      bool first = true;
      for (wire::Cursor c(last.bytes); c.Next();) {
        if (c.field().number != 1) continue;
        if (!std::exchange(first, false)) *out += ',';
        std::string_view key, value;
        for (wire::Cursor kv(c.field().bytes); kv.Next();) {
          if (kv.field().number == kKey) key = kv.field().bytes;
          if (kv.field().number == kAnyValue) value = kv.field().bytes;
        }
        AppendJsonString(out, key);
        *out += ':';
        Append(out, value, true);
      }
      *out += '}';
      return;
    }
    default:
      if (json) out->append("null");
      return;
  }
}

}  // namespace

void AppendAnyValue(std::string* out, std::string_view any_value) { Append(out, any_value, false); }

std::optional<double> NumberOfAnyValue(std::string_view any_value) {
  wire::Field last;
  for (wire::Cursor c(any_value); c.Next();) last = c.field();
  switch (last.number) {
    case kAnyInt: return static_cast<double>(static_cast<int64_t>(last.scalar));
    case kAnyDouble: return std::bit_cast<double>(last.scalar);
    case kAnyString: {
      double number = 0;
      if (last.bytes.empty()) return std::nullopt;
      const char* const begin = &last.bytes.front();
      const char* const end = begin + last.bytes.size();
      const auto [at, error] = std::from_chars(begin, end, number);
      if (error != std::errc() || at != end) return std::nullopt;
      return number;
    }
    default: return std::nullopt;
  }
}

std::string_view CutToCharacter(std::string_view text, size_t max) {
  if (text.size() <= max) return text;
  size_t end = max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end);
}

KeyValueView ReadKeyValue(std::string_view message) {
  KeyValueView view;
  for (wire::Cursor c(message); c.Next();) {
    if (c.field().type != wire::Type::kBytes) continue;
    if (c.field().number == kKey) view.key = c.field().bytes;
    if (c.field().number == kAnyValue) view.any_value = c.field().bytes;
  }
  return view;
}

}  // namespace braid::correlate
