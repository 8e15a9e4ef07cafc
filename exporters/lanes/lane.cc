#include "exporters/lanes/lane.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <random>
#include <utility>
#include <vector>

#include "base/net/backoff.h"

namespace braid::exporters {

namespace asio = boost::asio;
using std::chrono::nanoseconds;
using TimePoint = std::chrono::steady_clock::time_point;

uint64_t Piece::units() const {
  if (whole()) return chunk->count;
  uint64_t sum = 0;
  for (uint32_t i = first; i < first + count; ++i) sum += chunk->items[i].count;
  return sum;
}

size_t Piece::bytes() const {
  if (whole()) return chunk->view().size();
  size_t sum = 0;
  for (uint32_t i = first; i < first + count; ++i) sum += chunk->items[i].size;
  return sum;
}

std::string_view Lane::StateName(State state) {
  switch (state) {
    case State::kIdle: return "idle";
    case State::kSending: return "sending";
    case State::kBackoff: return "backoff";
    case State::kStopping: return "stopping";
    case State::kStopped: return "stopped";
  }
  return "";
}

class Lane::Impl : public std::enable_shared_from_this<Lane::Impl> {
 public:
  Impl(asio::io_context& io, const Options& options, std::unique_ptr<Sink> sink, const Ledgers& ledgers,
       DeadLetter* dead_letter)
      : io_(io),
        options_(options),
        sink_(std::move(sink)),
        dead_letter_(dead_letter),
        lines_{Line(io, ledgers[0]), Line(io, ledgers[1]), Line(io, ledgers[2])},
        stop_timer_(io),
        random_(std::random_device{}()) {}

  bool Takes(Signal signal) const { return lines_[static_cast<size_t>(signal)].ledger != nullptr; }
  bool full() const { return options_.on_full == OnFull::kRefuse && bytes_ >= options_.max_bytes; }
  bool half_full() const { return options_.on_full == OnFull::kRefuse && bytes_ >= options_.max_bytes / 2; }

  void Push(ChunkPtr chunk);
  void Stop(TimePoint deadline, std::function<void()> done);
  Stats stats() const;

  // Drops whatever is left and forgets the sink's requests.
  void Finish();

 private:
  struct Entry {
    Piece piece;
    uint64_t units = 0;
    size_t bytes = 0;
    uint64_t order = 0;  // of Push(); parts of a piece keep it
    TimePoint since;
    TimePoint not_before;
    uint32_t attempts = 0;
    uint32_t failed = 0;  // kFailed results, parts included
    bool in_flight = false;
    bool expected = false;  // Sink::Expect() was called
  };
  using Entries = std::list<Entry>;

  // One signal's queue.
  struct Line {
    Line(asio::io_context& io, LedgerEntry* entry) : ledger(entry), timer(io) {}

    LedgerEntry* ledger;
    asio::steady_timer timer;
    Entries entries;  // in order; those under way stay where they are
    uint32_t in_flight = 0;
    uint32_t failures = 0;    // in a row
    uint32_t rejections = 0;  // in a row
    TimePoint pause_until;

    // Counts noted failures. Requests that were already under way when one was noted are no further evidence.
    uint64_t generation = 0;
  };

  TimePoint Now() const { return options_.now ? options_.now() : std::chrono::steady_clock::now(); }
  double Random() {
    return options_.random ? options_.random() : std::uniform_real_distribution<double>()(random_);
  }
  nanoseconds Jitter(uint32_t attempt) {
    return net::FullJitter(options_.backoff_min, options_.backoff_max, attempt, Random());
  }

  bool Empty() const {
    return std::all_of(lines_.begin(), lines_.end(), [](const Line& line) { return line.entries.empty(); });
  }
  void Append(Line& line, Piece piece);
  bool DropOldest();
  void Schedule();
  void Pump(Line& line);
  Entries::iterator NextReady(Line& line, TimePoint now, TimePoint* wake);
  void Arm(Line& line, TimePoint now, TimePoint when);
  void Start(Line& line, Entries::iterator entry);
  void OnDone(Line& line, Entries::iterator entry, uint64_t generation, const SendResult& result);
  void Delivered(Line& line, Entries::iterator entry, const SendResult& result);
  void Pause(Line& line, Entry& entry, uint64_t generation, const SendResult& result);
  void Refused(Line& line, Entries::iterator entry, DropReason reason, const std::string& message);
  void Bisect(Line& line, Entries::iterator entry);
  void Leave(Line& line, Entries::iterator entry, DropReason reason, const std::string& message);
  void Erase(Line& line, Entries::iterator entry);
  void NoteError(const std::string& message);

