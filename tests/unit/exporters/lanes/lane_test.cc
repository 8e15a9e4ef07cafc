#include "exporters/lanes/lane.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <set>

#include "tests/unit/exporters/chunk_builder.h"

namespace braid::exporters {
namespace {

using namespace std::chrono_literals;
using test::ItemNames;
using test::LogChunk;
using test::SpanChunk;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using Kind = SendResult::Kind;

// A sink whose answers a test decides, at once by `answer` or later by hand.
class FakeSink final : public Sink {
 public:
  struct Script {
    // The answer to a request; nothing: the request stays open until Answer().
    std::function<std::optional<SendResult>(const Piece&)> answer;
    bool ordered = false;
    std::vector<Piece> sent;
    std::deque<std::pair<Piece, Done>> open;
    size_t most_open = 0;
    int cancelled = 0;
    std::map<uint64_t, int> expected;  // Chunk id to Expect() minus Forget()
    std::vector<std::string> taken;    // names of delivered items, in order
  };

  FakeSink(boost::asio::io_context& io, Script& script) : io_(io), script_(script) {}

  bool ordered() const override { return script_.ordered; }
  void Expect(const Chunk& chunk) override { ++script_.expected[chunk.id]; }
  void Forget(const Chunk& chunk) override { --script_.expected[chunk.id]; }

  void Send(Piece piece, Done done) override {
    script_.sent.push_back(piece);
    script_.most_open = std::max(script_.most_open, script_.open.size() + 1);
    if (script_.answer) {
      if (auto result = script_.answer(piece)) {
        Note(piece, *result);
        boost::asio::post(io_, [done = std::move(done), result = std::move(*result)] { done(result); });
        return;
      }
    }
    script_.open.emplace_back(std::move(piece), std::move(done));
  }

  void CancelAll() override { ++script_.cancelled; }

 private:
  void Note(const Piece& piece, const SendResult& result) {
    if (result.kind != Kind::kDelivered) return;
    for (auto& name : ItemNames(*piece.chunk, piece.first, piece.count))
      script_.taken.push_back(std::move(name));
  }

  boost::asio::io_context& io_;
  Script& script_;
};

SendResult Result(Kind kind, std::string message = "no") {
  SendResult result;
  result.kind = kind;
  result.message = std::move(message);
  return result;
}

class FakeDeadLetter final : public DeadLetter {
 public:
  Status Write(const Piece& piece, std::string_view reason) override {
    if (broken) return Unavailable("disk full");
    for (auto& name : ItemNames(*piece.chunk, piece.first, piece.count)) items.push_back(std::move(name));
    reasons.emplace_back(reason);
    return {};
  }

  bool broken = false;
  std::vector<std::string> items;
  std::vector<std::string> reasons;
};

class LaneTest : public testing::Test {
 protected:
  LaneTest() {
    options_.backoff_min = 1ms;
    options_.backoff_max = 4ms;
    options_.random = [] { return 0.5; };
  }
  ~LaneTest() override { EXPECT_TRUE(Balanced()); }

  void Start(DeadLetter* dead_letter = nullptr) {
    lane_ = std::make_unique<Lane>(io_, options_, std::make_unique<FakeSink>(io_, script_),
                                   Lane::Ledgers{&ledgers_[0], &ledgers_[1], &ledgers_[2]}, dead_letter);
  }

  // As the shard does it: the account first.
  void Push(ChunkPtr chunk) {
    LedgerEntry& entry = ledgers_[static_cast<size_t>(chunk->signal)];
    entry.Accept(chunk->count);
    entry.Queue(chunk->count);
    lane_->Push(std::move(chunk));
    EXPECT_TRUE(Balanced());
  }

  void Answer(SendResult result) {
    ASSERT_FALSE(script_.open.empty());
    auto [piece, done] = std::move(script_.open.front());
    script_.open.pop_front();
    done(std::move(result));
    EXPECT_TRUE(Balanced());
  }

  // Runs the loop, checking the account after each handler, until `condition` holds; fails after 10 s.
  void RunUntil(const std::function<bool()>& condition) {
    const auto deadline = std::chrono::steady_clock::now() + 10s;
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      io_.restart();
      io_.run_one_for(10ms);
      ASSERT_TRUE(Balanced());
    }
  }

