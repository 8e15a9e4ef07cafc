#include "gateway/gateway.h"

#include <pthread.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>
#include <future>
#include <random>
#include <utility>

#include "gateway/api/api.h"
#include "gateway/core/pinned_traces.h"
#include "gateway/derive_config.h"
#include "gateway/filter_config.h"
#include "gateway/instance_id.h"
#include "gateway/sink_config.h"
#include "gateway/version.h"

namespace braid::gateway {
namespace {

using std::chrono::steady_clock;

uint32_t Ticks(std::chrono::milliseconds duration) {
  return static_cast<uint32_t>(std::max<int64_t>(duration.count() / static_cast<int64_t>(kTickMs), 1));
}

uint64_t RandomSeed() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

size_t CoreCount(const config::Config& config) {
  if (config.threads.cores != 0) return config.threads.cores;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    return std::max(static_cast<size_t>(CPU_COUNT(&set)), size_t{1});
  return std::max(std::thread::hardware_concurrency(), 1u);
}

// Where slab use (of its limit) raises Pressure, and where the store gives way first.
constexpr double kStoreGivesWay = 0.80;
constexpr std::chrono::milliseconds kLongestAnswerDelay{1'000};
// The core whose lanes get the metrics that are pushed: one, so that the samples of a series stay in order.
constexpr size_t kPushCore = 0;

// How often the stores are told which traces exemplars point to; less often where looking takes long.
constexpr std::chrono::milliseconds kPinInterval{1'000};

// Whether a sink gets what the shards finish; remote write gets only what is pushed.
bool FedByShards(const exporters::SinkShared& sink) {
  return sink.config().type != exporters::SinkConfig::Type::kRemoteWrite;
}

constexpr double kPressureLevels[] = {0.86, 0.93, 0.98};

}  // namespace

Gateway::Gateway(const config::Config& config, std::string config_sha256)
    : config_(config),
      config_sha256_(std::move(config_sha256)),
      started_(steady_clock::now()),
      background_work_(background_.get_executor()),
      queries_work_(queries_.get_executor()) {}

Gateway::~Gateway() {
  const auto now = steady_clock::now();
  for (auto* server : {grpc_.get(), http_.get(), remote_write_.get(), web_.get()}) {
    if (server != nullptr) server->Stop(now + std::chrono::milliseconds(500));
  }
  for (auto& core : cores_) core->Join();
  background_work_.reset();
  background_.stop();
  if (background_thread_.joinable()) background_thread_.join();
  queries_work_.reset();
  queries_.stop();
  if (queries_thread_.joinable()) queries_thread_.join();
  // The servers' connections hold handlers of the cores' loops: they go first.
  web_.reset();
  remote_write_.reset();
  http_.reset();
  grpc_.reset();
  cores_.clear();
}

// How the budget is shared out. Tables a quarter (62 bytes a record); requests, chunks and queues half,
// of which the store and the payload held for verdicts take fixed parts; a sixteenth may lie idle for reuse;
// the rest is the program itself.
Gateway::MemoryPlan Gateway::PlanMemory(const config::Config& config, size_t cores) {
  const size_t budget = config.memory.budget;
  MemoryPlan plan;
  plan.slab_bytes = budget / 2;
  plan.idle_bytes = budget / 16;
  plan.store_bytes = std::min<size_t>(config.store.max_bytes, budget / 4) / cores;
  plan.pending_bytes = budget / 20 * 3 / cores;
  constexpr size_t kRecordBytes = 62;
  // At most an eighth of the budget for spans whose other side has not come: of children, callers and links
  // as many, and their tables grow by doubling.
  constexpr size_t kGraphBytes = 88 + 16 + 72 + 34;
  plan.graph_spans = std::bit_floor(std::clamp<size_t>(budget / 8 / kGraphBytes / cores, 1 << 12, 1 << 22));
  plan.window_records =
      std::bit_floor(std::clamp<size_t>(budget / 4 / kRecordBytes / cores, 1 << 12, 1 << 28));
  return plan;
}

std::string Gateway::instance_id() const {
  return InstanceId(HostName(), {web_port(), otlp_grpc_port(), otlp_http_port(), remote_write_port()});
}

Status Gateway::MakeSinks() {
  for (const config::Sink& sink : config_.sinks) {
    Result<std::unique_ptr<exporters::SinkShared>> made =
        exporters::MakeSink(SinkConfigOf(sink, core_count_), *slabs_);
    if (!made.ok()) return made.status();
    sinks_.push_back(std::move(made).value());
  }
  return {};
}

Status Gateway::Start() {
  core_count_ = CoreCount(config_);
  epoch_.shards = static_cast<uint32_t>(core_count_);
  epoch_.seed = RandomSeed();
  plan_ = PlanMemory(config_, core_count_);
  slabs_ = std::make_unique<SlabPool>(
      SlabPool::Options{.max_bytes = plan_.slab_bytes, .max_idle_bytes = plan_.idle_bytes});
  batches_ = std::make_unique<BatchPool>();
  slices_ = std::make_unique<SlicePool>();

  Result<std::shared_ptr<const ingest::Filter>> filter = FilterOf(config_.filters);
  if (!filter.ok()) return filter.status();
  filter_ = std::move(filter).value();
  if (Status status = MakeSinks(); !status.ok()) return status;
  Result<std::shared_ptr<const correlate::DeriveOptions>> derive = DeriveOptionsOf(config_);
  if (!derive.ok()) return derive.status();
  derive_ = std::move(derive).value();

  correlate::SeriesOwner::Options series;
  series.shards = core_count_;
  series.max_series = config_.metrics.max_series;
  series.seed = epoch_.seed;
  // Rows have to outlive the records of the window, which name them.
  const uint64_t expire_ticks = std::max<uint64_t>(Ticks(config_.metrics.expire_after),
                                                   uint64_t{Ticks(config_.correlate.window)} * 3 / 2);
  series.expire_ticks = expire_ticks;
  series_ = std::make_unique<correlate::SeriesOwner>(series, *derive_);
  series_->Anchor(0, static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                               std::chrono::system_clock::now().time_since_epoch())
                                               .count()));
  correlate::MetricIngest::Options ingested;
  ingested.max_series = config_.metrics.ingested.max_series;
  ingested.stale_ticks = Ticks(config_.metrics.ingested.stale_after);
  ingested.reserved_names = SelfTelemetry::ReservedNames();
  ingested.seed = epoch_.seed;
  if (derive_->lend.enabled) {
    candidates_ = std::make_unique<correlate::ExemplarCandidates>(correlate::ExemplarCandidates::Options{});
    ingested.lend = &derive_->lend;
    ingested.candidates = candidates_.get();
  }
  ingested_ = std::make_unique<correlate::MetricIngest>(ingested);

