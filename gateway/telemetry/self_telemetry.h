#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ledger.h"
#include "base/mutex.h"
#include "correlate/derive/exemplar_candidates.h"
#include "correlate/derive/metric_ingest.h"
#include "correlate/derive/series_owner.h"
#include "correlate/model/exposition.h"
#include "correlate/model/signal.h"
#include "exporters/encode/exposition.h"
#include "gateway/telemetry/readings.h"

namespace braid::gateway {

// The account of the process at one instant, as D9 wants it shown.
struct Account {
  struct Sink {
    std::string name;
    std::array<bool, kSignals> takes{};
    std::array<LedgerEntry, kSignals> ledger;  // summed over the shards
  };
  std::vector<Sink> sinks;
  std::array<IngressEntry, kSignals> ingress;
  std::array<uint64_t, kSignals> backlog{};  // submitted, not yet accepted by a shard
  std::string journal_mode;                  // Sequencer::mode()
};

// Braid's own health on the metrics page: prometheus-cpp's registry for what is counted as it happens, and
// sources that are read when a page is written.
//
// Thread rule: any thread. Sources are called, one after the other and under no lock of ours, on the thread
// that writes.
class SelfTelemetry {
 public:
  struct Options {
    std::string version;
    std::string compiler;
    uint64_t start_unix_ns = 0;  // of the process
  };

  explicit SelfTelemetry(const Options& options);

  // For counters and histograms that a part bumps itself. Their names begin with braid_.
  prometheus::Registry& registry() { return registry_; }

  // `source` outlives the SelfTelemetry.
  void AddSource(const prometheus::Collectable& source);

  // The process, the build, the registry, every source, `account` and `more`; sorted by name.
  void Write(ExpositionWriter& writer, const Account& account,
             const std::function<void(Readings&)>& more = nullptr) const;

  // What a finished page left out, for the pages after it.
  void CountPage(const exporters::ExpositionStats& stats);

  // Names on our page that do not begin with braid_: to be reserved in MetricIngest::Options::reserved_names.
  static std::vector<std::string> ReservedNames();

 private:
  const Options options_;
  prometheus::Registry registry_;
  mutable Mutex mutex_;
  std::vector<const prometheus::Collectable*> sources_ GUARDED_BY(mutex_);
  uint64_t pages_ GUARDED_BY(mutex_) = 0;
  exporters::ExpositionStats skipped_ GUARDED_BY(mutex_);
};

// Readings of parts that know nothing of prometheus-cpp.
void Read(const Account& account, Readings& readings);
void Read(const correlate::SeriesOwner::Stats& stats, Readings& readings);
void Read(const correlate::MetricIngest::Stats& stats, Readings& readings);
void Read(const correlate::ExemplarCandidates::Stats& stats, Readings& readings);

// Writes what prometheus-cpp collected. Families of one name are put together if their types agree; of those
// that do not agree the first is kept. "_total" comes off counters' names, cumulative buckets are made single
// ones.
void WriteCollected(const std::vector<prometheus::MetricFamily>& families, ExpositionWriter& writer);

}  // namespace braid::gateway
