#include "gateway/push/metric_push.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>

namespace braid::gateway {
namespace {

using namespace std::chrono_literals;
using exporters::SamplePoint;
using testing::SizeIs;

class MetricPushTest : public testing::Test {
 protected:
  struct Got {
    size_t sink;
    int64_t time_ms;
    double value;
    bool stale;
  };

  static MetricPush::Target Samples(size_t sink, std::chrono::milliseconds interval) {
    MetricPush::Target target;
    target.sink = sink;
    target.interval = interval;
    target.samples.emplace();
    return target;
  }

  void Make(std::vector<MetricPush::Target> targets) {
    MetricPush::Options options;
    options.prepare = [this](const correlate::Selection& selection,
                             std::function<void(const MetricPush::Produce&)> ready) {
      asked_.push_back(selection);
      const auto produce = [this](ExpositionWriter& writer) {
        writer.Family({"g", "", "", MetricType::kGauge});
        writer.Gauge({}, ++value_);
      };
      if (hold_) {
        held_.push_back([ready = std::move(ready), produce] { ready(produce); });
      } else {
        ready(produce);
      }
    };
    options.deliver = [this](size_t sink, const ChunkPtr& chunk) { Deliver(sink, *chunk); };
    options.unix_ns = [this] { return now_ns_; };
    push_ = std::make_unique<MetricPush>(io_, std::move(options), std::move(targets), slabs_);
    push_->Start({{"service.name", "braid"}, {"service.instance.id", "host:1"}});
  }

  void Deliver(size_t sink, const Chunk& chunk) {
    if (chunk.content == Chunk::Content::kOtlp) {
      otlp_.push_back(sink);
      otlp_bytes_ = chunk.view();
      return;
    }
    SamplePoint point;
    for (const ChunkItem& item : chunk.items) {
      exporters::ReadSamplePoint(chunk.view().substr(item.offset, item.size), &point);
      for (const SamplePoint::Entry& entry : point.entries) {
        got_.push_back(
            {sink, point.time_ms, entry.value, std::bit_cast<uint64_t>(entry.value) == exporters::kStaleNan});
      }
    }
  }

  template <typename Condition>
  void RunUntil(Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      io_.restart();
      io_.run_one_for(10ms);
    }
  }

  SlabPool slabs_{SlabPool::Options{}};
  boost::asio::io_context io_;
  uint64_t now_ns_ = 1'700'000'000'123'456'789;
  double value_ = 0;
  bool hold_ = false;
  std::vector<std::function<void()>> held_;
  std::vector<correlate::Selection> asked_;
  std::vector<Got> got_;
  std::vector<size_t> otlp_;
  std::string otlp_bytes_;  // of the last one
  std::unique_ptr<MetricPush> push_;
};

// Scenario: two remote write targets and one OTLP target; the wall clock stands still, then goes back.
// Guarantees: each gets rounds of what it selects; times are the clock's in whole milliseconds but always
// rise.
TEST_F(MetricPushTest, RoundsForEachTarget) {
  auto second = Samples(5, 3ms);
  second.selection = {false, false, true};
  MetricPush::Target third;
  third.sink = 7;
  third.interval = 2ms;
  third.otlp.emplace();
  Make({Samples(2, 2ms), second, third});
  RunUntil([&] { return got_.size() >= 8 && otlp_.size() >= 2; });
  now_ns_ -= 5'000'000'000;
  const size_t before = got_.size();
  RunUntil([&] { return got_.size() >= before + 6; });
  std::map<size_t, int64_t> last;
  for (const Got& got : got_) {
    const auto [at, fresh] = last.try_emplace(got.sink, got.time_ms);
    if (fresh) {
      EXPECT_EQ(got.time_ms, 1'700'000'000'123);
    } else {
      EXPECT_EQ(got.time_ms, at->second + 1);
    }
    at->second = got.time_ms;
    EXPECT_FALSE(got.stale);
  }
  EXPECT_EQ(last.size(), 2u);
  EXPECT_THAT(asked_, testing::Contains(testing::Field(&correlate::Selection::self, true)));
  const auto snapshot = push_->Snapshot();
  ASSERT_THAT(snapshot, SizeIs(3));
  EXPECT_EQ(snapshot[0].sink, 2u);
  EXPECT_TRUE(snapshot[0].samples);
  EXPECT_GE(snapshot[0].rounds, 2u);
  EXPECT_EQ(snapshot[0].points, 1u);
  EXPECT_FALSE(snapshot[2].samples);
  EXPECT_EQ(snapshot[2].points, 1u);
}

// Scenario: the end comes between two rounds.
// Guarantees: one more round, then a marker at a later time; no round after it.
TEST_F(MetricPushTest, Finishes) {
  Make({Samples(2, 1h)});
  bool done = false;
  push_->Finish([&] { done = true; });
  RunUntil([&] { return done; });
  ASSERT_THAT(got_, SizeIs(2));
  EXPECT_FALSE(got_[0].stale);
  EXPECT_TRUE(got_[1].stale);
  EXPECT_GT(got_[1].time_ms, got_[0].time_ms);
  io_.restart();
  io_.run_for(20ms);
  EXPECT_THAT(got_, SizeIs(2));
  EXPECT_EQ(push_->Snapshot()[0].stale_markers, 1u);
}

// Scenario: an OTLP target with an attribute of its own and one that the process has too.
// Guarantees: its resource has those of the process and its own, which go before; at the end it is told of
// the end too.
TEST_F(MetricPushTest, OtlpResourceAndEnd) {
  MetricPush::Target target;
  target.sink = 3;
  target.interval = 1h;
  target.otlp.emplace().resource = {{"zone", "eu"}, {"service.name", "edge"}};
  Make({target});
  const auto has = [&](std::string_view text) { return otlp_bytes_.find(text) != std::string::npos; };
  push_->Finish([] {});
  RunUntil([&] { return otlp_.size() == 2; });
  EXPECT_TRUE(has("service.name") && has("edge") && has("service.instance.id") && has("host:1"));
  EXPECT_TRUE(has("zone") && has("eu"));
  EXPECT_EQ(otlp_bytes_.find("service.name"), otlp_bytes_.rfind("service.name"));
  EXPECT_EQ(push_->Snapshot()[0].stale_markers, 1u);
  EXPECT_EQ(push_->Snapshot()[0].rounds, 1u);
}

// Scenario: the end comes while the producers of a round are being prepared.
// Guarantees: that round is finished, then comes a last one and the markers; nothing is lost or out of order.
TEST_F(MetricPushTest, FinishesWhileARoundIsUnderWay) {
  hold_ = true;
  Make({Samples(2, 1ms)});
  RunUntil([&] { return held_.size() == 1; });
  bool done = false;
  push_->Finish([&] { done = true; });
  io_.restart();
  io_.run_for(10ms);
  EXPECT_FALSE(done);
  EXPECT_THAT(held_, SizeIs(1));
  held_[0]();
  ASSERT_THAT(held_, SizeIs(2));
  EXPECT_THAT(got_, SizeIs(1));
  EXPECT_FALSE(done);
  held_[1]();
  EXPECT_TRUE(done);
  ASSERT_THAT(got_, SizeIs(3));
  EXPECT_EQ(got_[1].value, 2);
  EXPECT_TRUE(got_[2].stale);
}

}  // namespace
}  // namespace braid::gateway
