#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace braid::gateway {

struct DemoOptions {
  std::string endpoint = "127.0.0.1:4317";  // OTLP/gRPC; "http://" before it does not matter
  double rate = 5;                          // requests to the shop per second; > 0

  // Equal seeds make equal traffic (but for the time of day). None: one from the clock, so that trace IDs do
  // not come back when the demo is started again.
  std::optional<uint64_t> seed;

  std::chrono::milliseconds duration{0};          // 0: until interrupted
  std::chrono::milliseconds connect_for{10'000};  // how long to wait for the gateway at the start
  bool json = false;                              // at the end, what really happened, as JSON on stdout
};

// `braid demo`: plays a small made-up shop (gateway/demo/shop.h) to a gateway, in real time. Every ten
// seconds it says what it has sent and names a failed request to look at. While the gateway is away its
// exports are retried, then dropped and counted, as SDKs do. The first SIGINT or SIGTERM closes the shop,
// exports the rest and prints the summary; the second ends it at once.
//
// Returns the exit code: 0, or 1 if the gateway could not be reached at the start or did not accept
// everything.
int RunDemo(const DemoOptions& options);

}  // namespace braid::gateway
