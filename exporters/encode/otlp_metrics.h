#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/slab.h"
#include "correlate/model/chunk.h"
#include "exporters/encode/metric_rounds.h"

namespace braid::exporters {

// Rounds of OTLP: the process' own metrics on their way to an OTLP sink, as of one time each.
//
// Counters become cumulative monotonic sums, classic histograms explicit ones, histograms that have native
// buckets exponential ones (whose bucket i is our i + 1), summaries summaries, everything else gauges. Names
// are the families' own, without _total. Start times and exemplars go along, with trace and span IDs in their
// own fields. A series that is gone gets one point with the flag NO_RECORDED_VALUE.
//
// OTLP counts whole things only, spans may weigh fractions: WholeCounts says what becomes of the buckets of
// a histogram, with what was sent of it before. Its count is the sum of its buckets; its sum, and counters,
// are doubles and exact.
//
// A family of many series is cut into several Metrics of one name.
//
// Thread rule: one owner. Lifetime: the SlabPool outlives it and its Chunks.
class OtlpRounds final : public MetricRounds {
 public:
  using Attributes = std::vector<std::pair<std::string, std::string>>;

  struct Options {
    Attributes resource = {{"service.name", "braid"}};

    // Points beyond it are left out of a round, and counted as ExpositionSkip::kPageFull.
    size_t max_bytes = size_t{64} << 20;
    size_t chunk_bytes = size_t{1} << 20;
    size_t metric_bytes = size_t{128} << 10;  // of one Metric: the smallest that a refusal can cost
  };

  OtlpRounds(Options options, SlabPool& slabs) : options_(std::move(options)), slabs_(slabs) {}

 private:
  class Writer;

  std::unique_ptr<RoundWriter> NewWriter(int64_t time_ms) override;

  const Options options_;
  SlabPool& slabs_;
};

}  // namespace braid::exporters
