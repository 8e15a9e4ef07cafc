#pragma once

#include <chrono>
#include <iosfwd>
#include <string>

namespace braid::gateway::cli {

struct TraceOptions {
  std::string id;  // 1 to 32 hex digits
  std::string url = "http://127.0.0.1:9464";
  bool json = false;  // the API's answer as it is
  bool attributes = false;
  bool color = false;
  size_t width = 120;
  std::chrono::milliseconds timeout{10'000};
};

// `braid trace`: fetches GET <url>/api/v1/traces/<id> from a running Braid and prints it. Exit codes: 64 if
// the ID is none, 69 if nobody answers, 1 if the trace is not known there or the answer makes no sense.
int ShowTrace(const TraceOptions& options, std::ostream& out, std::ostream& err);

}  // namespace braid::gateway::cli
