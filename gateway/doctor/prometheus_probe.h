#pragma once

#include "gateway/doctor/braid_probe.h"
#include "gateway/doctor/peer.h"
#include "gateway/doctor/report.h"

namespace braid::gateway::doctor {

// Looks at a Prometheus, or what speaks its API: whether it scrapes this Braid, has its derived metrics,
// keeps exemplars, and evaluates rules about it. `braid` is asked for the traces of exemplars; null: there is
// none.
void ProbePrometheus(Peer& prometheus, const BraidFacts& facts, Peer* braid, Report* report);

// The same IDs, all skipped: there is no --prometheus.
void SkipPrometheus(Report* report);

}  // namespace braid::gateway::doctor
