#include "gateway/rules/promql.h"

#include <array>
#include <cstdio>

namespace braid::gateway::rules {
namespace {

// Regular expressions of Prometheus are anchored, and RE2's.
std::string EscapeRegex(std::string_view text) {
  constexpr std::string_view kSpecial = R"(\.+*?()|[]{}^$)";
  std::string out;
  for (const char c : text) {
    if (kSpecial.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string Hex(char c) {
  std::array<char, 5> out{};
  std::snprintf(out.data(), out.size(), "\\x%02x", static_cast<unsigned char>(c));
  return out.data();
}

}  // namespace

size_t InvisibleLength(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  if (text.empty()) return 0;
  if (byte(0) < 0x20 || byte(0) == 0x7f) return 1;
  if (byte(0) == 0xc2 && byte(1) >= 0x80 && byte(1) <= 0x9f) return 2;
  if (byte(0) == 0xe2 && byte(1) == 0x80 && (byte(2) == 0xa8 || byte(2) == 0xa9)) return 3;
  if (byte(0) == 0xef && byte(1) == 0xbb && byte(2) == 0xbf) return 3;
  return 0;
}

std::string QuotePromql(std::string_view text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (const size_t length = InvisibleLength(text.substr(i)); length > 0) {
      for (const char byte : text.substr(i, length)) out += Hex(byte);
      i += length - 1;
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string Matcher(std::string_view label, const std::vector<std::string>& values) {
  if (values.size() == 1) return std::string(label) + '=' + QuotePromql(values.front());
  std::string any;
  for (const std::string& value : values) any += (any.empty() ? "" : "|") + EscapeRegex(value);
  return std::string(label) + "=~" + QuotePromql(any);
}

std::string EscapeTemplate(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 2) == "{{") {
      out += R"({{"{{"}})";
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string Decimal(uint64_t value, unsigned decimals) {
  std::string digits = std::to_string(value);
  if (digits.size() <= decimals) digits.insert(0, decimals + 1 - digits.size(), '0');
  const size_t point = digits.size() - decimals;
  std::string fraction = digits.substr(point);
  fraction.erase(fraction.find_last_not_of('0') + 1);
  return digits.substr(0, point) + (fraction.empty() ? "" : '.' + fraction);
}

}  // namespace braid::gateway::rules
