#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "gateway/demo/otlp_encode.h"

namespace braid::gateway::demo {

// What really happened in the shop: what derived metrics, graphs and dashboards must come to.
//
// Thread rule: none of its own.
struct Truth {
  struct Operation {
    uint64_t spans = 0;
    uint64_t errors = 0;
    uint64_t duration_ns = 0;
  };
  struct Edge {
    uint64_t calls = 0;
    uint64_t failed = 0;  // either side has status ERROR
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
