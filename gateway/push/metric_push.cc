#include "gateway/push/metric_push.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <utility>

namespace braid::gateway {

using std::chrono::steady_clock;

struct MetricPush::One {
  One(boost::asio::io_context& io, Target t) : target(std::move(t)), timer(io) {}

  const Target target;
  boost::asio::steady_timer timer;
  steady_clock::time_point next;
  std::unique_ptr<exporters::MetricRounds> rounds;  // from Start() on
  int64_t last_ms = 0;                              // time of the last round
  double last_seconds = 0;                          // that it took

  bool under_way = false;
  std::function<void()> then;  // what waits for the round under way

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
    targets_.push_back(std::make_unique<One>(io_, std::move(target)));
    targets_.back()->index = targets_.size() - 1;
    Publish(*targets_.back());
  }
}

MetricPush::~MetricPush() = default;

void MetricPush::Start(const exporters::OtlpRounds::Attributes& process) {
  for (const auto& one : targets_) {
    if (one->target.samples) {
      one->rounds = std::make_unique<exporters::SampleRounds>(*one->target.samples, slabs_);
    } else {
      exporters::OtlpRounds::Options options = *one->target.otlp;
      const exporters::OtlpRounds::Attributes own = std::exchange(options.resource, process);
      for (const auto& attribute : own) {
        std::erase_if(options.resource, [&](const auto& other) { return other.first == attribute.first; });
        options.resource.push_back(attribute);
      }
      one->rounds = std::make_unique<exporters::OtlpRounds>(std::move(options), slabs_);
    }
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

// Later than the round before whatever the clock says.
int64_t MetricPush::NowMs(One& one) const {
  one.last_ms = std::max(static_cast<int64_t>(options_.unix_ns() / 1'000'000), one.last_ms + 1);
  return one.last_ms;
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
  produce(one.rounds->Begin(NowMs(one)));
  for (ChunkPtr& chunk : one.rounds->End()) options_.deliver(one.target.sink, std::move(chunk));
  one.last_seconds = std::chrono::duration<double>(steady_clock::now() - begin).count();
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
      for (ChunkPtr& chunk : one.rounds->EndAll(NowMs(one)))
        options_.deliver(one.target.sink, std::move(chunk));
      Publish(one);
      one_less();
    });
  }
  one_less();
}

void MetricPush::Publish(const One& one) {
  PushSnapshot snapshot;
  snapshot.sink = one.target.sink;
  snapshot.samples = one.target.samples.has_value();
  snapshot.last_seconds = one.last_seconds;
  if (one.rounds) {
    const exporters::MetricRounds::Stats& stats = one.rounds->stats();
    snapshot.rounds = stats.rounds;
    snapshot.points = stats.points;
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