  Core::Options options;
  options.store_bytes = plan_.store_bytes;
  correlate::Shard::Options& shard = options.shard;
  shard.epoch = epoch_;
  shard.window.capacity = plan_.window_records;
  shard.window.tombstones = std::max<size_t>(plan_.window_records / 8, 1 << 10);
  shard.window.max_age_ticks = Ticks(config_.correlate.window);
  // A shard may see several sampling thresholds of each label set; the owner has the last word.
  shard.series.max_series = config_.metrics.max_series * 2;
  shard.series.expire_ticks = expire_ticks;
  shard.derive = derive_;
  shard.graph.max_waiting = plan_.graph_spans;
  shard.graph.max_callers = plan_.graph_spans;
  shard.graph.exemplars = config_.metrics.exemplars;
  shard.chunks.max_bytes = config_.batch.max_bytes;
  shard.chunk_items = config_.batch.max_items;
  shard.chunk_age_ticks = Ticks(config_.batch.max_age);
  shard.log_hold_ticks = Ticks(config_.correlate.log_hold);
  shard.settle_ticks = Ticks(config_.correlate.settle);
  shard.decision_max_ticks = Ticks(config_.correlate.decision_max);
  shard.max_pending_bytes = plan_.pending_bytes;
  shard.logs_wait_for_verdict = config_.correlate.logs_wait_for == config::Correlate::LogsWaitFor::kVerdict;
  shard.spans_wait = config_.correlate.spans_wait == config::Correlate::SpansWait::kVerdict;
  shard.exemplars = config_.metrics.exemplars;
  for (const auto& sink : sinks_) {
    const bool fed = FedByShards(*sink);
    shard.sink_takes.push_back({fed && sink->takes(Signal::kTraces), fed && sink->takes(Signal::kLogs),
                                fed && sink->takes(Signal::kMetrics)});
  }

