#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "gateway/demo/otlp_encode.h"

namespace braid::gateway::demo {

// How long things took: exactly what each bucket of Braid's latency histograms has to count, so that a
// quantile that is shown can be held against the bucket in which it really lies.
//
// Thread rule: none of its own.
class Durations {
 public:
  // In ms, ascending: the bounds of the span metrics' buckets in both dialects, and of the service graph's.
  static constexpr std::array<uint64_t, 31> kBoundsMs = {
      2,    4,    6,    8,    10,   16,   32,   50,   64,   100,  128,  200,   256,   400,   512,  800,
      1000, 1024, 1400, 1600, 2000, 2048, 3200, 4096, 5000, 6400, 8192, 10000, 12800, 15000, 16384};

  void Add(uint64_t ns);

  uint64_t sum_ns() const { return sum_ns_; }

  // By bound, how many took no longer.
  std::array<uint64_t, kBoundsMs.size()> AtMost() const;

 private:
  uint64_t sum_ns_ = 0;
  std::array<uint64_t, kBoundsMs.size()> within_{};  // those above the bound before, and at most this one
};

// What really happened in the shop: what derived metrics, graphs and dashboards must come to.
//
// Thread rule: none of its own.
struct Truth {
  struct Operation {
    uint64_t spans = 0;
    uint64_t errors = 0;
    Durations durations;
  };
  struct Edge {
    uint64_t calls = 0;
    uint64_t failed = 0;  // either side has status ERROR
    Durations client;     // how long it waited; of messages, how long sending took
    Durations server;     // how long it took to answer; of what has no spans, what its client saw
  };
  struct Logs {
    uint64_t records = 0;
    uint64_t with_span = 0;  // with trace and span ID
  };

  uint64_t requests = 0;  // traces
  uint64_t failed_requests = 0;
  uint64_t spans = 0;
  uint64_t logs = 0;
  std::map<std::tuple<std::string, std::string, SpanKind>, Operation> operations;  // service, span name, kind
  std::map<std::tuple<std::string, std::string, std::string>, Edge> edges;         // client, server, type
  std::map<std::pair<std::string, Severity>, Logs> severities;                     // service, severity
  std::map<std::string, uint64_t> counters;                                        // "orders.placed" ...

  // A JSON object, without the braces: the caller has more to say.
  std::string ToJsonMembers() const;
};

}  // namespace braid::gateway::demo
