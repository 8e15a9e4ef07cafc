#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/slab.h"
#include "base/status.h"
#include "correlate/model/signal.h"
#include "ingest/decode/decoder.h"
#include "ingest/http/http_server.h"
#include "ingest/http/rpc_status.h"
#include "ingest/journal/sequencer.h"

namespace braid::ingest {

// How a request ended, as its sender was told.
enum class ReceiveOutcome : uint8_t {
  kAccepted,
  kPartial,      // accepted, but some items turned away for good
  kRefused,      // come back later
  kBadData,      // cannot be decoded
  kTooLarge,     // before or after decompression
  kUnsupported,  // unknown method, media type or encoding
  kUnauthorized,
};
inline constexpr int kReceiveOutcomes = 7;

constexpr std::string_view ReceiveOutcomeName(ReceiveOutcome outcome) {
  switch (outcome) {
    case ReceiveOutcome::kAccepted: return "accepted";
    case ReceiveOutcome::kPartial: return "partial";
    case ReceiveOutcome::kRefused: return "refused";
    case ReceiveOutcome::kBadData: return "bad_data";
    case ReceiveOutcome::kTooLarge: return "too_large";
    case ReceiveOutcome::kUnsupported: return "unsupported";
    case ReceiveOutcome::kUnauthorized: return "unauthorized";
  }
  return "";
}

// How a request ended that was answered with `status`.
ReceiveOutcome OutcomeOf(const Status& status);

enum class OtlpTransport : uint8_t { kGrpc, kHttp };
inline constexpr int kOtlpTransports = 2;

constexpr std::string_view ReceiverName(OtlpTransport transport) {
  return transport == OtlpTransport::kGrpc ? "otlp_grpc" : "otlp_http";
}

// OTLP for the three signals, by gRPC and by HTTP (protobuf and JSON), on whatever port it is served: the
// protocol is told by the request, not by the port. Specification: opentelemetry-proto docs/specification.md.
//
//   what happened                         gRPC                               HTTP
//   accepted                              OK                                 200
//   some items bad for good               OK with partial_success            200 with partial_success
//   undecodable                           INVALID_ARGUMENT                   400
//   out of memory, shards behind, drain   UNAVAILABLE + RetryInfo            503 + Retry-After
//   over 64 MiB, also decompressed        RESOURCE_EXHAUSTED                 413
//   unknown method / path                 UNIMPLEMENTED                      404
//   unknown encoding                      UNIMPLEMENTED                      400
//   not POST, other media type            -                                  405 + Allow, 415
// Errors are google.rpc.Status in the request's encoding.
//
// Thread rule: Screen() and Handle() on the cores; stats() anywhere.
// Lifetime: decoders, sequencer and pool outlive it, and it outlives the sequencer's last `done`.
class OtlpReceiver : public Handler {
 public:
  struct Options {
    size_t max_decompressed_bytes = 64u << 20;

    // When to come back after a refusal; up to twice that, at random, so that senders do not return as one.
    std::chrono::milliseconds retry_after{1'000};

    // The tenant of a request, or why it is none (kUnauthenticated, kPermissionDenied). Null: everybody is
    // tenant 0.
    std::function<Result<uint32_t>(const Request&)> authenticate{};
  };

  struct Stats {
    // requests[transport][signal][outcome]
    std::array<std::array<std::array<uint64_t, kReceiveOutcomes>, kSignals>, kOtlpTransports> requests{};

    // Body bytes as sent, and after decompression.
    std::array<std::array<uint64_t, kSignals>, kOtlpTransports> bytes{};
    std::array<std::array<uint64_t, kSignals>, kOtlpTransports> decompressed_bytes{};

    // Requests for no path or method of OTLP.
    uint64_t unknown_path = 0;
  };

  // `decoders[i]` is used on core i only.
  OtlpReceiver(std::vector<Decoder*> decoders, Sequencer& sequencer, SlabPool& pool, Options options);

  std::optional<Response> Screen(Request& head) override;
  void Handle(Request request, Responder responder) override;

  Stats stats() const;

 private:
  struct alignas(64) CoreCounters {
    std::array<std::array<std::array<std::atomic<uint64_t>, kReceiveOutcomes>, kSignals>, kOtlpTransports>
        requests{};
    std::array<std::array<std::atomic<uint64_t>, kSignals>, kOtlpTransports> bytes{};
    std::array<std::array<std::atomic<uint64_t>, kSignals>, kOtlpTransports> decompressed_bytes{};
    std::atomic<uint64_t> unknown_path{0};
    std::atomic<uint64_t> random{0};
  };

  // What remains of a request while it is being sequenced.
  struct Pending;

  Result<Submission> Decode(Request* request, Signal signal, OtlpTransport transport);
  RetryDelay RetryDelayFor(size_t core, const Status& status);
  void CountOutcome(size_t core, OtlpTransport transport, Signal signal, ReceiveOutcome outcome);
  Response Refusal(const Request& head, OtlpTransport transport, Signal signal, const Status& status,
                   int http_status, ReceiveOutcome outcome);

  const std::vector<Decoder*> decoders_;
  Sequencer& sequencer_;
  SlabPool& pool_;
  const Options options_;
  std::vector<CoreCounters> counters_;
};

// The signal that a path names: "/v1/traces" or
// "/opentelemetry.proto.collector.trace.v1.TraceService/Export".
std::optional<Signal> SignalOfPath(std::string_view path, bool grpc);

// Export*ServiceResponse; empty without rejected items.
std::string ExportResponseProto(uint64_t rejected, std::string_view message);
std::string ExportResponseJson(Signal signal, uint64_t rejected, std::string_view message);

}  // namespace braid::ingest