  Core::Background background;
  background.series = [this](correlate::SeriesDeltaPtr delta, uint32_t from) {
    boost::asio::post(background_, [this, from, delta = std::move(delta)]() mutable {
      const uint64_t tick = delta->tick;
      if (candidates_) candidates_->Take(*delta);
      series_->Merge(std::move(delta), from);
      ingested_->Advance(tick);
      if (candidates_) candidates_->Advance(tick);
    });
  };
  const bool expose = config_.metrics.ingested.enabled;
  background.metrics = [this, expose](SlicePtr slice) {
    if (!expose) return;
    boost::asio::post(background_,
                      [this, slice = std::move(slice)] { ingested_->Apply(slice->batch, slice->items); });
  };

  std::vector<Inbox*> inboxes;
  std::vector<std::function<void()>> wake;
  for (size_t i = 0; i < core_count_; ++i) {
    shard.shard = static_cast<uint32_t>(i);
    shard.chunks.shard = shard.shard;
    cores_.push_back(std::make_unique<Core>(options, *slabs_, *batches_, background));
    Core* core = cores_.back().get();
    for (size_t sink = 0; sink < sinks_.size(); ++sink) {
      const bool fed = FedByShards(*sinks_[sink]);
      if (fed || i == kPushCore) core->AddLane(sink + 1, *sinks_[sink], fed);
    }
    inboxes.push_back(&core->inbox());
    wake.push_back([core] { core->Wake(); });
  }
  sequencer_ = std::make_unique<ingest::MemorySequencer>(std::move(inboxes), std::move(wake));

  const auto watch = std::make_shared<const WatchList>(derive_->Watch());
  for (size_t i = 0; i < core_count_; ++i) {
    decoders_.push_back(std::make_unique<ingest::Decoder>(
        epoch_, *batches_, *slices_, *slabs_, filter_,
        ingest::Decoder::Options{.watch = watch, .links = config_.metrics.graph.enabled, .votes = true}));
  }
  std::vector<ingest::Decoder*> decoders;
  decoders.reserve(decoders_.size());
  for (const auto& decoder : decoders_) decoders.push_back(decoder.get());
  if (const auto& remote_write = config_.receivers.prometheus.remote_write; remote_write.enabled) {
    ingest::RemoteWriteReceiver::Options receiver;
    receiver.max_decompressed_bytes = remote_write.max_request_bytes;
    receiver.seed = epoch_.seed;
    receiver.now_seconds = [this] {
      return static_cast<uint64_t>(
          std::chrono::duration_cast<std::chrono::seconds>(steady_clock::now() - started_).count());
    };
    remote_write_receiver_ =
        std::make_unique<ingest::RemoteWriteReceiver>(decoders, *sequencer_, *slabs_, std::move(receiver));
  }
  receiver_ = std::make_unique<ingest::OtlpReceiver>(
      std::move(decoders), *sequencer_, *slabs_,
      ingest::OtlpReceiver::Options{
          .max_decompressed_bytes = std::max(config_.receivers.otlp.grpc.max_request_bytes,
                                             config_.receivers.otlp.http.max_request_bytes),
          .authenticate = nullptr});
  api_ = std::make_unique<Api>(*this);
  MakePush();

  unpinned_traces_.resize(core_count_);
  boost::asio::post(background_, [this] { PinExemplars(); });
  background_thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "braid-series");  // (a name has at most 15 characters)
    background_.run();
  });
  queries_thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "braid-queries");
    queries_.run();
  });
  for (size_t i = 0; i < core_count_; ++i) cores_[i]->Start("braid-core-" + std::to_string(i));
  if (Status status = StartListeners(); !status.ok()) return status;
  if (push_) {
    // The ports are known by now.
    boost::asio::post(background_, [this, id = instance_id()] {
      push_->Start({{"service.name", "braid"}, {"service.instance.id", id}});
    });
  }

  spdlog::info(
      "journal.mode is memory: what has been acknowledged and not yet delivered is lost if the process dies");
  ready_.store(true, std::memory_order_release);
  return {};
}

