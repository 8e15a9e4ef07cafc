#include "gateway/push/metric_push.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <utility>

namespace braid::gateway {

using std::chrono::steady_clock;

struct MetricPush::One {
  One(boost::asio::io_context& io, Target t, SlabPool& slabs) : target(std::move(t)), timer(io) {
    if (target.samples) rounds.emplace(*target.samples, slabs);
  }

  const Target target;
  boost::asio::steady_timer timer;
  steady_clock::time_point next;
  std::optional<exporters::SampleRounds> rounds;
  uint64_t last_ns = 0;  // time of the last round

  bool under_way = false;
  std::function<void()> then;  // what waits for the round under way

  PushSnapshot counts;
  size_t index = 0;  // in targets_
};

MetricPush::MetricPush(boost::asio::io_context& io, Options options, std::vector<Target> targets,
                       SlabPool& slabs)
    : io_(io), options_(std::move(options)), slabs_(slabs) {
  {
    MutexLock lock(mutex_);
    published_.resize(targets.size());
  }
  for (Target& target : targets) {
    targets_.push_back(std::make_unique<One>(io_, std::move(target), slabs));
    targets_.back()->index = targets_.size() - 1;
    Publish(*targets_.back());
  }
}

MetricPush::~MetricPush() = default;

void MetricPush::Start() {
  for (const auto& one : targets_) {
    one->next = steady_clock::now();
    Arm(*one);
  }
}

void MetricPush::Arm(One& one) {
  const auto now = steady_clock::now();
  while (one.next <= now) one.next += one.target.interval;
  one.timer.expires_at(one.next);
  one.timer.async_wait([this, &one](const boost::system::error_code& error) {
    if (error || finishing_) return;
    Round(one, [this, &one] {
      if (!finishing_) Arm(one);
    });
  });
}

// Whole milliseconds, which is what samples have, and later than the round before whatever the clock says.
uint64_t MetricPush::Now(One& one) const {
  constexpr uint64_t kMillisecond = 1'000'000;
  one.last_ns = std::max(options_.unix_ns() / kMillisecond * kMillisecond, one.last_ns + kMillisecond);
  return one.last_ns;
}

void MetricPush::Round(One& one, std::function<void()> done) {
  if (one.under_way) {
    one.then = std::move(done);
    return;
  }
  one.under_way = true;
  options_.prepare(one.target.selection, [this, &one, done = std::move(done)](const Produce& produce) {
    Write(one, produce);
    one.under_way = false;
    done();
    // Finish() came while the producers were being prepared: its round is another one.
    if (auto then = std::exchange(one.then, nullptr)) Round(one, std::move(then));
  });
}

void MetricPush::Write(One& one, const Produce& produce) {
  const auto begin = steady_clock::now();
  const uint64_t now_ns = Now(one);
  std::vector<ChunkPtr> chunks;
  if (one.rounds) {
    produce(one.rounds->Begin(static_cast<int64_t>(now_ns / 1'000'000)));
    chunks = one.rounds->End();
    const exporters::SampleRounds::Stats& stats = one.rounds->stats();
    one.counts.points = stats.points;
  } else {
    exporters::OtlpMetricsWriter::Options options = *one.target.otlp;
    options.time_ns = now_ns;
    const auto writer = exporters::OtlpMetricsWriter::New(options, slabs_);
    produce(*writer);
    writer->Finish();
    chunks = writer->Take();
    const exporters::ExpositionStats& stats = writer->stats();
    one.counts.points = stats.series;
    one.counts.exemplars += stats.exemplars;
    one.counts.exemplars_dropped += stats.exemplars_dropped;
    for (size_t i = 0; i < stats.skipped.size(); ++i) one.counts.skipped[i] += stats.skipped[i];
  }
  for (ChunkPtr& chunk : chunks) options_.deliver(one.target.sink, std::move(chunk));
  ++one.counts.rounds;
  one.counts.last_seconds = std::chrono::duration<double>(steady_clock::now() - begin).count();
  Publish(one);
}

void MetricPush::Finish(std::function<void()> done) {
  finishing_ = true;
  auto left = std::make_shared<size_t>(targets_.size() + 1);
  const auto one_less = [left, done = std::move(done)] {
    if (--*left == 0) done();
  };
  for (const auto& target : targets_) {
    One& one = *target;
    one.timer.cancel();
    Round(one, [this, &one, one_less] {
      if (one.rounds) {
        for (ChunkPtr& chunk : one.rounds->EndAll(static_cast<int64_t>(Now(one) / 1'000'000))) {
          options_.deliver(one.target.sink, std::move(chunk));
        }
        Publish(one);
      }
      one_less();
    });
  }
  one_less();
}

void MetricPush::Publish(const One& one) {
  PushSnapshot snapshot = one.counts;
  snapshot.sink = one.target.sink;
  if (one.rounds) {
    const exporters::SampleRounds::Stats& stats = one.rounds->stats();
    snapshot.samples = true;
    snapshot.stale_markers = stats.stale_markers;
    snapshot.exemplars = stats.exemplars;
    snapshot.exemplars_dropped = stats.exemplars_dropped;
    snapshot.merged = stats.merged;
    snapshot.skipped = stats.skipped;
  }
  MutexLock lock(mutex_);
  published_[one.index] = snapshot;
}

std::vector<PushSnapshot> MetricPush::Snapshot() const {
  MutexLock lock(mutex_);
  return published_;
}

}  // namespace braid::gateway
