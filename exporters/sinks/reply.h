#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "exporters/lanes/sink.h"

namespace braid::exporters {

// What a receiver answers is read here, in one place for all sinks, into a SendResult (protocols.md 1.1:
// which codes may be retried). Answers are untrusted: everything is bounded and nothing is assumed to parse.

// No answer is read beyond this.
constexpr size_t kMaxReply = 64 << 10;

// The first 256 bytes of a receiver's text, cut at a whole character, control bytes replaced by spaces.
std::string QuoteReply(std::string_view text);

// `code`, `message` and the serialised google.rpc.Status of `grpc-status-details-bin` (may be empty).
// REQUIRES: code is not kOk.
SendResult ReadGrpcError(std::string_view sink, Code code, std::string_view message,
                         std::string_view details);

// The serialised Export*ServiceResponse of a successful call.
SendResult ReadOtlpResponse(std::string_view sink, std::string_view body);

// An HTTP answer other than 2xx. `text` is what the receiver said about it.
SendResult ReadHttpError(std::string_view sink, int status, std::string_view text,
                         std::optional<std::chrono::nanoseconds> retry_after);

// The parts of a serialised google.rpc.Status that are used.
struct RpcStatus {
  std::string message;
  std::optional<std::chrono::nanoseconds> retry_delay;  // RetryInfo
};
RpcStatus ReadRpcStatus(std::string_view bytes);

}  // namespace braid::exporters