void Gateway::MakePush() {
  std::vector<MetricPush::Target> targets;
  for (size_t i = 0; i < config_.sinks.size(); ++i) {
    const config::Sink& sink = config_.sinks[i];
    MetricPush::Target target;
    target.sink = i + 1;
    if (sink.type == config::Sink::Type::kPrometheusRemoteWrite) {
      const config::RemoteWrite& remote = sink.remote_write;
      target.interval = remote.interval;
      target.selection = {remote.origins.derived, remote.origins.ingested, remote.origins.self};
      exporters::SampleRounds::Options& samples = target.samples.emplace();
      samples.max_bytes = config_.memory.budget / 8;
      samples.native_histograms = remote.native_histograms;
      samples.exemplars = remote.exemplars;
      samples.external_labels = remote.external_labels;
    } else if (sink.derived_metrics.enabled) {
      target.interval = sink.derived_metrics.interval;
      target.selection = {true, false, false};
      exporters::OtlpRounds::Options& otlp = target.otlp.emplace();
      otlp.resource = sink.derived_metrics.resource_attributes;
      otlp.max_bytes = config_.memory.budget / 8;
      otlp.chunk_bytes = config_.batch.max_bytes;
    } else {
      continue;
    }
    targets.push_back(std::move(target));
  }
  if (targets.empty()) return;
  MetricPush::Options options;
  options.prepare = [this](const correlate::Selection& selection,
                           std::function<void(const MetricPush::Produce&)> ready) {
    if (!selection.self) {
      ready([this, selection](ExpositionWriter& writer) { api_->Write(selection, nullptr, writer); });
      return;
    }
    Snapshot(Thread::kPages, [this, selection,
                              ready = std::move(ready)](const std::shared_ptr<const GatewaySnapshot>& s) {
      ready([this, selection, &s](ExpositionWriter& writer) { api_->Write(selection, s.get(), writer); });
    });
  };
  options.deliver = [this](size_t sink, ChunkPtr chunk) {
    Core* core = cores_[kPushCore].get();
    core->Post([core, sink, chunk = std::move(chunk)]() mutable { core->PushOwn(sink, std::move(chunk)); });
  };
  options.unix_ns = [] {
    return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                     std::chrono::system_clock::now().time_since_epoch())
                                     .count());
  };
  push_ = std::make_unique<MetricPush>(background_, std::move(options), std::move(targets), *slabs_);
}

// Tells each store which traces exemplars point to, and learns which of them it does not have. On the
// background thread; at most a tenth of its time.
void Gateway::PinExemplars() {
  const auto began = steady_clock::now();
  if (pins_under_way_ == 0) {
    PinnedTraces pinned =
        CollectPinnedTraces(*series_, *ingested_, epoch_, cores_.front()->store().max_pins());
    for (size_t i = 0; i < cores_.size(); ++i) {
      Core* core = cores_[i].get();
      ++pins_under_way_;
      core->Post([this, core, i, list = std::make_shared<PinnedTraces::OfCore>(std::move(pinned.cores[i]))] {
        core->store().SetPins(list->traces, list->merged_tick);
        boost::asio::post(background_, [this, i, list, chunks = core->store().Snapshot()] {
          --pins_under_way_;
          unpinned_traces_[i] = list->left_out + correlate::CountAbsent(chunks, list->traces);
        });
      });
    }
  }
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - began);
  pin_timer_.expires_after(std::max(kPinInterval, took * 10));
  pin_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) PinExemplars();
  });
}

