#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "correlate/model/epoch.h"
#include "gateway/demo/otlp_encode.h"

namespace braid::gateway::demo {

enum class Service : uint8_t { kFrontend, kCheckout, kCart, kCatalog, kPayment, kShipping };
inline constexpr int kServices = 6;
inline constexpr std::array<std::string_view, kServices> kServiceNames = {"frontend", "checkout", "cart",
                                                                          "catalog",  "payment",  "shipping"};

// Equal seeds give equal numbers, everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() { return Mix64(state_ += 0x9e3779b97f4a7c15u); }
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1p-53; }  // [0, 1)
  bool Chance(double p) { return Uniform() < p; }
  uint64_t Between(uint64_t low, uint64_t high) { return low + Next() % (high - low + 1); }
  double Exponential(double mean);

  // A duration around `ms` milliseconds, in ns, skewed as latencies are.
  uint64_t Around(double ms);

 private:
  uint64_t state_;
};

// Everything one request did in the shop: one trace, its logs, and who called whom.
struct Story {
  struct ServiceSpan {
    Service service = Service::kFrontend;
    Span span;
    // Of HTTP servers, for http.server.request.duration.
    std::string method;
    std::string route;
    int status = 0;
  };
  struct ServiceLog {
    Service service = Service::kFrontend;
    Log log;
  };
  struct Call {
    std::string client;
    std::string server;
    std::string type;  // http, grpc, database, messaging, external
    bool failed = false;
    // In `spans`; what has no spans of its own is seen through its client's.
    int client_span = 0;
    int server_span = 0;
  };

  TraceId trace;
  std::vector<ServiceSpan> spans;  // the root is the first
  std::vector<ServiceLog> logs;
  std::vector<Call> calls;
  uint64_t orders_placed = 0;
  uint64_t orders_failed = 0;

  bool failed() const { return spans.front().span.error; }
};

// Makes up the request that arrives at `start_ns`. About 3 % fail; some are slow; one endpoint asks its
// database once for every row; payments are retried.
Story Tell(Random& random, uint64_t start_ns);

}  // namespace braid::gateway::demo
