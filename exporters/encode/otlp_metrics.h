#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/slab.h"
#include "correlate/model/chunk.h"
#include "exporters/encode/exposition.h"

namespace braid::exporters {

// Takes metric families as a page does, and makes Chunks of OTLP of them, as of one time: the process' own
// metrics on their way to an OTLP sink. Resource: service.name `service`; scope: the same name.
//
// Counters become cumulative monotonic sums, classic histograms explicit ones, histograms that have native
// buckets exponential ones (whose bucket i is our i + 1), summaries summaries, everything else gauges. Names
// are the families' own, without _total. Start times and exemplars go along, with trace and span IDs in their
// own fields. OTLP counts whole things only: a fractional count of a bucket is rounded, and the whole count
// is the sum of what was rounded, so that every bucket of a growing histogram grows.
//
// A family of many series is cut into several Metrics of one name.
//
// Thread rule: one owner. Lifetime: the SlabPool outlives the Chunks. Bound: Options::max_bytes.
class OtlpMetricsWriter : public PageWriter {
 public:
  struct Options {
    std::string service = "braid";
    uint64_t time_ns = 0;  // of the points

    // Points beyond it are left out, and counted as ExpositionSkip::kPageFull.
    size_t max_bytes = size_t{64} << 20;
    size_t chunk_bytes = size_t{1} << 20;
    size_t metric_bytes = size_t{128} << 10;  // of one Metric: the smallest that a refusal can cost
  };

  static std::unique_ptr<OtlpMetricsWriter> New(const Options& options, SlabPool& slabs);

  // REQUIRES: Finish() was called.
  virtual std::vector<ChunkPtr> Take() = 0;

 protected:
  using PageWriter::PageWriter;
};

}  // namespace braid::exporters