Status Gateway::StartListeners() {
  std::vector<boost::asio::io_context*> loops;
  loops.reserve(cores_.size());
  for (const auto& core : cores_) loops.push_back(&core->io());
  const auto start = [&](std::unique_ptr<ingest::HttpServer>& server, const config::Listener& listener,
                         uint64_t max_body, const std::vector<std::string>& origins, ingest::Handler& handler,
                         std::string_view name) -> Status {
    if (!listener.enabled) return {};
    ingest::HttpServer::Options options;
    options.address = listener.listen.host;
    options.port = listener.listen.port;
    options.max_body_bytes = max_body;
    options.cors_allowed_origins = origins;
    if (listener.tls) {
      options.tls = ingest::HttpServer::Tls{listener.tls->cert_file, listener.tls->key_file,
                                            listener.tls->client_ca_file};
    }
    server = std::make_unique<ingest::HttpServer>(loops, *slabs_, options, &handler);
    if (Status status = server->Start(); !status.ok()) {
      server.reset();
      return status.Annotate(name);
    }
    spdlog::info("{} listens on {}:{}", name, listener.listen.host, server->port());
    return {};
  };
  const config::OtlpReceiver& otlp = config_.receivers.otlp;
  if (Status s = start(grpc_, otlp.grpc, otlp.grpc.max_request_bytes, {}, *receiver_, "receivers.otlp.grpc");
      !s.ok())
    return s;
  if (Status s = start(http_, otlp.http, otlp.http.max_request_bytes, otlp.http.cors.allowed_origins,
                       *receiver_, "receivers.otlp.http");
      !s.ok()) {
    return s;
  }
  if (const auto& remote_write = config_.receivers.prometheus.remote_write; remote_write.enabled) {
    if (Status s = start(remote_write_, remote_write, remote_write.max_request_bytes, {},
                         *remote_write_receiver_, "receivers.prometheus.remote_write");
        !s.ok()) {
      return s;
    }
  }
  return start(web_, config_.web, 64 << 10, {}, *api_, "web");
}

int Gateway::Run() {
  boost::asio::signal_set signals(control_, SIGTERM, SIGINT);
  std::function<void()> wait = [&] {
    signals.async_wait([&](const boost::system::error_code& error, int number) {
      if (error) return;
      OnSignal(number);
      wait();
    });
  };
  wait();
  next_tick_ = steady_clock::now();
  OnControlTick();
  OnLoadTimer();
  control_.run();
  if (drainer_.joinable()) drainer_.join();
  return 0;
}

void Gateway::RequestStop() {
  boost::asio::post(control_, [this] {
    if (!draining()) OnSignal(SIGTERM);
  });
}

void Gateway::OnControlTick() {
  // Ticks carry the time: one that comes late carries a later number, none are made up for.
  const auto elapsed =
      std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - started_).count();
  const uint64_t tick = static_cast<uint64_t>(elapsed) / kTickMs;
  if (tick > tick_.load(std::memory_order_relaxed)) {
    tick_.store(tick, std::memory_order_relaxed);
    sequencer_->Tick(tick);
    Govern();
  }
  next_tick_ += std::chrono::milliseconds(kTickMs);
  if (next_tick_ < steady_clock::now()) next_tick_ = steady_clock::now() + std::chrono::milliseconds(kTickMs);
  tick_timer_.expires_at(next_tick_);
  tick_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) OnControlTick();
  });
}

// Congestion: answers to senders wait until the lanes have caught up, or for kLongestAnswerDelay. Looked at
// often while it lasts.
void Gateway::OnLoadTimer() {
  const bool congested =
      std::any_of(cores_.begin(), cores_.end(), [](const auto& core) { return core->congested(); });
  const auto now = steady_clock::now();
  if (congested && !congested_) congested_since_ = now;
  if (congested != congested_) sequencer_->SetCongested(congested);
  congested_ = congested;
  const bool all = congested && now - congested_since_ >= kLongestAnswerDelay;
  if (all) congested_since_ = now;
  sequencer_->ReleaseAnswers(all);
  if (congested) {
    for (const auto& core : cores_) {
      Core* c = core.get();
      c->Post([c] { c->CheckLoad(); });
    }
  }
  load_timer_.expires_after(congested ? std::chrono::milliseconds(2) : std::chrono::milliseconds(10));
  load_timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) OnLoadTimer();
  });
}

