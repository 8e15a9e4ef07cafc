#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/slab.h"
#include "base/status.h"
#include "config/config.h"
#include "correlate/derive/exemplar_candidates.h"
#include "correlate/derive/metric_ingest.h"
#include "correlate/derive/series_owner.h"
#include "correlate/model/batch.h"
#include "exporters/sinks/sink_factory.h"
#include "gateway/api/backend.h"
#include "gateway/core/core.h"
#include "gateway/push/metric_push.h"
#include "ingest/decode/filter.h"
#include "ingest/http/http_server.h"
#include "ingest/journal/sequencer.h"
#include "ingest/receivers/otlp_receiver.h"
#include "ingest/receivers/remote_write_receiver.h"

namespace braid::gateway {

class Api;

// The composition root: makes the parts from the configuration, connects them, starts them in order and stops
// them in reverse.
//
// Threads: `cores` core threads, one background thread (Series owner, arrived metrics, pages), one for
// queries, and the caller of Run(), which ticks the fold's clock, governs memory and waits for signals;
// grpc++ adds its own where an OTLP/gRPC sink exists.
class Gateway : public Backend {
 public:
  // `config_sha256`: a digest of where `config` came from, to be shown.
  explicit Gateway(const config::Config& config, std::string config_sha256 = {});
  ~Gateway() override;

  // Binds the listeners and starts the threads. A Status says which part could not start, and why.
  Status Start();

  // Until SIGTERM or SIGINT (then drains; a second one stops at once) or RequestStop(). Returns the exit
  // code.
  int Run();

  // As a first SIGTERM does. Any thread.
  void RequestStop();

  // Ports actually bound, 0 where not listening.
  uint16_t otlp_grpc_port() const { return grpc_ ? grpc_->port() : 0; }
  uint16_t otlp_http_port() const { return http_ ? http_->port() : 0; }
  uint16_t remote_write_port() const { return remote_write_ ? remote_write_->port() : 0; }
  uint16_t web_port() const { return web_ ? web_->port() : 0; }

  // See InstanceId(). REQUIRES: Start() succeeded.
  std::string instance_id() const;

  void Snapshot(Thread thread, std::function<void(std::shared_ptr<const GatewaySnapshot>)> done) override;
  void FetchTrace(const TraceId& id, std::function<void(std::shared_ptr<const TraceMaterial>)> done) override;
  const correlate::SeriesOwner& series() const override { return *series_; }
  const correlate::MetricIngest& ingested() const override { return *ingested_; }
  bool ready() const override { return ready_.load(std::memory_order_acquire); }
  bool draining() const override { return draining_.load(std::memory_order_acquire); }

 private:
  struct MemoryPlan {
    size_t slab_bytes = 0;
    size_t idle_bytes = 0;
    size_t store_bytes = 0;    // per core
    size_t pending_bytes = 0;  // per core
    size_t window_records = 0;
    size_t graph_spans = 0;  // waiting for their other side, per core
  };
  static MemoryPlan PlanMemory(const config::Config& config, size_t cores);

  Status MakeSinks();
  Status StartListeners();
  void MakePush();
  void PinExemplars();
  void OnControlTick();
  void Govern();
  void OnLoadTimer();
  void OnSignal(int number);
  void Drain();

  const config::Config config_;
  const std::string config_sha256_;
  const std::chrono::steady_clock::time_point started_;
  size_t core_count_ = 1;
  Epoch epoch_;
  MemoryPlan plan_;

  std::unique_ptr<SlabPool> slabs_;
  std::unique_ptr<BatchPool> batches_;
  std::unique_ptr<SlicePool> slices_;
  std::shared_ptr<const ingest::Filter> filter_;
  std::vector<std::unique_ptr<exporters::SinkShared>> sinks_;
  std::shared_ptr<const correlate::DeriveOptions> derive_;
  std::unique_ptr<correlate::SeriesOwner> series_;
  std::unique_ptr<correlate::ExemplarCandidates> candidates_;  // null unless exemplars are lent
  std::unique_ptr<correlate::MetricIngest> ingested_;

  boost::asio::io_context background_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> background_work_;
  std::thread background_thread_;
  boost::asio::io_context queries_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> queries_work_;
  std::thread queries_thread_;

  // Background thread only.
  boost::asio::steady_timer pin_timer_{background_};
  size_t pins_under_way_ = 0;              // cores that have not taken the last list yet
  std::vector<uint64_t> unpinned_traces_;  // by core
  boost::asio::io_context control_{1};

  std::vector<std::unique_ptr<Core>> cores_;
  std::unique_ptr<ingest::MemorySequencer> sequencer_;
  std::vector<std::unique_ptr<ingest::Decoder>> decoders_;  // one per core
  std::unique_ptr<ingest::OtlpReceiver> receiver_;
  std::unique_ptr<ingest::RemoteWriteReceiver> remote_write_receiver_;  // null where not listening
  std::unique_ptr<Api> api_;
  std::unique_ptr<MetricPush> push_;  // null if no sink is pushed to
  std::unique_ptr<ingest::HttpServer> grpc_;
  std::unique_ptr<ingest::HttpServer> http_;
  std::unique_ptr<ingest::HttpServer> remote_write_;
  std::unique_ptr<ingest::HttpServer> web_;

  boost::asio::steady_timer tick_timer_{control_};
  std::chrono::steady_clock::time_point next_tick_;
  boost::asio::steady_timer load_timer_{control_};
  bool congested_ = false;
  std::chrono::steady_clock::time_point congested_since_;
  std::atomic<uint64_t> tick_{0};
  std::atomic<int> pressure_{0};
  bool refusing_for_lane_ = false;
  std::atomic<bool> ready_{false};
  std::atomic<bool> draining_{false};
  std::thread drainer_;
};

}  // namespace braid::gateway
