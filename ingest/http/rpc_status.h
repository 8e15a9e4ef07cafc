#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "ingest/http/message.h"

// How a Status is told to a sender, in gRPC and in HTTP (OTLP specification, "Failures";
// google/rpc/status.proto, google/rpc/error_details.proto; gRPC's PROTOCOL-HTTP2.md).
namespace braid::ingest {

using RetryDelay = std::optional<std::chrono::milliseconds>;

// kUnavailable and its kin 503 (the sender keeps the data), kResourceExhausted 413 (it can never fit),
// kInvalidArgument 400 ...
int HttpStatusOf(Code code);
std::string_view HttpReason(int status);

// google.rpc.Status; with `retry` it carries a RetryInfo.
std::string RpcStatusProto(const Status& status, RetryDelay retry);
std::string RpcStatusJson(const Status& status, RetryDelay retry);

// The refusal in the form its sender reads. With `retry`, Retry-After (whole seconds, rounded up) or
// RetryInfo tells when to come back. `http_status` replaces the one that the code maps to; gRPC has no use
// for it.
Response ErrorResponse(ReplyFormat format, const Status& status, RetryDelay retry = std::nullopt,
                       int http_status = 0);

// A call that succeeded with `message`.
Response GrpcOk(std::string message);

// grpc-message: everything but printable ASCII, and '%', as %XX.
std::string GrpcPercentEncode(std::string_view text);

// Base64 without padding, as binary headers are sent.
std::string Base64Unpadded(std::string_view bytes);

// grpc-timeout: 1-8 digits and a unit of H M S m u n. Nothing if malformed.
std::optional<std::chrono::nanoseconds> ParseGrpcTimeout(std::string_view text);

// JSON string with its quotes. Bytes that are not UTF-8 are written as U+FFFD.
std::string JsonQuote(std::string_view text);

}  // namespace braid::ingest
