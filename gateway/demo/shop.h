#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "correlate/model/signal.h"
#include "gateway/demo/story.h"
#include "gateway/demo/truth.h"

namespace braid::gateway::demo {

// A small made-up shop, as a gateway sees it: six services that each export their own spans, logs and
// metrics, the way SDKs do. Spans go out when they end, logs when they happen, both collected for a second
// (or 512 of them); metrics every five. The services' seconds are not the same seconds, so one trace comes in
// several pieces.
//
// Time is an input: equal options make equal exports, byte for byte, however Advance() is called.
//
// Thread rule: one thread.
// Bound: what is under way is `rate` times the length of the longest request (about 5 s).
class Shop {
 public:
  struct Options {
    uint64_t seed = 1;
    double rate = 5;        // requests per second, arriving at random
    uint64_t start_ns = 0;  // the shop opens, ns since 1970
  };

  struct Export {
    Signal signal = Signal::kTraces;
    Service service = Service::kFrontend;
    uint64_t time_ns = 0;
    uint64_t items = 0;
    std::string request;
  };

  Shop(const Options& options, std::function<void(Export)> send);

  // Everything that happens until then. REQUIRES: not before an earlier call's time.
  void Advance(uint64_t now_ns);

  // No more requests; what is under way is exported at once, some of it before it happened. Then nothing
  // remains.
  void Close();

  // Counts requests when they arrive, so it is what was exported once the shop is closed.
  const Truth& truth() const { return truth_; }

  // The latest failed request of which everything has been exported; no ID until there is one.
  TraceId failed_trace() const { return failed_trace_; }

 private:
  using Happening = std::variant<Story::ServiceSpan, Story::ServiceLog>;

  struct ServiceState {
    Attributes resource;
    std::vector<Span> spans;
    std::vector<Log> logs;
    std::array<uint64_t, kSignals> next_export{};
    std::map<std::tuple<std::string, std::string, int>, HistogramPoint> latency;  // method, route, status
  };

  void Arrive(uint64_t now_ns);
  void Happen(Happening happening);
  void Observe(const Story::ServiceSpan& served);
  void Flush(Service service, Signal signal, uint64_t now_ns);
  std::vector<Metric> Collect(Service service);
  void Count(const Story& story);
  ServiceState& At(Service service) { return services_[static_cast<size_t>(service)]; }

  const Options options_;
  const std::function<void(Export)> send_;
  Random random_;
  std::array<ServiceState, kServices> services_;
  uint64_t next_arrival_;
  uint64_t order_ = 0;
  std::map<std::pair<uint64_t, uint64_t>, Happening> under_way_;  // by time, then by creation
  int64_t queue_length_ = 0;
  int64_t placed_ = 0;
  int64_t failed_ = 0;
  std::deque<std::pair<uint64_t, TraceId>> failing_;  // complete at that time
  TraceId failed_trace_;
  Truth truth_;
};

}  // namespace braid::gateway::demo
