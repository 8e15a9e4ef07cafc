#pragma once

#include "gateway/doctor/braid_probe.h"
#include "gateway/doctor/peer.h"
#include "gateway/doctor/report.h"

namespace braid::gateway::doctor {

// Looks at a Tempo, or a Jaeger query service: whether it answers, and has the traces that Braid's exemplars
// name.
void ProbeTempo(Peer& tempo, const BraidFacts& facts, Report* report);
void ProbeJaeger(Peer& jaeger, const BraidFacts& facts, Report* report);

// The same IDs, all skipped: there is no --tempo, --jaeger.
void SkipTempo(Report* report);
void SkipJaeger(Report* report);

}  // namespace braid::gateway::doctor
