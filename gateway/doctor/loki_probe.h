#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "gateway/doctor/peer.h"
#include "gateway/doctor/report.h"

namespace braid::gateway::doctor {

struct LokiOptions {
  bool write = true;            // try it with a line of our own
  uint64_t now_ns = 0;          // of that line
  std::string trace_id;         // 32 hex digits, fresh
  std::string span_id;          // 16
  int looks = 20;               // for the line, until it is found
  std::function<void()> pause;  // between two looks
};

// Looks at a Loki: whether it takes, keeps and finds structured metadata, in which Braid sends trace and span
// IDs. With `write` it gets one line in stream {service_name="braid-doctor"}.
void ProbeLoki(Peer& loki, const LokiOptions& options, Report* report);

// The same IDs, all skipped: there is no --loki.
void SkipLoki(Report* report);

}  // namespace braid::gateway::doctor
