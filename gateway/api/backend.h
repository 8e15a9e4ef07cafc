#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/ledger.h"
#include "correlate/derive/exemplar_candidates.h"
#include "correlate/derive/metric_ingest.h"
#include "correlate/derive/series_owner.h"
#include "correlate/pipeline/shard.h"
#include "exporters/encode/exposition.h"
#include "gateway/core/core.h"
#include "ingest/decode/filter.h"
#include "ingest/http/http_server.h"
#include "ingest/receivers/otlp_receiver.h"
#include "ingest/receivers/remote_write_receiver.h"

namespace braid::gateway {

// What is pushed to one sink at intervals.
struct PushSnapshot {
  size_t sink = 0;       // index of the account
  bool samples = false;  // by remote write; else OTLP
  std::string protocol;  // of remote write: "1.0" or "2.0", as it goes out now
  uint64_t rounds = 0;
  uint64_t points = 0;      // of the last round
  double last_seconds = 0;  // that the last round took
  uint64_t stale_markers = 0;
  uint64_t exemplars = 0;
  uint64_t exemplars_dropped = 0;
  uint64_t merged = 0;                                          // points that external labels made equal
  std::array<uint64_t, exporters::kExpositionSkips> skipped{};  // points
};

// Everything that is known of the process at about one instant: what /metrics, /api/v1/status and the
// shutdown log are written from. Each core's part is exact; the cores are asked one after the other.
struct GatewaySnapshot {
  std::vector<CoreSnapshot> cores;
  std::vector<std::string> sinks;  // names by index of the account; the first is internal
  std::vector<std::array<bool, kSignals>> sink_takes;
  std::array<IngressEntry, kSignals> ingress;
  std::vector<std::array<LedgerEntry, kSignals>> ledger;  // summed over the cores
  correlate::SeriesOwner::Stats series;
  correlate::MetricIngest::Stats ingested;
  uint64_t unpinned_traces = 0;  // that shown exemplars point to and the store does not have
  std::optional<correlate::ExemplarCandidates::Stats> candidates;  // where exemplars are lent
  std::vector<std::pair<std::string, ingest::HttpStats>> listeners;
  ingest::OtlpReceiver::Stats receiver;
  std::optional<ingest::RemoteWriteReceiver::Stats> remote_write;  // where it listens
  std::vector<ingest::Filter::RuleCount> filters;
  std::vector<PushSnapshot> pushes;
  std::string journal_mode;
  std::string config_sha256;  // of the effective configuration as printed; empty: not known
  size_t memory_budget = 0;
  size_t slab_used = 0;
  size_t slab_idle = 0;
  size_t slab_max = 0;
  int pressure = 0;
  uint64_t tick = 0;
  double uptime_seconds = 0;
};

// Everything one shard knows of a trace: items still held, and the store at the same moment.
struct TraceMaterial {
  correlate::TraceItems open;
  std::vector<ChunkPtr> chunks;
};

// What the API asks of the process.
// Thread rule: any thread; `done` runs once, on the thread that is asked for; of FetchTrace on that of
// queries.
class Backend {
 public:
  // Where work is done that must not keep a core busy. A page of a million series takes seconds, and somebody
  // who asks how the process is doing is to be answered meanwhile.
  enum class Thread : uint8_t {
    kPages,    // behind all that the folds have counted so far; what reads all series belongs there
    kQueries,  // waits for no page, so its numbers of series are those of the last merge
  };

  virtual ~Backend() = default;

  virtual void Snapshot(Thread thread, std::function<void(std::shared_ptr<const GatewaySnapshot>)> done) = 0;
  virtual void FetchTrace(const TraceId& id,
                          std::function<void(std::shared_ptr<const TraceMaterial>)> done) = 0;
  virtual const correlate::SeriesOwner& series() const = 0;
  virtual const correlate::MetricIngest& ingested() const = 0;
  virtual bool ready() const = 0;
  virtual bool draining() const = 0;
};

}  // namespace braid::gateway
