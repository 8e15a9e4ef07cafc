#include "exporters/sinks/reply.h"

#include <algorithm>
#include <limits>

#include "base/wire.h"

namespace braid::exporters {
namespace {

using Kind = SendResult::Kind;
using std::chrono::nanoseconds;

constexpr std::string_view kRetryInfo = "/google.rpc.RetryInfo";

nanoseconds ReadDuration(std::string_view bytes) {
  int64_t seconds = 0;
  int64_t nanos = 0;
  for (wire::Cursor c(bytes); c.Next();) {
    if (c.field().type != wire::Type::kVarint) continue;
    if (c.field().number == 1) seconds = static_cast<int64_t>(c.field().scalar);
    if (c.field().number == 2) nanos = static_cast<int32_t>(c.field().scalar);
  }
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / 1'000'000'000 - 2;
  seconds = std::clamp<int64_t>(seconds, 0, kMost);
  nanos = std::clamp<int64_t>(nanos, 0, 999'999'999);
  return std::chrono::seconds(seconds) + nanoseconds(nanos);
}

Kind KindOf(Code code, bool has_retry_info, std::string_view message) {
  switch (code) {
    case Code::kOk: return Kind::kDelivered;
    case Code::kCancelled:
    case Code::kDeadlineExceeded:
    case Code::kAborted:
    case Code::kOutOfRange:
    case Code::kUnavailable:
    case Code::kDataLoss: return Kind::kRetry;
    // Nothing is wrong with the items; they wait until somebody has put the credentials right.
    case Code::kUnauthenticated:
    case Code::kPermissionDenied: return Kind::kRetry;
    case Code::kResourceExhausted:
      if (has_retry_info) return Kind::kRetry;
      // gRPC's own wording in every language. Otherwise it may mean "too large" or "memory is short just
      // now".
      return message.find("larger than max") != std::string_view::npos ? Kind::kTooLarge : Kind::kFailed;
    case Code::kUnimplemented: return Kind::kUnsupported;
    case Code::kInvalidArgument:
    case Code::kNotFound:
    case Code::kAlreadyExists:
    case Code::kFailedPrecondition: return Kind::kRejected;
    case Code::kUnknown:
    case Code::kInternal: return Kind::kFailed;
  }
  return Kind::kFailed;
}

Kind KindOfHttp(int status) {
  switch (status) {
    case 408:
    case 425:
    case 429:
    case 502:
    case 503:
    case 504: return Kind::kRetry;
    case 401:
    case 403:
    case 407: return Kind::kRetry;  // as for UNAUTHENTICATED
    case 413: return Kind::kTooLarge;
    case 404:
    case 405:
    case 406:
    case 410:
    case 415:
    case 501: return Kind::kUnsupported;
    default: break;
  }
  if (status >= 300 && status < 400) return Kind::kUnsupported;  // a POST is not carried elsewhere
  if (status >= 400 && status < 500) return Kind::kRejected;
  return Kind::kFailed;
}

std::string Locate(std::string_view sink, std::string_view what, std::string_view text) {
  std::string message = "sink ";
  message += sink;
  message += ": ";
  message += what;
  if (!text.empty()) {
    message += ": ";
    message += QuoteReply(text);
  }
  return message;
}

}  // namespace

std::string QuoteReply(std::string_view text) {
  constexpr size_t kMost = 256;
  size_t size = std::min(text.size(), kMost);
  if (size < text.size()) {
    while (size > 0 && (static_cast<uint8_t>(text[size]) & 0xc0) == 0x80) --size;
  }
  std::string out(text.substr(0, size));
  for (char& c : out) {
    if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return out;
}

RpcStatus ReadRpcStatus(std::string_view bytes) {
  RpcStatus status;
  for (wire::Cursor c(bytes); c.Next();) {
    if (c.field().type != wire::Type::kBytes) continue;
    if (c.field().number == 2) status.message = c.field().bytes;
    if (c.field().number != 3) continue;
    std::string_view type;
    std::string_view value;
    for (wire::Cursor any(c.field().bytes); any.Next();) {
      if (any.field().type != wire::Type::kBytes) continue;
      if (any.field().number == 1) type = any.field().bytes;
      if (any.field().number == 2) value = any.field().bytes;
    }
    if (!type.ends_with(kRetryInfo)) continue;
    status.retry_delay = nanoseconds(0);
    for (wire::Cursor info(value); info.Next();) {
      if (info.field().number == 1 && info.field().type == wire::Type::kBytes) {
        status.retry_delay = ReadDuration(info.field().bytes);
      }
    }
  }
  return status;
}

SendResult ReadGrpcError(std::string_view sink, Code code, std::string_view message,
                         std::string_view details) {
  const RpcStatus status = ReadRpcStatus(details);
  SendResult result;
  result.kind = KindOf(code, status.retry_delay.has_value(), message);
  result.message = Locate(sink, CodeName(code), message.empty() ? std::string_view(status.message) : message);
  result.retry_after = status.retry_delay;
  return result;
}

SendResult ReadOtlpResponse(std::string_view sink, std::string_view body) {
  SendResult result;
  std::string_view text;
  wire::Cursor response(body);
  while (response.Next()) {
    if (response.field().number != 1 || response.field().type != wire::Type::kBytes) continue;
    for (wire::Cursor partial(response.field().bytes); partial.Next();) {
      if (partial.field().number == 1 && partial.field().type == wire::Type::kVarint) {
        const int64_t rejected = static_cast<int64_t>(partial.field().scalar);
        result.rejected = rejected > 0 ? static_cast<uint64_t>(rejected) : 0;
      }
      if (partial.field().number == 2 && partial.field().type == wire::Type::kBytes)
        text = partial.field().bytes;
    }
  }
  if (!response.ok()) {
    result.message = Locate(sink, "the answer to a request that was taken is not OTLP", "");
  } else if (result.rejected > 0) {
    result.message = Locate(sink, "refused " + std::to_string(result.rejected) + " items", text);
  } else if (!text.empty()) {
    result.message = Locate(sink, "warning", text);
  }
  return result;
}

SendResult ReadHttpError(std::string_view sink, int status, std::string_view text,
                         std::optional<nanoseconds> retry_after) {
  SendResult result;
  result.kind = KindOfHttp(status);
  result.message = Locate(sink, "HTTP " + std::to_string(status), text);
  result.retry_after = retry_after;
  return result;
}

}  // namespace braid::exporters
