#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "gateway/otlp_client/otlp_client.h"

namespace braid::gateway {

// How fast recorded requests are sent.
struct ReplayPace {
  // Recorded seconds per second; 0: as fast as the gateway takes them.
  double factor = 0;
};

// In which order records are sent. Equal ones stay as the files have them.
enum class ReplayOrder : uint8_t {
  kFile,        // as recorded, one file after the other
  kTime,        // by event time, all files together
  kLogsFirst,   // all logs, then all spans, then all metrics, each by event time
  kSpansFirst,  // all spans, then all logs, then all metrics, each by event time
  kShuffle,     // by event time plus a random offset of at most `shuffle_window`
};

// "max", "realtime", or a factor: "10x", "0.5x".
Result<ReplayPace> ParsePace(std::string_view text);

struct ReplayOptions {
  std::vector<std::string> files;
  std::string endpoint = "127.0.0.1:4317";  // OTLP/gRPC; "http://" before it does not matter
  ReplayPace pace;
  ReplayOrder order = ReplayOrder::kFile;
  std::chrono::milliseconds shuffle_window{60'000};
  uint64_t seed = 1;  // of the shuffle

  // Requests under way at once. 1 keeps the order exactly.
  int in_flight = 1;

  bool json = false;     // the summary as JSON on stdout
  bool progress = true;  // on stderr, if that is a terminal
};

struct ReplaySummary {
  OtlpClient::Counts counts;
  double seconds = 0;
  Status status;         // OK: everything was sent; otherwise why it ended before
  Status first_failure;  // of a request that was not accepted
  std::string first_rejection;

  // Nothing is missing at the gateway.
  bool complete() const { return status.ok() && counts.accepted == counts.items; }
};

struct ReplayProgress {
  uint64_t bytes_sent = 0;
  uint64_t bytes_total = 0;
  uint64_t items = 0;
  double seconds = 0;
};

// Sends the files' requests in order. Every file's framing is checked before anything is sent. `progress` is
// called about five times a second; `stop` ends it early.
//
// Bound: 48 bytes for each record of all files, and `in_flight` payloads.
ReplaySummary Replay(const ReplayOptions& options, const std::atomic<bool>& stop,
                     const std::function<void(const ReplayProgress&)>& progress);

// `braid replay`: progress on a terminal's stderr, the summary on stdout. SIGINT and SIGTERM stop it.
// Returns the exit code: 0 if the gateway accepted everything, 1 otherwise.
int RunReplay(const ReplayOptions& options);

}  // namespace braid::gateway
