#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/ledger.h"
#include "correlate/model/chunk.h"
#include "correlate/model/signal.h"
#include "exporters/lanes/sink.h"

namespace boost::asio {
class io_context;
}

namespace braid::exporters {

// The way from one core's shard to one sink: a bounded queue of Chunks for each signal, sent by a Sink.
//
// Account: the shard has moved a Chunk's items to `queued` before Push(); the Lane moves each of them on
// exactly once, to delivered, dead_lettered or dropped{rejected, too_large, encode, queue_full, shutdown}.
//
// Failures: a retryable one pauses its signal (full jitter, doubling from `backoff_min` to `backoff_max`, at
// least what the receiver asked for; one probe at a time until something is taken) and is repeated without
// limit. A request refused for good is bisected until the bad items are alone; those leave. A retry sends the
// same item bytes. Signals do not wait for each other.
//
// Thread rule: the thread of the io_context, including the destructor.
// Lifetime: io_context, ledger entries and dead letter outlive the Lane. Destroy it after Stop() is done:
// what is still queued in the destructor is counted as dropped{shutdown}. Bound: Options::max_bytes of Chunk
// content, or one Chunk larger than that.
class Lane {
 public:
  enum class OnFull : uint8_t {
    kDropOldest,  // the oldest Chunk that is not under way leaves as dropped{queue_full}
    kRefuse,  // full() turns true, so that the governor refuses new data at the door; the oldest leave only
              // if a further `max_bytes` have arrived regardless (what the window still held)
  };

  struct Options {
    size_t max_bytes = size_t{64} << 20;
    OnFull on_full = OnFull::kDropOldest;

    // Requests under way for each signal. Ordered sinks have one, and of Chunk::in_order there is one.
    uint32_t max_in_flight = 4;

    // A Chunk beyond either is sent in parts. A single item is never cut.
    size_t max_request_bytes = size_t{3} << 20;  // gRPC servers take 4 MiB unless told otherwise
    uint32_t max_request_items = 65'536;

    std::chrono::nanoseconds backoff_min = std::chrono::milliseconds(250);
    std::chrono::nanoseconds backoff_max = std::chrono::seconds(30);

    // The longest pause a receiver may ask for.
    std::chrono::nanoseconds retry_after_max = std::chrono::minutes(10);

    // A kFailed request is repeated this often before it is bisected.
    uint32_t failed_attempts = 3;

    // After so many refusals without one success the sink is taken to refuse everything, and what it refuses
    // leaves whole instead of being bisected, until it takes something again.
    uint32_t max_rejections_in_a_row = 1024;

    // Uniform in [0, 1); empty: a generator of the Lane's own.
    std::function<double()> random;

    // Empty: std::chrono::steady_clock.
    std::function<std::chrono::steady_clock::time_point()> now;
  };

  enum class State : uint8_t {
    kIdle,     // nothing queued
    kSending,  // the last request that ended was taken, or none has ended yet
    kBackoff,  // some signal waits after a failure
    kStopping,
    kStopped,
  };
  static std::string_view StateName(State state);

  struct Stats {
    State state = State::kIdle;
    uint64_t queued_bytes = 0;               // including what is under way
    uint64_t max_bytes = 0;                  // Options::max_bytes
    uint64_t queued_items = 0;               // likewise, in units of the account
    uint64_t queued_chunks = 0;              // Chunks, or parts of one
    uint32_t in_flight = 0;                  // requests
    std::chrono::nanoseconds oldest_age{0};  // since Push(), of the oldest still queued or under way
    uint64_t requests = 0;                   // sent
    uint64_t retries = 0;                    // of those, repeated after kRetry or kFailed
    uint64_t bisections = 0;
    uint64_t sent_bytes = 0;            // Chunk bytes of requests that were taken
    uint64_t shed_fields = 0;           // SendResult::shed_fields
    uint32_t consecutive_failures = 0;  // of the signal that fares worst
    std::string last_error;             // of the last request that was not taken; stays after recovery
    std::chrono::nanoseconds last_error_age{0};
  };

  using Ledgers = std::array<LedgerEntry*, kSignals>;

  // A null ledger entry means that the sink does not take that signal. `dead_letter` may be null.
  Lane(boost::asio::io_context& io, const Options& options, std::unique_ptr<Sink> sink,
       const Ledgers& ledgers, DeadLetter* dead_letter = nullptr);
  ~Lane();
  Lane(const Lane&) = delete;
  Lane& operator=(const Lane&) = delete;

  bool Takes(Signal signal) const;

  // Queues all of `chunk`. Sending starts in a later turn of the io_context.
  // REQUIRES: Takes(chunk->signal); its items are counted as queued. After Stop() they are dropped{shutdown}.
  void Push(ChunkPtr chunk);

  // Whether on_full is kRefuse and the queue is at its bound.
  bool full() const;

  // Whether on_full is kRefuse and the queue is at half of its bound: time for senders to slow down.
  bool half_full() const;

  // Goes on sending until everything has left or `deadline`; then drops the rest as dropped{shutdown} and
  // calls `done` once, never from within. May be called again with an earlier deadline; then each `done` is
  // called.
  void Stop(std::chrono::steady_clock::time_point deadline, std::function<void()> done);

  Stats stats() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace braid::exporters
