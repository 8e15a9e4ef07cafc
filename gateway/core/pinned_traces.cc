#include "gateway/core/pinned_traces.h"

#include <algorithm>

namespace braid::gateway {

PinnedTraces CollectPinnedTraces(const correlate::SeriesOwner& series,
                                 const correlate::MetricIngest& ingested, const Epoch& epoch,
                                 size_t max_per_core) {
  std::vector<correlate::ShownTrace> shown;
  std::vector<uint64_t> merged;
  // In this order: what was merged by then is in the list.
  series.ShownTraces(&shown, &merged);
  ingested.ShownTraces(&shown);

  using correlate::ShownTrace;
  std::vector<std::vector<ShownTrace>> by_core(epoch.shards);
  for (const ShownTrace& one : shown) {
    by_core[ShardOf(epoch, TraceHash(epoch, 0, one.trace_lo))].push_back(one);
  }
  PinnedTraces out;
  out.cores.resize(epoch.shards);
  for (size_t i = 0; i < by_core.size(); ++i) {
    std::vector<ShownTrace>& all = by_core[i];
    PinnedTraces::OfCore& core = out.cores[i];
    core.merged_tick = merged[i];
    // Each trace once, with its newest exemplar.
    std::sort(all.begin(), all.end(), [](const ShownTrace& a, const ShownTrace& b) {
      return a.trace_lo != b.trace_lo ? a.trace_lo < b.trace_lo : a.tick > b.tick;
    });
    all.erase(std::unique(all.begin(), all.end(),
                          [](const ShownTrace& a, const ShownTrace& b) { return a.trace_lo == b.trace_lo; }),
              all.end());
    if (all.size() > max_per_core) {
      std::nth_element(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(max_per_core), all.end(),
                       [](const ShownTrace& a, const ShownTrace& b) {
                         return a.tick != b.tick ? a.tick > b.tick : a.trace_lo < b.trace_lo;
                       });
      core.left_out = all.size() - max_per_core;
      all.resize(max_per_core);
    }
    core.traces.reserve(all.size());
    for (const ShownTrace& one : all) core.traces.push_back(one.trace_lo);
  }
  return out;
}

}  // namespace braid::gateway
