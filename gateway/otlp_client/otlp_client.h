#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "correlate/model/signal.h"

namespace braid::gateway {

// Sends serialised Export*ServiceRequests over OTLP/gRPC, in the clear: what `braid demo` and `braid replay`
// share.
//
// It is grpc++ with a generic stub: the bytes pass through unparsed, and reconnecting, flow control and
// deadlines are those of the library that real SDKs use, which a sender that imitates them should have.
//
// Requests leave in the order of Send(). With `in_flight` 1 they also arrive in that order, retries included:
// the next one is not started before the last one is settled.
//
// Thread rule: one thread. It drives the calls too, inside Send(), Poll() and Flush(); there is no other
// thread of ours. Time rule: the system's clock, for deadlines and backoff only. Bound: `in_flight` requests
// and `max_bytes` of them (one larger request is sent alone).
class OtlpClient {
 public:
  struct Options {
    std::string endpoint = "127.0.0.1:4317";  // host:port, with or without "http://" before it

    // More hides the gateway's latency, at the price of order.
    int in_flight = 4;
    size_t max_bytes = 64u << 20;

    std::chrono::milliseconds timeout{10'000};  // of one attempt

    // A request is given up when it was not accepted within this time of its first attempt.
    std::chrono::milliseconds retry_for{30'000};

    // Waits double from `initial_backoff`, with full jitter, unless the answer carries RetryInfo.
    std::chrono::milliseconds initial_backoff{100};
    std::chrono::milliseconds max_backoff{5'000};

    // When set and true, no call waits any longer: what is under way is cancelled and counted as failed.
    // Outlives the client.
    const std::atomic<bool>* stop = nullptr;
  };

  // Requests and items; requests == accepted_requests + failed_requests + those under way, and
  // items == accepted + rejected + failed + those under way.
  struct Counts {
    uint64_t requests = 0;
    uint64_t items = 0;
    uint64_t bytes = 0;
    uint64_t accepted_requests = 0;
    uint64_t accepted = 0;  // items
    uint64_t rejected = 0;  // items that partial_success named, of accepted requests
    uint64_t failed_requests = 0;
    uint64_t failed = 0;             // items of requests that were refused for good or given up
    uint64_t retries = 0;            // attempts beyond the first
    uint64_t given_up_requests = 0;  // of failed_requests: still refused for now when `retry_for` was over
  };

  explicit OtlpClient(Options options);
  ~OtlpClient();
  OtlpClient(const OtlpClient&) = delete;
  OtlpClient& operator=(const OtlpClient&) = delete;

  // Waits until a connection stands. kUnavailable says which endpoint cannot be reached and why.
  Status Connect(std::chrono::milliseconds patience);

  // Starts the request, waiting for room first. `items` is what Counts should count.
  void Send(Signal signal, std::string request, uint64_t items);

  // Whether Send() would start at once.
  bool HasRoom(size_t request_bytes) const;

  // Settles what completes until the time is over (or `stop`).
  void Poll(std::chrono::milliseconds time);

  // Settles everything; false if the time was over before. What then remains is cancelled by the destructor.
  bool Flush(std::chrono::milliseconds patience);

  const Counts& counts() const { return counts_; }

  // The first failure of a request, and the first message of a partial_success; OK and empty if there was
  // none.
  const Status& first_failure() const { return first_failure_; }
  const std::string& first_rejection() const { return first_rejection_; }

 private:
  struct Call;
  struct Transport;

  bool stopped() const {
    return closing_ || (options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed));
  }
  void Start(Call* call);
  bool PumpOnce(std::chrono::steady_clock::time_point until);
  void Settle(Call* call);
  void Fail(Call* call, Status status);
  void Finish(Call* call);
  void CancelAll();

  Options options_;
  std::unique_ptr<Transport> transport_;
  size_t bytes_under_way_ = 0;
  bool closing_ = false;
  uint64_t jitter_ = 0x9e3779b97f4a7c15u;
  Counts counts_;
  Status first_failure_;
  std::string first_rejection_;
};

// What a google.rpc.Status in grpc-status-details-bin asks for by RetryInfo; -1 ms if it has none (or is not
// one).
std::chrono::milliseconds RetryDelayOf(std::string_view status_details);

}  // namespace braid::gateway
