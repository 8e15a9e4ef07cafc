#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "correlate/derive/metric_ingest.h"
#include "correlate/derive/series_owner.h"
#include "correlate/model/epoch.h"

namespace braid::gateway {

// The traces that exemplars on the pages point to, for the store of each core.
struct PinnedTraces {
  struct OfCore {
    std::vector<uint64_t> traces;  // low halves of the IDs, each once
    uint64_t merged_tick = 0;      // see ChunkStore::SetPins()
    uint64_t left_out = 0;         // traces beyond the bound: those whose exemplars are oldest
  };
  std::vector<OfCore> cores;
};

// Looks at every exemplar: some milliseconds for 100,000. Any thread.
// Bound: `max_per_core` traces of each core.
PinnedTraces CollectPinnedTraces(const correlate::SeriesOwner& series,
                                 const correlate::MetricIngest& ingested, const Epoch& epoch,
                                 size_t max_per_core);

}  // namespace braid::gateway