  // Runs what is ready now; timers stay.
  void Poll() {
    io_.restart();
    io_.poll();
    EXPECT_TRUE(Balanced());
  }

  bool Balanced() const {
    return std::all_of(ledgers_.begin(), ledgers_.end(),
                       [](const LedgerEntry& entry) { return entry.Balanced(); });
  }
  LedgerEntry& spans() { return ledgers_[0]; }
  LedgerEntry& logs() { return ledgers_[1]; }
  uint64_t Dropped(DropReason reason) { return spans().dropped[static_cast<size_t>(reason)]; }
  static std::set<std::string> Set(const std::vector<std::string>& names) {
    return {names.begin(), names.end()};
  }

  SlabPool slabs_{SlabPool::Options{}};
  boost::asio::io_context io_;
  Lane::Options options_;
  FakeSink::Script script_;
  std::array<LedgerEntry, kSignals> ledgers_;
  std::unique_ptr<Lane> lane_;
};

// Scenario: a healthy sink takes three chunks.
// Guarantees: each is sent once, whole; everything is delivered; the lane ends idle.
TEST_F(LaneTest, Delivers) {
  script_.answer = [](const Piece&) { return SendResult{}; };
  Start();
  for (int i = 0; i < 3; ++i) Push(SpanChunk(100, slabs_));
  EXPECT_EQ(lane_->stats().queued_items, 300u);
  RunUntil([&] { return spans().delivered == 300; });
  EXPECT_THAT(script_.sent, SizeIs(3));
  EXPECT_TRUE(script_.sent[0].whole());
  const Lane::Stats stats = lane_->stats();
  EXPECT_EQ(stats.state, Lane::State::kIdle);
  EXPECT_EQ(stats.queued_bytes, 0u);
  EXPECT_EQ(stats.requests, 3u);
  EXPECT_EQ(stats.retries, 0u);
  for (const auto& [id, count] : script_.expected) EXPECT_EQ(count, 0);
}

// Scenario: ten chunks, requests stay open.
// Guarantees: no more than max_in_flight at a time, and one where the sink is ordered.
TEST_F(LaneTest, BoundsRequestsUnderWay) {
  options_.max_in_flight = 3;
  Start();
  for (int i = 0; i < 10; ++i) Push(SpanChunk(1, slabs_));
  Poll();
  EXPECT_THAT(script_.open, SizeIs(3));
  EXPECT_EQ(lane_->stats().in_flight, 3u);
  while (spans().delivered < 10) {
    Answer({});
    Poll();
  }
  EXPECT_EQ(script_.most_open, 3u);
}

// Scenario: Chunks that are to stay in order among others, to a sink that is not ordered and fails now and
// then; one of them is cut in parts.
// Guarantees: those in order are taken one after the other, in order, and the others do not wait for them.
TEST_F(LaneTest, ChunksInOrderKeepOrder) {
  options_.max_request_bytes = 100;
  Start();
  const auto push = [&](const std::string& name, bool in_order) {
    const auto chunk = SpanChunk(2, slabs_, name);
    chunk->in_order = in_order;
    Push(chunk);
  };
  push("a", true);
  for (const char* name : {"x", "b", "y", "z", "c"}) push(name, std::string_view("abc").find(*name) < 3);
  std::vector<std::string> in_order;
  std::set<std::string> others;
  for (size_t n = 1; spans().delivered < 12; ++n) {
    RunUntil([&] { return !script_.open.empty(); });
    Poll();
    size_t open = 0;
    for (const auto& [piece, done] : script_.open) open += piece.chunk->in_order ? 1 : 0;
    ASSERT_LE(open, 1u);
    const Piece& piece = script_.open.front().first;
    const std::vector<std::string> names = ItemNames(*piece.chunk, piece.first, piece.count);
    const bool taken = n % 3 != 0;
    for (const std::string& name : names) {
      if (!taken) continue;
      if (piece.chunk->in_order) {
        in_order.push_back(name);
      } else {
        others.insert(name);
      }
    }
    Answer(taken ? SendResult{} : Result(Kind::kRetry));
  }
  EXPECT_THAT(in_order, ElementsAre("a0", "a1", "b0", "b1", "c0", "c1"));
  EXPECT_THAT(others, SizeIs(6));
  EXPECT_EQ(script_.most_open, 4u);
}

// Scenario: an ordered sink fails now and then.
// Guarantees: items arrive in the order they were pushed, none overtakes one that is retried.
TEST_F(LaneTest, OrderedSinkKeepsOrder) {
  script_.ordered = true;
  int n = 0;
  script_.answer = [&n](const Piece&) { return ++n % 3 == 0 ? SendResult{} : Result(Kind::kRetry); };
  Start();
  std::vector<std::string> expected;
  for (int i = 0; i < 8; ++i) {
    const auto chunk = SpanChunk(2, slabs_, std::to_string(i) + ".");
    for (auto& name : ItemNames(*chunk, 0, 2)) expected.push_back(name);
    Push(chunk);
  }
  RunUntil([&] { return spans().delivered == 16; });
  EXPECT_EQ(script_.taken, expected);
  EXPECT_EQ(script_.most_open, 1u);
}

// Scenario: the sink is unavailable five times, then takes the chunk.
// Guarantees: it is repeated until taken, the same bytes, one probe at a time; failures are shown while they
// last.
TEST_F(LaneTest, RetriesUntilTaken) {
  int failures = 0;
  script_.answer = [&](const Piece&) {
    return ++failures <= 5 ? Result(Kind::kRetry, "busy") : SendResult{};
  };
  Start();
  Push(SpanChunk(10, slabs_));
  RunUntil([&] { return failures == 3; });
  Poll();
  EXPECT_EQ(lane_->stats().state, Lane::State::kBackoff);
  EXPECT_EQ(lane_->stats().consecutive_failures, 3u);
  EXPECT_EQ(lane_->stats().last_error, "busy");
  RunUntil([&] { return spans().delivered == 10; });
  EXPECT_THAT(script_.sent, SizeIs(6));
  for (const Piece& piece : script_.sent) EXPECT_EQ(piece.chunk, script_.sent[0].chunk);
  EXPECT_EQ(lane_->stats().retries, 5u);
  EXPECT_EQ(lane_->stats().consecutive_failures, 0u);
}

// Scenario: the sink is down while four chunks wait with four requests allowed.
// Guarantees: after the first failures only one probe is open at a time, until something is taken.
TEST_F(LaneTest, ProbesOneAtATimeWhileDown) {
  Start();
  for (int i = 0; i < 8; ++i) Push(SpanChunk(1, slabs_));
  Poll();
  ASSERT_THAT(script_.open, SizeIs(4));
  for (int i = 0; i < 4; ++i) Answer(Result(Kind::kRetry));
  // Four failures of requests that were under way together count as one.
  EXPECT_EQ(lane_->stats().consecutive_failures, 1u);
  script_.most_open = 0;
  for (int i = 0; i < 3; ++i) {
    RunUntil([&] { return !script_.open.empty(); });
    Poll();
    EXPECT_THAT(script_.open, SizeIs(1));
    Answer(Result(Kind::kRetry));
  }
  EXPECT_EQ(script_.most_open, 1u);
  RunUntil([&] { return !script_.open.empty(); });
  Answer({});
  RunUntil([&] { return script_.open.size() == 4; });
}

// Scenario: the sink asks for a pause of an hour, with a clock that the test moves.
// Guarantees: nothing is sent before it has passed, however short the backoff; asking for more than the
// maximum counts as the maximum.
TEST_F(LaneTest, HonoursRetryAfter) {
  auto now = std::chrono::steady_clock::now();
  options_.now = [&now] { return now; };
  options_.retry_after_max = 30min;
  Start();
  Push(SpanChunk(1, slabs_));
  Poll();
  SendResult busy = Result(Kind::kRetry);
  busy.retry_after = 1h;
  Answer(busy);
  const auto nudge = [&] {  // makes the lane look at its queue
    Push(SpanChunk(1, slabs_));
    Poll();
  };
  now += 30min - 1s;
  nudge();
  EXPECT_THAT(script_.open, IsEmpty());
  now += 1s;
  nudge();
  EXPECT_THAT(script_.open, SizeIs(1));
}

// Scenario: one of 10,000 spans makes the sink refuse a request (400).
// Guarantees: 9,999 are delivered, each exactly once; the one is dropped as rejected; about 2 log2(n)
// requests.
TEST_F(LaneTest, IsolatesOnePoisonedSpan) {
  script_.answer = [](const Piece& piece) {
    for (const auto& name : ItemNames(*piece.chunk, piece.first, piece.count)) {
      if (name == "op6789") return Result(Kind::kRejected, "span op6789 is bad");
    }
    return SendResult{};
  };
  Start();
  Push(SpanChunk(10'000, slabs_));
  RunUntil([&] { return spans().queued == 0; });
  EXPECT_EQ(spans().delivered, 9'999u);
  EXPECT_EQ(Dropped(DropReason::kRejected), 1u);
  EXPECT_THAT(script_.taken, SizeIs(9'999));
  EXPECT_THAT(Set(script_.taken), SizeIs(9'999));
  EXPECT_FALSE(Set(script_.taken).contains("op6789"));
  EXPECT_LE(lane_->stats().requests, 30u);
  EXPECT_EQ(lane_->stats().last_error, "span op6789 is bad");
  for (const auto& [id, count] : script_.expected) EXPECT_EQ(count, 0);
}

// Scenario: several poisoned spans, with a dead letter file.
// Guarantees: exactly they are dead-lettered with the reason, the rest delivered, nothing dropped.
TEST_F(LaneTest, DeadLettersPoisonedSpans) {
  FakeDeadLetter dead_letter;
  const std::set<std::string> bad = {"op0", "op1", "op499", "op999"};
  script_.answer = [&](const Piece& piece) {
    for (const auto& name : ItemNames(*piece.chunk, piece.first, piece.count)) {
      if (bad.contains(name)) return Result(Kind::kRejected, "bad span");
    }
    return SendResult{};
  };
  Start(&dead_letter);
  Push(SpanChunk(1'000, slabs_));
  RunUntil([&] { return spans().queued == 0; });
  EXPECT_EQ(spans().delivered, 996u);
  EXPECT_EQ(spans().dead_lettered, 4u);
  EXPECT_EQ(spans().dropped_total(), 0u);
  EXPECT_EQ(Set(dead_letter.items), bad);
  EXPECT_EQ(dead_letter.reasons[0], "bad span");
}

// Scenario: the dead letter file cannot be written.
// Guarantees: the item counts as dropped{rejected}, and the error shows.
TEST_F(LaneTest, BrokenDeadLetterDrops) {
  FakeDeadLetter dead_letter;
  dead_letter.broken = true;
  script_.answer = [](const Piece&) { return Result(Kind::kRejected); };
  Start(&dead_letter);
  Push(SpanChunk(2, slabs_));
  RunUntil([&] { return spans().queued == 0; });
  EXPECT_EQ(Dropped(DropReason::kRejected), 2u);
  EXPECT_EQ(lane_->stats().last_error, "disk full");
}

// Scenario: the sink takes requests of at most 7 items (413 otherwise); one item it takes in no company.
// Guarantees: parts become small enough; only the item that is too large alone is dropped{too_large}.
TEST_F(LaneTest, SplitsWhatIsTooLarge) {
  script_.answer = [](const Piece& piece) {
    const auto names = ItemNames(*piece.chunk, piece.first, piece.count);
    const bool huge = std::find(names.begin(), names.end(), "op13") != names.end();
    return huge || piece.count > 7 ? Result(Kind::kTooLarge) : SendResult{};
  };
  Start();
  Push(SpanChunk(100, slabs_));
  RunUntil([&] { return spans().queued == 0; });
  EXPECT_EQ(spans().delivered, 99u);
  EXPECT_EQ(Dropped(DropReason::kTooLarge), 1u);
}

// Scenario: a receiver takes a request but refuses 3 of its 10 items (partial_success); another claims to
// refuse more than it was sent. Guarantees: the refused are dropped{rejected}, the rest delivered, nothing is
// sent again; the claim is clamped.
TEST_F(LaneTest, PartialSuccessIsFinal) {
  int n = 0;
  script_.answer = [&n](const Piece&) {
    SendResult result;
    result.rejected = n++ == 0 ? 3 : 1'000'000;
    result.message = "refused some";
    return result;
  };
  Start();
  Push(SpanChunk(10, slabs_));
  RunUntil([&] { return spans().queued == 0; });
  EXPECT_EQ(spans().delivered, 7u);
  EXPECT_EQ(Dropped(DropReason::kRejected), 3u);
  Push(SpanChunk(10, slabs_));
  RunUntil([&] { return spans().queued == 0; });
  EXPECT_EQ(spans().delivered, 7u);
  EXPECT_EQ(Dropped(DropReason::kRejected), 13u);
  EXPECT_THAT(script_.sent, SizeIs(2));
}

// Scenario: a Metric counts 5 data points; the sink's encoder leaves out a line that is too long and one
// without a time. Guarantees: the account is in units, each under its own reason.
TEST_F(LaneTest, CountsInUnits) {
  script_.answer = [](const Piece&) {
    SendResult result;
    result.too_large = 2;
    result.unencodable = 1;
    result.shed_fields = 9;
    return result;
  };
  Start();
  auto chunk = std::const_pointer_cast<Chunk>(SpanChunk(2, slabs_));
  chunk->items[0].count = 5;
  chunk->count = 6;
  Push(chunk);
  RunUntil([&] { return spans().queued == 0; });
  EXPECT_EQ(spans().delivered, 3u);
  EXPECT_EQ(Dropped(DropReason::kTooLarge), 2u);
  EXPECT_EQ(Dropped(DropReason::kEncode), 1u);
  EXPECT_EQ(lane_->stats().shed_fields, 9u);
}

// Scenario: a sink fails without saying why (500) whenever one item is in the request.
// Guarantees: the request is repeated failed_attempts times, then bisected; only that item is dropped.
TEST_F(LaneTest, BisectsWhatKeepsFailing) {
  script_.answer = [](const Piece& piece) {
    for (const auto& name : ItemNames(*piece.chunk, piece.first, piece.count)) {
      if (name == "op5") return Result(Kind::kFailed, "HTTP 500");
    }
    return SendResult{};
  };
  Start();
  Push(SpanChunk(16, slabs_));
  RunUntil([&] { return spans().queued == 0; });
  EXPECT_EQ(spans().delivered, 15u);
  EXPECT_EQ(Dropped(DropReason::kRejected), 1u);
  EXPECT_TRUE(script_.sent[0].whole());
  EXPECT_TRUE(script_.sent[2].whole());
  EXPECT_FALSE(script_.sent[3].whole());
}

// Scenario: the sink has no such method at all.
// Guarantees: the request leaves whole as rejected, after one attempt; nothing is bisected.
TEST_F(LaneTest, UnsupportedLeavesWhole) {
  script_.answer = [](const Piece&) { return Result(Kind::kUnsupported); };
  Start();
  Push(SpanChunk(500, slabs_));
  RunUntil([&] { return spans().queued == 0; });
  EXPECT_EQ(Dropped(DropReason::kRejected), 500u);
  EXPECT_THAT(script_.sent, SizeIs(1));
}

// Scenario: a sink refuses every request (a wrong path that answers 400), chunk after chunk.
// Guarantees: bisection stops after max_rejections_in_a_row, so that requests stay in proportion; one success
// and it is trusted again.
TEST_F(LaneTest, StopsBisectingWhereEverythingIsRefused) {
  options_.max_rejections_in_a_row = 20;
  bool refuse = true;
  script_.answer = [&](const Piece& piece) {
    if (refuse) return Result(Kind::kRejected);
    const auto names = ItemNames(*piece.chunk, piece.first, piece.count);
    return std::find(names.begin(), names.end(), "op3") != names.end() ? Result(Kind::kRejected)
                                                                       : SendResult{};
  };
  Start();
  for (int i = 0; i < 10; ++i) Push(SpanChunk(1'000, slabs_));
  RunUntil([&] { return spans().queued == 0; });
  EXPECT_EQ(Dropped(DropReason::kRejected), 10'000u);
  EXPECT_LE(lane_->stats().requests, 100u);

  refuse = false;
  Push(SpanChunk(1, slabs_, "other"));
  RunUntil([&] { return spans().delivered == 1; });
  Push(SpanChunk(8, slabs_));
  RunUntil([&] { return spans().queued == 0; });
  EXPECT_EQ(spans().delivered, 8u);
}

// Scenario: chunks arrive for a sink that answers nothing, beyond the bound.
// Guarantees: the oldest that is not under way leaves as queue_full; the queue never exceeds its bound; what
// was under way still counts once answered.
TEST_F(LaneTest, DropsOldestWhenFull) {
  const size_t chunk_bytes = SpanChunk(10, slabs_)->bytes.size();
  options_.max_bytes = 4 * chunk_bytes;
  options_.max_in_flight = 1;
  Start();
  for (int i = 0; i < 4; ++i) Push(SpanChunk(10, slabs_, "c" + std::to_string(i)));
  Poll();  // c0 is under way
  Push(SpanChunk(10, slabs_, "c4"));
  EXPECT_EQ(Dropped(DropReason::kQueueFull), 10u);
  EXPECT_LE(lane_->stats().queued_bytes, options_.max_bytes);
  EXPECT_FALSE(lane_->full());
  std::vector<std::string> first_names;
  while (!script_.open.empty()) {
    first_names.push_back(ItemNames(*script_.open.front().first.chunk, 0, 1)[0]);
    Answer({});
    Poll();
  }
  EXPECT_THAT(first_names, ElementsAre("c00", "c20", "c30", "c40"));
  EXPECT_EQ(spans().delivered, 40u);
}

// Scenario: a chunk larger than the whole bound.
// Guarantees: it is taken when nothing else is queued, and the next one leaves while it is under way.
TEST_F(LaneTest, TakesOneChunkLargerThanTheBound) {
  options_.max_bytes = 100;
  Start();
  Push(SpanChunk(10, slabs_));
  Poll();
  ASSERT_THAT(script_.open, SizeIs(1));
  Push(SpanChunk(10, slabs_));
  EXPECT_EQ(Dropped(DropReason::kQueueFull), 10u);
  Answer({});
  EXPECT_EQ(spans().delivered, 10u);
}

// Scenario: on_full is refuse and the sink is down.
// Guarantees: full() tells at the bound; what comes regardless is kept up to twice the bound, then the oldest
// leave; full() ends with the queue's.
TEST_F(LaneTest, RefuseSaysFullBeforeItDrops) {
  const size_t chunk_bytes = SpanChunk(10, slabs_)->bytes.size();
  options_.max_bytes = 2 * chunk_bytes;
  options_.on_full = Lane::OnFull::kRefuse;
  Start();
  Push(SpanChunk(10, slabs_));
  EXPECT_FALSE(lane_->full());
  Push(SpanChunk(10, slabs_));
  EXPECT_TRUE(lane_->full());
  Push(SpanChunk(10, slabs_));
  Push(SpanChunk(10, slabs_));
  EXPECT_EQ(spans().dropped_total(), 0u);
  Push(SpanChunk(10, slabs_));
  EXPECT_EQ(Dropped(DropReason::kQueueFull), 10u);
  script_.answer = [](const Piece&) { return SendResult{}; };
  RunUntil([&] { return spans().delivered == 40; });
  EXPECT_FALSE(lane_->full());
}

// Scenario: logs are refused for good credentials' sake while spans are taken.
// Guarantees: signals do not wait for each other.
TEST_F(LaneTest, SignalsDoNotWaitForEachOther) {
  script_.answer = [](const Piece& piece) {
    return piece.chunk->signal == Signal::kLogs ? Result(Kind::kRetry) : SendResult{};
  };
  Start();
  for (int i = 0; i < 5; ++i) {
    Push(LogChunk(3, slabs_));
    Push(SpanChunk(3, slabs_));
  }
  RunUntil([&] { return spans().delivered == 15; });
  EXPECT_EQ(logs().delivered, 0u);
  EXPECT_EQ(logs().queued, 15u);
}

// Scenario: a chunk is beyond max_request_items, and another beyond max_request_bytes.
// Guarantees: parts within the limits, in order, everything delivered once.
TEST_F(LaneTest, SendsLargeChunksInParts) {
  options_.max_request_items = 30;
  options_.max_request_bytes = SpanChunk(20, slabs_)->bytes.size();
  options_.max_in_flight = 1;
  script_.answer = [](const Piece&) { return SendResult{}; };
  Start();
  const auto chunk = SpanChunk(100, slabs_);
  Push(chunk);
  RunUntil([&] { return spans().delivered == 100; });
  EXPECT_EQ(script_.taken, ItemNames(*chunk, 0, 100));
  for (const Piece& piece : script_.sent) {
    EXPECT_LE(piece.count, 30u);
    EXPECT_LE(piece.bytes(), options_.max_request_bytes);
  }
}

// Scenario: Stop() with a queue and a healthy sink.
// Guarantees: everything is delivered before `done`; what is pushed afterwards is dropped{shutdown}.
TEST_F(LaneTest, StopDrains) {
  script_.answer = [](const Piece&) { return SendResult{}; };
  Start();
  for (int i = 0; i < 20; ++i) Push(SpanChunk(5, slabs_));
  bool stopped = false;
  lane_->Stop(std::chrono::steady_clock::now() + 10s, [&] {
    stopped = true;
    EXPECT_EQ(spans().delivered, 100u);
  });
  EXPECT_FALSE(stopped);
  Push(SpanChunk(1, slabs_));
  RunUntil([&] { return stopped; });
  EXPECT_EQ(Dropped(DropReason::kShutdown), 1u);
  EXPECT_EQ(lane_->stats().state, Lane::State::kStopped);
}

// Scenario: Stop() while the sink hangs and others wait; a second Stop() brings the deadline forward.
// Guarantees: at the earlier deadline the rest counts as shutdown and both `done` are called; a late answer
// changes nothing.
TEST_F(LaneTest, StopGivesUpAtTheDeadline) {
  Start();
  for (int i = 0; i < 6; ++i) Push(SpanChunk(5, slabs_));
  Poll();
  int stopped = 0;
  lane_->Stop(std::chrono::steady_clock::now() + 1h, [&] { ++stopped; });
  Answer({});
  Poll();
  EXPECT_EQ(stopped, 0);
  lane_->Stop(std::chrono::steady_clock::now() + 5ms, [&] { ++stopped; });
  RunUntil([&] { return stopped == 2; });
  EXPECT_EQ(spans().delivered, 5u);
  EXPECT_EQ(Dropped(DropReason::kShutdown), 25u);
  EXPECT_EQ(script_.cancelled, 1);
  while (!script_.open.empty()) Answer({});
  EXPECT_EQ(spans().delivered, 5u);
  lane_->Stop(std::chrono::steady_clock::now(), [&] { ++stopped; });
  RunUntil([&] { return stopped == 3; });
}

// Scenario: Stop() on an empty lane, and destruction with a queue.
// Guarantees: the one is done at once, the other counts what is left.
TEST_F(LaneTest, StopWhenEmptyAndDestructionWhenNot) {
  Start();
  bool stopped = false;
  lane_->Stop(std::chrono::steady_clock::now() + 1h, [&] { stopped = true; });
  RunUntil([&] { return stopped; });

  Start();
  Push(SpanChunk(7, slabs_));
  Poll();
  lane_.reset();
  EXPECT_EQ(Dropped(DropReason::kShutdown), 7u);
  script_.open.front().second({});  // to nobody
  EXPECT_EQ(spans().delivered, 0u);
}

// Scenario: a sink that answers anything at random, for 30 seeds, with pushes in between and a stop at the
// end. Guarantees: the account balances after every single event and no item is counted twice.
TEST_F(LaneTest, AccountHoldsUnderRandomAnswers) {
  for (unsigned seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    options_.backoff_min = 100us;
    options_.backoff_max = 1ms;
    options_.max_bytes = 20'000;
    options_.on_full = seed % 2 == 0 ? Lane::OnFull::kDropOldest : Lane::OnFull::kRefuse;
    script_.ordered = seed % 3 == 0;
    script_.answer = [&](const Piece& piece) -> std::optional<SendResult> {
      SendResult result;
      const auto pick = random() % 10;
      if (pick < 6) {
        result.rejected = random() % 4 == 0 ? random() % (piece.units() + 2) : 0;
      } else {
        result.kind = static_cast<Kind>(1 + random() % 5);
        result.message = "no";
      }
      return result;
    };
    ledgers_ = {};
    Start();
    uint64_t pushed = 0;
    for (int i = 0; i < 60; ++i) {
      const size_t count = 1 + random() % 40;
      pushed += count;
      Push(SpanChunk(count, slabs_));
      for (auto n = random() % 4; n > 0; --n) Poll();
    }
    bool stopped = false;
    lane_->Stop(std::chrono::steady_clock::now() + (seed % 5 == 0 ? 2ms : 5s), [&] { stopped = true; });
    RunUntil([&] { return stopped; });
    EXPECT_EQ(spans().accepted, pushed);
    EXPECT_EQ(spans().queued, 0u);
    EXPECT_EQ(lane_->stats().queued_bytes, 0u);
    lane_.reset();
  }
}

}  // namespace
}  // namespace braid::exporters