// Sees physical memory, speaks only through Pressure (and lets the store go first, which the fold knows
// nothing of).
void Gateway::Govern() {
  const double used = static_cast<double>(slabs_->used_bytes()) / static_cast<double>(slabs_->max_bytes());
  if (used >= kStoreGivesWay) {
    for (const auto& core : cores_) {
      Core* c = core.get();
      c->Post([c] { c->store().ShrinkTo(c->store().bytes() / 4 * 3); });
    }
  }
  int level = 0;
  for (const double bound : kPressureLevels) level += used >= bound ? 1 : 0;
  const int before = pressure_.load(std::memory_order_relaxed);
  // Repeated while it lasts: each record makes the shards let go of half of what they hold.
  if (level != before || level >= 2) sequencer_->Pressure(level);
  if (level != before) {
    pressure_.store(level, std::memory_order_relaxed);
    if (level >= 3 || before >= 3) {
      spdlog::warn("memory pressure {} -> {}: {} of {} MiB for requests and chunks in use{}", before, level,
                   slabs_->used_bytes() >> 20, slabs_->max_bytes() >> 20,
                   level >= 3 ? "; refusing new requests" : "");
    }
  }
  const bool full =
      std::any_of(cores_.begin(), cores_.end(), [](const auto& core) { return core->lane_full(); });
  if (full != refusing_for_lane_) {
    refusing_for_lane_ = full;
    sequencer_->Refuse(full ? "a sink's queue is full (on_full: refuse)" : nullptr);
    spdlog::warn(full ? "a sink with on_full: refuse is full; refusing new requests"
                      : "the full sink has room again");
  }
}

void Gateway::OnSignal(int number) {
  if (draining()) {
    spdlog::warn("second {}: stopping at once; what is held or queued is lost",
                 number == SIGINT ? "SIGINT" : "SIGTERM");
    spdlog::default_logger()->flush();
    ::_exit(128 + number);
  }
  draining_.store(true, std::memory_order_release);
  spdlog::info("draining, for at most {} s; a second signal stops at once",
               static_cast<double>(config_.shutdown.drain_deadline.count()) / 1000);
  drainer_ = std::thread([this] { Drain(); });
}

// On a thread of its own, so that the clock goes on and a second signal is heard. Senders finish what they
// began and are told to go; then the fold lets go of all it holds; then the lanes deliver until the deadline.
void Gateway::Drain() {
  const auto deadline = steady_clock::now() + config_.shutdown.drain_deadline;
  const auto listeners = std::min(deadline, steady_clock::now() + config_.shutdown.drain_deadline / 4);
  if (grpc_) grpc_->Stop(listeners);
  if (http_) http_->Stop(listeners);
  if (remote_write_) remote_write_->Stop(listeners);
  sequencer_->ReleaseAnswers(true);
  sequencer_->Drain();
  std::vector<std::future<void>> folded;
  for (const auto& core : cores_) {
    auto done = std::make_shared<std::promise<void>>();
    folded.push_back(done->get_future());
    Core* c = core.get();
    c->Post([c, done] {
      c->FinishFold();
      done->set_value();
    });
  }
  for (std::future<void>& one : folded) one.wait_until(deadline);
  if (push_) {
    // What the folds have counted is on its way to the background thread, ahead of this.
    auto done = std::make_shared<std::promise<void>>();
    std::future<void> pushed = done->get_future();
    boost::asio::post(background_, [this, done] {
      series_->Flush();
      push_->Finish([done] { done->set_value(); });
    });
    pushed.wait_until(deadline);
  }
  std::vector<std::future<void>> stopped;
  for (const auto& core : cores_) {
    auto done = std::make_shared<std::promise<void>>();
    stopped.push_back(done->get_future());
    Core* c = core.get();
    c->Post([c, deadline, done] {
      c->FinishFold();
      c->StopLanes(deadline, [done] { done->set_value(); });
    });
  }
  for (std::future<void>& one : stopped) one.wait_until(deadline + std::chrono::seconds(5));
  auto summary = std::make_shared<std::promise<void>>();
  std::future<void> written = summary->get_future();
  Snapshot(Thread::kQueries, [summary](const std::shared_ptr<const GatewaySnapshot>& s) {
    for (size_t sink = 0; sink < s->sinks.size(); ++sink) {
      for (size_t signal = 0; signal < kSignals; ++signal) {
        const LedgerEntry& entry = s->ledger[sink][signal];
        if (!s->sink_takes[sink][signal] || entry.accepted == 0) continue;
        const uint64_t lost = entry.dropped[static_cast<size_t>(DropReason::kShutdown)];
        const bool settled = entry.Balanced() && entry.held + entry.queued == 0;
        spdlog::log(lost == 0 && settled ? spdlog::level::info : spdlog::level::err,
                    "account of {} {}: accepted {}, delivered {}, dead-lettered {}, dropped {} ({} "
                    "duplicate, {} lost at "
                    "shutdown){}",
                    s->sinks[sink], SignalName(static_cast<Signal>(signal)), entry.accepted, entry.delivered,
                    entry.dead_lettered, entry.dropped_total(),
                    entry.dropped[static_cast<size_t>(DropReason::kDuplicate)], lost,
                    settled ? "" : "; NOT settled");
      }
    }
    summary->set_value();
  });
  written.wait_for(std::chrono::seconds(5));
  boost::asio::post(control_, [this] { control_.stop(); });
}

