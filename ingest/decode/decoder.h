#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "base/slab.h"
#include "base/status.h"
#include "correlate/model/batch.h"
#include "correlate/model/epoch.h"
#include "correlate/model/signal.h"
#include "correlate/model/watch.h"
#include "ingest/journal/sequencer.h"

namespace braid::ingest {

class Filter;

// Turns the bytes of one Export{Trace,Logs,Metrics}ServiceRequest into a Batch and one Slice per shard.
//
// One pass validates everything and writes the 64-byte Items; nothing is materialised. What passes is
// accepted by generated protobuf as well, so items of different senders can share an outgoing request:
// UTF-8 in every string field, lengths within their message, tags of 1-5 bytes with a field number, lengths
// of 1-5 bytes, varints of 1-10, matched groups, at most Options::recursion_limit nested messages. Unknown
// fields are skipped and kept; a known field of another wire type is an unknown field. The last occurrence of
// a scalar or oneof member wins; an embedded message that occurs twice is merged.
//
// What a fault costs:
//   the request (kInvalidArgument)  anything that breaks the framing
//   a resource or scope, with all its items   a string in it that is not UTF-8; nesting too deep
//   one item   the same inside it; for spans also a missing, misshapen or zero trace_id or span_id, or a
//              parent_span_id of neither 0 nor 8 bytes
// Items turned away are counted in Submission::rejected, the first with its place in first_error. A log whose
// IDs are malformed is kept without context and flagged (item_flags::kBadId). A Metric counts as its data
// points and is accepted or turned away whole; one without points is forwarded and counts as 0.
//
// Groups and resources without an accepted item leave no trace in the Batch's tables.
//
// Thread rule: one Decoder per core thread. Lifetime: the pools outlive it and every Submission.
// Bound: Item::offset is 32 bits and protobuf's own bound is 2 GiB; larger bodies are refused. The tables
// hold at most Batch::kMaxGroups groups; items of further ones are rejected (kTooManyScopes). Allocation:
// none per item once the pools are warm; one small vector per request.
class Decoder {
 public:
  // Which build of the visitor to run. Both give identical results.
  enum class Isa { kBest, kBaseline };

  struct Options {
    // Nested messages and groups below the request, as protobuf counts them. More than protobuf's own
    // default of 100 would let through what every receiver refuses. Range 8-100.
    int recursion_limit = 100;

    // kBaseline keeps to plain x86-64 even where AVX2 is there: for tests and for comparing.
    Isa isa = Isa::kBest;

    // What takes part in Item::series besides service, name, kind and status; null: nothing.
    std::shared_ptr<const WatchList> watch = nullptr;

    // Whether the links of server and consumer spans are cut out, into Slice::links of the shards they point
    // to.
    bool links = false;

    // Whether the traces that exemplars of metrics point to are cut out, into Slice::votes of their shards.
    bool votes = false;
  };

  // `filter` may be null.
  Decoder(const Epoch& epoch, BatchPool& batches, SlicePool& slices, SlabPool& slabs,
          std::shared_ptr<const Filter> filter);
  Decoder(const Epoch& epoch, BatchPool& batches, SlicePool& slices, SlabPool& slabs,
          std::shared_ptr<const Filter> filter, const Options& options);
  ~Decoder();
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  // `body` becomes the Batch's body (or, if a filter rule matched, a rewritten copy does). On success
  // slices.size() == epoch.shards, null where a shard gets nothing; an empty request has no slice.
  // kUnavailable: the filter found no memory for its copy. kInvalidArgument: see above.
  Result<Submission> Decode(Signal signal, Slab body, uint32_t tenant);

  // OTLP JSON (opentelemetry-proto docs/specification.md, "JSON Protobuf Encoding") to the bytes Decode()
  // takes. Faults are located by JSON path. kUnavailable: no memory. See json.h for what is tolerated.
  Result<Slab> TranscodeJson(Signal signal, const Slab& json);

  // From the next Decode() on.
  void SetEpoch(const Epoch& epoch);

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

// Item::series of a span of which nothing else is watched: the series it counts in.
uint64_t SpanSeries(const Epoch& epoch, std::string_view service, std::string_view name, int kind, int status,
                    uint64_t threshold = 0);

}  // namespace braid::ingest
