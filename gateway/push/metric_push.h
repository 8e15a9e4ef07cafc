#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/slab.h"
#include "correlate/derive/series_owner.h"
#include "correlate/model/chunk.h"
#include "correlate/model/exposition.h"
#include "exporters/encode/otlp_metrics.h"
#include "exporters/encode/samples.h"
#include "gateway/api/backend.h"

namespace braid::gateway {

// Takes the process' metrics at intervals, from the producers that /metrics is written from, and hands them
// to sinks: as samples to remote write, as OTLP to OTLP sinks. Each target has rounds of its own. A round is
// taken when its time has come; one that comes late is not made up for.
//
// Thread rule: one thread, that of the io_context, on which the producers run too; construction anywhere.
// Lifetime: io_context, SlabPool and what the functions refer to outlive it; the io_context
// is not run any more when it is destroyed.
class MetricPush {
 public:
  struct Target {
    size_t sink = 0;  // index of the account
    std::chrono::milliseconds interval{15'000};
    correlate::Selection selection{true, true, false};

    // One of the two.
    std::optional<exporters::SampleRounds::Options> samples;
    std::optional<exporters::OtlpRounds::Options> otlp;
  };

  // Writes what /metrics shows to a writer.
  using Produce = std::function<void(ExpositionWriter&)>;

  struct Options {
    // Calls `ready` on this thread, now or later, with what writes the selection as it is then.
    std::function<void(const correlate::Selection&, std::function<void(const Produce&)> ready)> prepare;

    // Queues a Chunk for the sink.
    std::function<void(size_t sink, ChunkPtr)> deliver;

    // The wall clock, in nanoseconds since 1970. A round's time is never before that of the one before.
    std::function<uint64_t()> unix_ns;
  };

  MetricPush(boost::asio::io_context& io, Options options, std::vector<Target> targets, SlabPool& slabs);
  ~MetricPush();
  MetricPush(const MetricPush&) = delete;
  MetricPush& operator=(const MetricPush&) = delete;

  // The first round is one interval away. `process` are attributes of the resource that OTLP targets tell of
  // themselves; a target's own of the same key go before. On the io_context's thread, or before it runs.
  void Start(const exporters::OtlpRounds::Attributes& process);

  // A last round for every target, then a staleness marker for every series; then `done`. No round comes
  // after it.
  void Finish(std::function<void()> done);

  // Without names and protocol, which the sinks know. Any thread: as of the last round that ended.
  std::vector<PushSnapshot> Snapshot() const;

 private:
  struct One;

  void Arm(One& one);
  void Round(One& one, std::function<void()> done);
  void Write(One& one, const Produce& produce);
  int64_t NowMs(One& one) const;
  void Publish(const One& one);

  boost::asio::io_context& io_;
  const Options options_;
  SlabPool& slabs_;
  std::vector<std::unique_ptr<One>> targets_;
  bool finishing_ = false;

  mutable Mutex mutex_;
  std::vector<PushSnapshot> published_ BRAID_GUARDED_BY(mutex_);  // by target
};

}  // namespace braid::gateway