void Gateway::Snapshot(Thread thread, std::function<void(std::shared_ptr<const GatewaySnapshot>)> done) {
  struct Gathering {
    std::shared_ptr<GatewaySnapshot> snapshot = std::make_shared<GatewaySnapshot>();
    std::atomic<size_t> left{0};
    std::function<void(std::shared_ptr<const GatewaySnapshot>)> done;
  };
  auto gathering = std::make_shared<Gathering>();
  gathering->left = cores_.size();
  gathering->done = std::move(done);
  gathering->snapshot->cores.resize(cores_.size());
  for (size_t i = 0; i < cores_.size(); ++i) {
    Core* core = cores_[i].get();
    core->Post([this, core, i, thread, gathering] {
      gathering->snapshot->cores[i] = core->Snapshot();
      if (gathering->left.fetch_sub(1) != 1) return;
      boost::asio::post(thread == Thread::kPages ? background_ : queries_, [this, gathering] {
        GatewaySnapshot& s = *gathering->snapshot;
        s.sinks.emplace_back("braid");
        s.sink_takes.push_back({true, true, true});
        for (const auto& sink : sinks_) {
          s.sinks.push_back(sink->config().name);
          s.sink_takes.push_back(
              {sink->takes(Signal::kTraces), sink->takes(Signal::kLogs), sink->takes(Signal::kMetrics)});
        }
        s.ledger.resize(s.sinks.size());
        for (const CoreSnapshot& one : s.cores) {
          for (size_t sink = 0; sink < s.ledger.size(); ++sink) {
            for (size_t signal = 0; signal < kSignals; ++signal)
              s.ledger[sink][signal] += one.ledger[sink][signal];
          }
        }
        // After the shards, so that what they accepted has been submitted.
        s.ingress = sequencer_->Account();
        s.series = series_->stats();
        s.ingested = ingested_->stats();
        for (const uint64_t traces : unpinned_traces_) s.unpinned_traces += traces;
        if (candidates_) s.candidates = candidates_->stats();
        if (grpc_) s.listeners.emplace_back("otlp_grpc", grpc_->stats());
        if (http_) s.listeners.emplace_back("otlp_http", http_->stats());
        if (remote_write_) s.listeners.emplace_back("remote_write", remote_write_->stats());
        if (web_) s.listeners.emplace_back("web", web_->stats());
        s.receiver = receiver_->stats();
        if (remote_write_receiver_) s.remote_write = remote_write_receiver_->stats();
        if (filter_) s.filters = filter_->Counts();
        if (push_) s.pushes = push_->Snapshot();
        for (PushSnapshot& push : s.pushes) push.protocol = std::string(sinks_[push.sink - 1]->protocol());
        s.journal_mode = std::string(sequencer_->mode());
        s.memory_budget = config_.memory.budget;
        s.config_sha256 = config_sha256_;
        s.slab_used = slabs_->used_bytes();
        s.slab_idle = slabs_->idle_bytes();
        s.slab_max = slabs_->max_bytes();
        s.pressure = pressure_.load(std::memory_order_relaxed);
        s.tick = tick_.load(std::memory_order_relaxed);
        s.uptime_seconds = std::chrono::duration<double>(steady_clock::now() - started_).count();
        gathering->done(gathering->snapshot);
      });
    });
  }
}

void Gateway::FetchTrace(const TraceId& id, std::function<void(std::shared_ptr<const TraceMaterial>)> done) {
  Core* core = cores_[ShardOf(epoch_, TraceHash(epoch_, 0, id.lo))].get();
  core->Post([this, core, id, done = std::move(done)]() mutable {
    auto material = std::make_shared<TraceMaterial>();
    material->open = core->shard().Collect(id);
    material->chunks = core->store().Snapshot();
    boost::asio::post(queries_, [material = std::move(material), done = std::move(done)] { done(material); });
  });
}

}  // namespace braid::gateway
