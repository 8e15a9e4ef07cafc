#pragma once

#include <string>
#include <vector>

#include "base/ids.h"
#include "gateway/api/backend.h"

namespace braid::gateway {

// The trace with its joined logs, as JSON for GET /api/v1/traces/{id}:
//
//   {"traceId", "state": "open" | "decided", "verdict", "error",
//    "spans": [{"spanId", "parentSpanId", "service", "name", "kind", "status", "statusMessage",
//    "startUnixNano", "durationNano",
//               "attributes", "events", "links", "scope", "resource", "logs": [LOG]}],
//    "logs": [LOG of no span present],
//    "notes": [what a reader should know: spans whose parent was not seen, ...]}
//   LOG = {"timeUnixNano", "severity", "severityText", "body", "attributes", "spanId", "service",
//          "join": {"state": "span" | "trace" | "orphan" | "waiting", "reason"}}
//
// Spans are in order of start, logs in order of time. 64-bit integers of time are strings.
// An empty string if nothing of the trace is there.
//
// Thread rule: any; call it off the shard's thread. Bound: `max_items` items are rendered; a note tells how
// many were left out.
std::string RenderTrace(const TraceId& id, const TraceMaterial& material, size_t max_items);

}  // namespace braid::gateway
