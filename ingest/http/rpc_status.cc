#include "ingest/http/rpc_status.h"

#include <array>
#include <cstdio>

#include "base/wire.h"

namespace braid::ingest {
namespace {

constexpr std::string_view kRetryInfoType = "type.googleapis.com/google.rpc.RetryInfo";

// Length of the UTF-8 sequence at `at`, 0 if it is none (RFC 3629).
size_t Utf8Length(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return i < text.size() ? static_cast<uint8_t>(text[i]) : uint8_t{0}; };
  const auto tail = [&](size_t i) { return (byte(i) & 0xc0) == 0x80; };
  const uint8_t first = byte(at);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return tail(at + 1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (!tail(at + 1) || !tail(at + 2)) return 0;
    if (first == 0xe0 && byte(at + 1) < 0xa0) return 0;
    if (first == 0xed && byte(at + 1) > 0x9f) return 0;
    return 3;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (!tail(at + 1) || !tail(at + 2) || !tail(at + 3)) return 0;
    if (first == 0xf0 && byte(at + 1) < 0x90) return 0;
    if (first == 0xf4 && byte(at + 1) > 0x8f) return 0;
    return 4;
  }
  return 0;
}

// A proto3 string must be UTF-8, and messages may quote what a sender sent.
std::string ToUtf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t n = Utf8Length(text, i);
    if (n == 0) {
      out += "\xef\xbf\xbd";
      ++i;
    } else {
      out.append(text.substr(i, n));
      i += n;
    }
  }
  return out;
}

void AppendUnescapedVarint(std::string* out, uint64_t value) {
  char buffer[10];
  out->append(buffer, static_cast<size_t>(wire::WriteVarint(value, buffer) - buffer));
}

void AppendBytesField(std::string* out, uint32_t field, std::string_view bytes) {
  AppendUnescapedVarint(out, wire::Tag(field, wire::Type::kBytes));
  AppendUnescapedVarint(out, bytes.size());
  out->append(bytes);
}

void AppendVarintField(std::string* out, uint32_t field, uint64_t value) {
  if (value == 0) return;
  AppendUnescapedVarint(out, wire::Tag(field, wire::Type::kVarint));
  AppendUnescapedVarint(out, value);
}

}  // namespace

int HttpStatusOf(Code code) {
  switch (code) {
    case Code::kOk: return 200;
    case Code::kInvalidArgument: return 400;
    case Code::kFailedPrecondition: return 400;
    case Code::kUnauthenticated: return 401;
    case Code::kPermissionDenied: return 403;
    case Code::kNotFound: return 404;
    case Code::kUnimplemented: return 404;
    case Code::kAlreadyExists: return 409;
    case Code::kResourceExhausted: return 413;
    // What OTLP senders may retry must be one of 429, 502, 503, 504.
    case Code::kCancelled: return 503;
    case Code::kAborted: return 503;
    case Code::kOutOfRange: return 503;
    case Code::kUnavailable: return 503;
    case Code::kDataLoss: return 503;
    case Code::kDeadlineExceeded: return 504;
    case Code::kInternal: return 500;
    case Code::kUnknown: return 500;
  }
  return 500;
}

std::string_view HttpReason(int status) {
  switch (status) {
    case 100: return "Continue";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Status";
  }
}

std::string RpcStatusProto(const Status& status, RetryDelay retry) {
  std::string out;
  AppendVarintField(&out, 1, static_cast<uint64_t>(status.code()));
  if (!status.message().empty()) AppendBytesField(&out, 2, ToUtf8(status.message()));
  if (retry) {
    std::string duration;
    AppendVarintField(&duration, 1, static_cast<uint64_t>(retry->count() / 1000));
    AppendVarintField(&duration, 2, static_cast<uint64_t>(retry->count() % 1000 * 1'000'000));
    std::string info;
    AppendBytesField(&info, 1, duration);
    std::string any;
    AppendBytesField(&any, 1, kRetryInfoType);
    AppendBytesField(&any, 2, info);
    AppendBytesField(&out, 3, any);
  }
  return out;
}

std::string JsonQuote(std::string_view text) {
  std::string out = "\"";
  for (const char c : ToUtf8(text)) {
    const auto byte = static_cast<uint8_t>(c);
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (byte < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", byte);
      out += escape;
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
  return out;
}

std::string RpcStatusJson(const Status& status, RetryDelay retry) {
  std::string out = "{\"code\":" + std::to_string(static_cast<int>(status.code())) +
                    ",\"message\":" + JsonQuote(status.message());
  if (retry) {
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%lld.%03llds", static_cast<long long>(retry->count() / 1000),
                  static_cast<long long>(retry->count() % 1000));
    out += ",\"details\":[{\"@type\":\"" + std::string(kRetryInfoType) + "\",\"retryDelay\":\"" + seconds +
           "\"}]";
  }
  out += "}";
  return out;
}

Response ErrorResponse(ReplyFormat format, const Status& status, RetryDelay retry, int http_status) {
  Response response;
  if (format == ReplyFormat::kGrpc) {
    // Details repeat the status, so they are worth their bytes only when they say more.
    response.grpc.emplace(GrpcTrailer{status, retry ? RpcStatusProto(status, retry) : std::string()});
    response.content_type = "application/grpc";
    return response;
  }
  response.status = http_status != 0 ? http_status : HttpStatusOf(status.code());
  switch (format) {
    case ReplyFormat::kProtobuf:
      response.content_type = "application/x-protobuf";
      response.body = RpcStatusProto(status, retry);
      break;
    case ReplyFormat::kJson:
      response.content_type = "application/json";
      response.body = RpcStatusJson(status, retry);
      break;
    case ReplyFormat::kText:
    case ReplyFormat::kGrpc:
      response.content_type = "text/plain; charset=utf-8";
      response.body = status.message() + "\n";
      break;
  }
  if (retry) response.headers.emplace_back("retry-after", std::to_string((retry->count() + 999) / 1000));
  return response;
}

Response GrpcOk(std::string message) {
  Response response;
  response.content_type = "application/grpc";
  response.body = std::move(message);
  response.grpc.emplace();
  return response;
}

std::string GrpcPercentEncode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= 0x20 && byte <= 0x7e && c != '%') {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
  }
  return out;
}

std::string Base64Unpadded(std::string_view bytes) {
  static constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() * 4 + 2) / 3);
  uint32_t bits = 0;
  int held = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<uint8_t>(c);
    held += 8;
    while (held >= 6) {
      held -= 6;
      out.push_back(kDigits[bits >> held & 63]);
    }
  }
  if (held > 0) out.push_back(kDigits[bits << (6 - held) & 63]);
  return out;
}

std::optional<std::chrono::nanoseconds> ParseGrpcTimeout(std::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  uint64_t amount = 0;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    amount = amount * 10 + static_cast<uint64_t>(c - '0');
  }
  const auto n = static_cast<int64_t>(amount);
  switch (text.back()) {
    case 'H': return std::chrono::hours(n > 1'000'000 ? 1'000'000 : n);  // beyond it, nanoseconds overflow
    case 'M': return std::chrono::minutes(n);
    case 'S': return std::chrono::seconds(n);
    case 'm': return std::chrono::milliseconds(n);
    case 'u': return std::chrono::microseconds(n);
    case 'n': return std::chrono::nanoseconds(n);
    default: return std::nullopt;
  }
}

}  // namespace braid::ingest
