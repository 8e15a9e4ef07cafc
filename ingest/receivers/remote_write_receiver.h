#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/slab.h"
#include "base/status.h"
#include "ingest/decode/decoder.h"
#include "ingest/decode/metric_families.h"
#include "ingest/decode/remote_write.h"
#include "ingest/http/http_server.h"
#include "ingest/http/rpc_status.h"
#include "ingest/journal/sequencer.h"
#include "ingest/receivers/otlp_receiver.h"

namespace braid::ingest {

// Receiver label values.
constexpr std::string_view ReceiverName(RemoteWriteVersion version) {
  return version == RemoteWriteVersion::k1 ? "remote_write_1" : "remote_write_2";
}

// Prometheus remote write, 1.0 and 2.0 (prometheus.io/docs/specs/prw): POST /api/v1/write or /api/v1/push,
// told apart by the Content-Type's `proto` parameter. What arrives is translated into OTLP
// (RemoteWriteTranslator) and goes the way of OTLP metrics from there on.
//
//   what happened                              answer
//   all taken                                  204
//   some series bad for good, the rest taken   400, naming the first of them
//   undecodable                                400
//   out of memory, shards behind, drain        503 + Retry-After
//   over the limit, also decompressed          413
//   another Content-Type or Content-Encoding   415
//   not POST; another path                     405 + Allow; 404
// Errors are plain text. 2.0 is always told X-Prometheus-Remote-Write-{Samples,Histograms,Exemplars}-Written,
// as counted by the sender. As in Prometheus, a request without Content-Type is 1.0, one without
// Content-Encoding is snappy all the same.
//
// Thread rule: Screen() and Handle() on the cores; stats() anywhere.
// Lifetime: decoders, sequencer and pool outlive it, and it outlives the sequencer's last `done`.
class RemoteWriteReceiver : public Handler {
 public:
  struct Options {
    // Of a request decompressed, and again as OTLP.
    size_t max_decompressed_bytes = 64u << 20;

    // When to come back after a refusal; up to twice that, at random, so that senders do not return as one.
    std::chrono::milliseconds retry_after{1'000};

    // The tenant of a request, or why it is none. Null: everybody is tenant 0.
    std::function<Result<uint32_t>(const Request&)> authenticate{};

    // Seconds of a steady clock.
    std::function<uint64_t()> now_seconds;

    MetricFamilies::Options families{};
    uint64_t seed = 0;
  };

  struct Stats {
    // requests[version][outcome]
    std::array<std::array<uint64_t, kReceiveOutcomes>, kRemoteWriteVersions> requests{};
    std::array<uint64_t, kRemoteWriteVersions> bytes{};
    std::array<uint64_t, kRemoteWriteVersions> decompressed_bytes{};
    uint64_t unknown_path = 0;

    // Of accepted requests, as their sender was told.
    uint64_t samples_written = 0, histograms_written = 0, exemplars_written = 0;
    std::array<uint64_t, kSeriesFaults> rejected_samples{};
    std::array<uint64_t, kSeriesFaults> rejected_histograms{};
    std::array<uint64_t, kSeriesFaults> rejected_series{};
    uint64_t exemplars_dropped = 0;
    uint64_t assembled_samples = 0;
    uint64_t loose_samples = 0;
    MetricFamilies::Stats families;
  };

  // `decoders[i]` is used on core i only. REQUIRES: options.now_seconds.
  RemoteWriteReceiver(std::vector<Decoder*> decoders, Sequencer& sequencer, SlabPool& pool, Options options);
  ~RemoteWriteReceiver() override;

  std::optional<Response> Screen(Request& head) override;
  void Handle(Request request, Responder responder) override;

  Stats stats() const;

 private:
  struct alignas(64) CoreCounters {
    std::array<std::array<std::atomic<uint64_t>, kReceiveOutcomes>, kRemoteWriteVersions> requests{};
    std::array<std::atomic<uint64_t>, kRemoteWriteVersions> bytes{};
    std::array<std::atomic<uint64_t>, kRemoteWriteVersions> decompressed_bytes{};
    std::atomic<uint64_t> unknown_path{0};
    std::atomic<uint64_t> samples_written{0}, histograms_written{0}, exemplars_written{0},
        exemplars_dropped{0}, assembled_samples{0}, loose_samples{0};
    std::array<std::atomic<uint64_t>, kSeriesFaults> rejected_samples{}, rejected_histograms{},
        rejected_series{};
    std::atomic<uint64_t> random{0};
  };

  // What remains of a request while it is being sequenced.
  struct Pending;

  Result<RemoteWriteTranslation> Translate(Request* request, RemoteWriteVersion version);
  Response Refusal(size_t core, RemoteWriteVersion version, const Status& status, int http_status,
                   ReceiveOutcome outcome);
  void Finish(Pending& pending, const Status& status);

  const std::vector<Decoder*> decoders_;
  Sequencer& sequencer_;
  SlabPool& pool_;
  const Options options_;
  MetricFamilies families_;
  std::vector<std::unique_ptr<RemoteWriteTranslator>> translators_;  // one per core
  std::vector<CoreCounters> counters_;
};

// The version that a Content-Type header asks for; nothing if neither. Parameters may be quoted, in any case
// and order.
std::optional<RemoteWriteVersion> RemoteWriteVersionOf(std::string_view content_type);

}  // namespace braid::ingest
