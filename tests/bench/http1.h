#pragma once

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

// HTTP/1.1 messages (RFC 9112) as the load generator and the sink meet them.
namespace braid::bench::http1 {

struct Message {
  std::string_view start_line;
  std::string_view content_type;
  bool gzip = false;
  bool keep_alive = true;
  std::string body;  // transfer coding removed
  size_t size = 0;   // bytes of the whole message
};

enum class Parsed { kIncomplete, kDone, kMalformed };

inline bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

// Views in `message` point into `bytes`.
inline Parsed Parse(std::string_view bytes, Message* message) {
  const size_t end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos)
    return bytes.size() > (64u << 10) ? Parsed::kMalformed : Parsed::kIncomplete;
  std::string_view head = bytes.substr(0, end);
  size_t length = 0;
  bool chunked = false;
  const size_t first = std::min(head.find("\r\n"), head.size());
  message->start_line = head.substr(0, first);
  head.remove_prefix(std::min(first + 2, head.size()));
  while (!head.empty()) {
    const size_t eol = std::min(head.find("\r\n"), head.size());
    const std::string_view line = head.substr(0, eol);
    head.remove_prefix(std::min(eol + 2, head.size()));
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return Parsed::kMalformed;
    const std::string_view name = line.substr(0, colon);
    std::string_view value = line.substr(colon + 1);
    while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
    if (EqualsIgnoringCase(name, "content-length")) {
      if (std::from_chars(value.data(), value.data() + value.size(), length).ec != std::errc())
        return Parsed::kMalformed;
    } else if (EqualsIgnoringCase(name, "transfer-encoding")) {
      chunked = EqualsIgnoringCase(value, "chunked");
    } else if (EqualsIgnoringCase(name, "content-type")) {
      message->content_type = value;
    } else if (EqualsIgnoringCase(name, "content-encoding")) {
      message->gzip = EqualsIgnoringCase(value, "gzip");
    } else if (EqualsIgnoringCase(name, "connection")) {
      message->keep_alive = !EqualsIgnoringCase(value, "close");
    }
  }
  size_t at = end + 4;
  message->body.clear();
  if (!chunked) {
    if (bytes.size() - at < length) return Parsed::kIncomplete;
    message->body = bytes.substr(at, length);
    message->size = at + length;
    return Parsed::kDone;
  }
  while (true) {
    const size_t eol = bytes.find("\r\n", at);
    if (eol == std::string_view::npos) return Parsed::kIncomplete;
    size_t chunk = 0;
    const auto parsed = std::from_chars(bytes.data() + at, bytes.data() + eol, chunk, 16);
    if (parsed.ec != std::errc() || chunk > (1u << 30)) return Parsed::kMalformed;
    at = eol + 2;
    if (bytes.size() - at < chunk + 2) return Parsed::kIncomplete;
    message->body += bytes.substr(at, chunk);
    at += chunk + 2;
    if (chunk == 0) {
      message->size = at;
      return Parsed::kDone;
    }
  }
}

}  // namespace braid::bench::http1
