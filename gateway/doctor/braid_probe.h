#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gateway/doctor/page.h"
#include "gateway/doctor/peer.h"
#include "gateway/doctor/report.h"

namespace braid::gateway::doctor {

// What the other probes need to know of the Braid that they are about.
struct BraidFacts {
  struct Sink {
    std::string name;
    bool traces = false;
    bool logs = false;
    double failures = 0;  // in a row, of the worst of its lanes
    std::string last_error;
  };

  bool asked = false;     // there was a --url
  bool answered = false;  // and somebody there
  std::string url;
  std::string version;
  bool has_status = false;  // sinks and horizon are known
  std::vector<Sink> sinks;
  double store_horizon_seconds = 0;

  bool has_page = false;  // what follows is known
  Page page;
  bool whole_page = false;  // nothing was cut off: page.samples is how many there are
  bool tempo = false;       // the page has span metrics under the names of this dialect
  bool otel = false;
  bool native_only = false;         // its latency histograms have no classic buckets
  std::vector<std::string> traces;  // of exemplars on the page, oldest first, each once

  double start_seconds()
      const;  // process_start_time_seconds, which tells one Braid from another; 0: not known
};

// Looks at Braid itself: ready, account, spans, derived metrics, exemplars, memory, sinks.
BraidFacts ProbeBraid(Peer& braid, Report* report);

// The same IDs, all skipped: there is no --url.
void SkipBraid(Report* report);

// Whether Braid can show this trace. Errors: it does not answer, or strangely.
Result<bool> HasTrace(Peer& braid, const std::string& trace_id);

// The sinks of Braid that take traces (or logs), as a text: "tempo, backup"; empty if there is none.
std::string SinkNames(const BraidFacts& facts, bool BraidFacts::Sink::* takes);

}  // namespace braid::gateway::doctor