  asio::io_context& io_;
  const Options options_;
  const std::unique_ptr<Sink> sink_;
  DeadLetter* const dead_letter_;
  std::array<Line, kSignals> lines_;
  asio::steady_timer stop_timer_;
  std::minstd_rand random_;

  uint64_t next_order_ = 0;
  size_t bytes_ = 0;
  uint64_t units_ = 0;
  bool scheduled_ = false;
  bool stopping_ = false;
  bool stopped_ = false;
  TimePoint deadline_ = TimePoint::max();
  std::vector<std::function<void()>> stop_done_;

  Stats counts_;  // only the counters in it are kept up
  TimePoint last_error_at_;
};

void Lane::Impl::Push(ChunkPtr chunk) {
  Line& line = lines_[static_cast<size_t>(chunk->signal)];
  if (stopping_) {
    line.ledger->DropQueued(DropReason::kShutdown, chunk->count);
    return;
  }
  const uint32_t items = static_cast<uint32_t>(chunk->items.size());
  if (chunk->view().size() <= options_.max_request_bytes && items <= options_.max_request_items) {
    if (items > 0) Append(line, {std::move(chunk), 0, items});
  } else {
    for (uint32_t first = 0; first < items;) {
      uint32_t count = 0;
      size_t bytes = 0;
      while (first + count < items && count < options_.max_request_items) {
        bytes += chunk->items[first + count].size;
        if (count > 0 && bytes > options_.max_request_bytes) break;
        ++count;
      }
      Append(line, {chunk, first, count});
      first += count;
    }
  }
  Schedule();
}

void Lane::Impl::Append(Line& line, Piece piece) {
  Entry entry;
  entry.units = piece.units();
  entry.bytes = piece.bytes();
  entry.piece = std::move(piece);
  entry.order = next_order_++;
  entry.since = Now();

  const size_t bound = options_.on_full == OnFull::kRefuse ? 2 * options_.max_bytes : options_.max_bytes;
  while (bytes_ + entry.bytes > bound && DropOldest()) {
  }
  // What is left is under way, and its memory is taken: the newcomer itself has to go.
  if (bytes_ + entry.bytes > bound && bytes_ > 0) {
    line.ledger->DropQueued(DropReason::kQueueFull, entry.units);
    return;
  }
  if (entry.piece.whole()) {
    sink_->Expect(*entry.piece.chunk);
    entry.expected = true;
  }
  bytes_ += entry.bytes;
  units_ += entry.units;
  line.entries.push_back(std::move(entry));
}

// Drops the oldest entry that is not under way; false if there is none.
bool Lane::Impl::DropOldest() {
  Line* oldest_line = nullptr;
  Entries::iterator oldest;
  for (Line& line : lines_) {
    const auto entry =
        std::find_if(line.entries.begin(), line.entries.end(), [](const Entry& e) { return !e.in_flight; });
    if (entry == line.entries.end()) continue;
    if (oldest_line == nullptr || entry->order < oldest->order) {
      oldest_line = &line;
      oldest = entry;
    }
  }
  if (oldest_line == nullptr) return false;
  oldest_line->ledger->DropQueued(DropReason::kQueueFull, oldest->units);
  Erase(*oldest_line, oldest);
  return true;
}

void Lane::Impl::Schedule() {
  if (scheduled_) return;
  scheduled_ = true;
  asio::post(io_, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    self->scheduled_ = false;
    for (Line& line : self->lines_) self->Pump(line);
  });
}

void Lane::Impl::Pump(Line& line) {
  if (stopped_) return;
  const uint32_t limit = sink_->ordered() || line.failures > 0 ? 1 : options_.max_in_flight;
  while (line.in_flight < limit && !line.entries.empty()) {
    const TimePoint now = Now();
    if (now < line.pause_until) {
      Arm(line, now, line.pause_until);
      return;
    }
    TimePoint wake = TimePoint::max();
    const auto next = NextReady(line, now, &wake);
    if (next == line.entries.end()) {
      if (wake != TimePoint::max()) Arm(line, now, wake);
      return;
    }
    Start(line, next);
  }
}

// The first entry that may be sent now. Otherwise end(), and `wake` is when one may be, if ever.
Lane::Impl::Entries::iterator Lane::Impl::NextReady(Line& line, TimePoint now, TimePoint* wake) {
  bool taken = false;  // the turn of those that are in order
  for (auto entry = line.entries.begin(); entry != line.entries.end(); ++entry) {
    if (entry->piece.chunk->in_order && std::exchange(taken, true)) continue;
    if (entry->in_flight) continue;
    if (entry->not_before <= now) return entry;
    *wake = std::min(*wake, entry->not_before);
    if (sink_->ordered()) break;
  }
  return line.entries.end();
}

