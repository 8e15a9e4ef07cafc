#pragma once

#include <memory>

#include "base/slab.h"
#include "base/status.h"
#include "correlate/model/signal.h"

namespace braid::ingest {

// OTLP JSON to wire bytes, in one walk over simdjson's On-Demand cursor, guided by the tables of schema.h.
//
// Taken as the OTLP specification says: trace and span IDs in hex of either case, other bytes base64 (both
// alphabets, padding optional), 64-bit integers as strings or numbers, doubles also as "NaN", "Infinity" and
// "-Infinity", null as absent, unknown fields ignored. And, as the Collector does: field names in snake_case,
// enums by name; as protobuf's JSON does: 1.0 and 1e3 (up to 2^53) for integers, numbers in strings for
// doubles. A key that occurs twice means what it would in wire bytes: the last scalar wins, lists are joined,
// objects merged. Everything is validated, what is ignored too: UTF-8, escapes (a lone surrogate is an
// error), numbers, commas, the end. Nesting is bounded as in wire bytes; an ignored value counts its own
// nesting to the same bound.
//
// Faults are kInvalidArgument and say where: "resourceSpans[0].scopeSpans[0].spans[3].traceId: not hex".
//
// Thread rule: one per core thread. The Slab's content is only read.
// Memory: output from the pool (kUnavailable when it refuses); the cursor's index is 4 bytes per token, at
// most 4 per byte of input: kept between calls for documents up to 4 MiB, leased from the pool beyond.
class JsonTranscoder {
 public:
  explicit JsonTranscoder(SlabPool& slabs);
  ~JsonTranscoder();

  Result<Slab> Transcode(Signal signal, const Slab& json, int recursion_limit);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace braid::ingest