void Lane::Impl::Arm(Line& line, TimePoint now, TimePoint when) {
  line.timer.expires_after(std::max(nanoseconds(0), nanoseconds(when - now)));
  line.timer.async_wait([weak = weak_from_this(), &line](boost::system::error_code error) {
    const auto self = weak.lock();
    if (self && !error) self->Pump(line);
  });
}

void Lane::Impl::Start(Line& line, Entries::iterator entry) {
  entry->in_flight = true;
  ++line.in_flight;
  ++counts_.requests;
  if (entry->attempts++ > 0) ++counts_.retries;
  // The iterator stays valid: entries under way are erased by OnDone() or Finish() only.
  sink_->Send(entry->piece, [weak = weak_from_this(), &line, entry,
                             generation = line.generation](const SendResult& result) {
    const auto self = weak.lock();
    if (self && !self->stopped_) self->OnDone(line, entry, generation, result);
  });
}

void Lane::Impl::OnDone(Line& line, Entries::iterator entry, uint64_t generation, const SendResult& result) {
  entry->in_flight = false;
  --line.in_flight;
  if (!result.message.empty()) NoteError(result.message);

  switch (result.kind) {
    case SendResult::Kind::kDelivered: Delivered(line, entry, result); break;
    case SendResult::Kind::kRetry: Pause(line, *entry, generation, result); break;
    case SendResult::Kind::kFailed:
      // Perhaps the sink's fault, perhaps an item's: time passes for the one, smaller requests find the
      // other.
      Pause(line, *entry, generation, result);
      if (++entry->failed < options_.failed_attempts) break;
      if (entry->piece.count > 1) {
        Bisect(line, entry);
      } else {
        Leave(line, entry, DropReason::kRejected, result.message);
      }
      break;
    case SendResult::Kind::kRejected: Refused(line, entry, DropReason::kRejected, result.message); break;
    case SendResult::Kind::kTooLarge: Refused(line, entry, DropReason::kTooLarge, result.message); break;
    case SendResult::Kind::kUnsupported:
      line.failures = 0;
      Leave(line, entry, DropReason::kRejected, result.message);
      break;
  }

  if (stopping_ && Empty()) {
    Finish();
  } else {
    Schedule();
  }
}

void Lane::Impl::Delivered(Line& line, Entries::iterator entry, const SendResult& result) {
  // A receiver may claim to have refused more than it was sent.
  uint64_t rest = entry->units;
  const auto take = [&rest](uint64_t count) {
    count = std::min(count, rest);
    rest -= count;
    return count;
  };
  const uint64_t too_large = take(result.too_large);
  const uint64_t unencodable = take(result.unencodable);
  const uint64_t rejected = take(result.rejected);
  if (too_large > 0) line.ledger->DropQueued(DropReason::kTooLarge, too_large);
  if (unencodable > 0) line.ledger->DropQueued(DropReason::kEncode, unencodable);
  if (rejected > 0) line.ledger->DropQueued(DropReason::kRejected, rejected);
  if (rest > 0) line.ledger->Deliver(rest);
  counts_.sent_bytes += entry->bytes;
  counts_.shed_fields += result.shed_fields;
  line.failures = 0;
  line.rejections = 0;
  line.pause_until = {};
  Erase(line, entry);
}

void Lane::Impl::Pause(Line& line, Entry& entry, uint64_t generation, const SendResult& result) {
  const TimePoint now = Now();
  const nanoseconds asked =
      std::clamp(result.retry_after.value_or(nanoseconds(0)), nanoseconds(0), options_.retry_after_max);
  nanoseconds pause = asked;
  if (generation == line.generation) {
    ++line.generation;
    pause = std::max(pause, Jitter(++line.failures));
  }
  line.pause_until = std::max(line.pause_until, now + pause);
  entry.not_before = now + std::max(asked, Jitter(entry.attempts));
}

void Lane::Impl::Refused(Line& line, Entries::iterator entry, DropReason reason, const std::string& message) {
  line.failures = 0;  // It answers.
  const bool refuses_everything = line.rejections >= options_.max_rejections_in_a_row;
  if (!refuses_everything) ++line.rejections;
  if (entry->piece.count > 1 && !refuses_everything) {
    Bisect(line, entry);
  } else {
    Leave(line, entry, reason, message);
  }
}

void Lane::Impl::Bisect(Line& line, Entries::iterator entry) {
  ++counts_.bisections;
  const uint32_t half = entry->piece.count / 2;
  for (const auto& [first, count] : {std::pair{entry->piece.first, half},
                                     std::pair{entry->piece.first + half, entry->piece.count - half}}) {
    Entry part;
    part.piece = {entry->piece.chunk, first, count};
    part.units = part.piece.units();
    part.bytes = part.piece.bytes();
    part.order = entry->order;
    part.since = entry->since;
    part.failed = entry->failed;
    bytes_ += part.bytes;
    units_ += part.units;
    line.entries.insert(entry, std::move(part));
  }
  Erase(line, entry);
}

void Lane::Impl::Leave(Line& line, Entries::iterator entry, DropReason reason, const std::string& message) {
  if (dead_letter_ != nullptr) {
    const Status written = dead_letter_->Write(entry->piece, message);
    if (written.ok()) {
      line.ledger->DeadLetter(entry->units);
      Erase(line, entry);
      return;
    }
    NoteError(written.message());
  }
  line.ledger->DropQueued(reason, entry->units);
  Erase(line, entry);
}

void Lane::Impl::Erase(Line& line, Entries::iterator entry) {
  bytes_ -= entry->bytes;
  units_ -= entry->units;
  if (entry->expected) sink_->Forget(*entry->piece.chunk);
  line.entries.erase(entry);
}

void Lane::Impl::NoteError(const std::string& message) {
  counts_.last_error = message;
  last_error_at_ = Now();
}

void Lane::Impl::Stop(TimePoint deadline, std::function<void()> done) {
  if (stopped_) {
    asio::post(io_, std::move(done));
    return;
  }
  stop_done_.push_back(std::move(done));
  if (stopping_ && deadline >= deadline_) return;
  stopping_ = true;
  deadline_ = deadline;
  if (Empty()) {
    Finish();
    return;
  }
  stop_timer_.expires_after(std::max(nanoseconds(0), nanoseconds(deadline - Now())));
  stop_timer_.async_wait([weak = weak_from_this()](boost::system::error_code error) {
    const auto self = weak.lock();
    if (self && !error) self->Finish();
  });
}

void Lane::Impl::Finish() {
  if (stopped_) return;
  stopping_ = true;
  stopped_ = true;
  stop_timer_.cancel();
  for (Line& line : lines_) {
    line.timer.cancel();
    line.in_flight = 0;
    while (!line.entries.empty()) {
      line.ledger->DropQueued(DropReason::kShutdown, line.entries.front().units);
      Erase(line, line.entries.begin());
    }
  }
  sink_->CancelAll();
  for (auto& done : stop_done_) asio::post(io_, std::move(done));
  stop_done_.clear();
}

Lane::Stats Lane::Impl::stats() const {
  Stats stats = counts_;
  const TimePoint now = Now();
  stats.queued_bytes = bytes_;
  stats.max_bytes = options_.max_bytes;
  stats.queued_items = units_;
  TimePoint oldest = now;
  for (const Line& line : lines_) {
    stats.queued_chunks += line.entries.size();
    stats.in_flight += line.in_flight;
    stats.consecutive_failures = std::max(stats.consecutive_failures, line.failures);
    if (!line.entries.empty()) oldest = std::min(oldest, line.entries.front().since);
  }
  stats.oldest_age = now - oldest;
  if (!stats.last_error.empty()) stats.last_error_age = now - last_error_at_;
  stats.state = stopped_                         ? State::kStopped
                : stopping_                      ? State::kStopping
                : stats.consecutive_failures > 0 ? State::kBackoff
                : !Empty()                       ? State::kSending
                                                 : State::kIdle;
  return stats;
}

Lane::Lane(asio::io_context& io, const Options& options, std::unique_ptr<Sink> sink, const Ledgers& ledgers,
           DeadLetter* dead_letter)
    : impl_(std::make_shared<Impl>(io, options, std::move(sink), ledgers, dead_letter)) {}

Lane::~Lane() { impl_->Finish(); }

bool Lane::Takes(Signal signal) const { return impl_->Takes(signal); }
void Lane::Push(ChunkPtr chunk) { impl_->Push(std::move(chunk)); }
bool Lane::full() const { return impl_->full(); }

bool Lane::half_full() const { return impl_->half_full(); }
void Lane::Stop(TimePoint deadline, std::function<void()> done) { impl_->Stop(deadline, std::move(done)); }
Lane::Stats Lane::stats() const { return impl_->stats(); }

}  // namespace braid::exporters
