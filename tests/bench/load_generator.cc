// braid_load: replays pre-serialised OTLP against a gateway, for next to no CPU time of its own.
//
//   braid_load --endpoint 127.0.0.1:4317 [--protocol grpc|http] [--signals traces[,logs]] [--gzip]
//   [--gzip-passes 8]
//              [--in-flight 8] [--connections 2] [--corpus-batches 400]
//
// Then every line on stdin is a run, answered by one line of JSON on stdout:
//
//   run duration=8 items=0 rate=0
//
// It ends at whichever of duration (s) and items comes first; 0 means no such limit. rate 0 is closed loop: a
// request starts when one ends, which finds saturation, and whose latencies are no result. Otherwise requests
// are due at fixed times whatever the server does (`rate` items per second), and latency runs from the due
// time, so a stall is charged to every request that it delays; `capped` counts those that were due and found
// `in_flight` others under way.
//
// Trace IDs are fresh in every pass over the corpus, and passes start from the clock, so that IDs never
// recur. Compressed bodies cannot be patched: gzip_passes salted copies are made beforehand; `reused` says
// when they came round again.

#include <libdeflate.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <deque>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <vector>

#include "base/wire.h"
#include "tests/bench/corpus.h"
#include "tests/bench/h2.h"
#include "tests/bench/histogram.h"
#include "tests/bench/http1.h"
#include "tests/bench/net.h"

namespace braid::bench {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kPauseAfterFailure = 20'000'000;

uint64_t Now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * kSecond + static_cast<uint64_t>(t.tv_nsec);
}

uint64_t WallNow() {
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return static_cast<uint64_t>(t.tv_sec) * kSecond + static_cast<uint64_t>(t.tv_nsec);
}

constexpr const char* kMethods[kSignals] = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"};
constexpr const char* kPaths[kSignals] = {"/v1/traces", "/v1/logs", "/v1/metrics"};

struct Options {
  std::string endpoint;
  bool grpc = true;
  std::vector<Signal> signals = {Signal::kTraces};
  bool gzip = false;
  uint32_t gzip_passes = 8;
  uint32_t in_flight = 8;
  uint32_t connections = 2;
  CorpusSpec corpus;
};

// One request under way.
struct Request {
  Signal signal = Signal::kTraces;
  std::string_view body;
  uint64_t items = 0;
  uint64_t key_sum = 0;
  uint64_t from = 0;  // latency counts from here
};

struct Reply {
  bool ok = false;
  uint64_t rejected = 0;
  std::string error;
};

// Items that an Export*ServiceResponse rejects.
uint64_t RejectedBy(std::string_view response, std::string* message) {
  uint64_t rejected = 0;
  for (wire::Cursor outer(response); outer.Next();) {
    if (outer.field().number != 1) continue;
    for (wire::Cursor inner(outer.field().bytes); inner.Next();) {
      if (inner.field().number == 1) rejected = inner.field().scalar;
      if (inner.field().number == 2) *message = inner.field().bytes;
    }
  }
  return rejected;
}

// A connection and its requests. `done(request, reply)` is called as each ends.
class Connection {
 public:
  using Done = std::function<void(const Request&, Reply)>;

  Connection(const Options& options, Done done)
      : options_(options), fd_(Connect(options.endpoint)), done_(std::move(done)) {}
  virtual ~Connection() { close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int fd() const { return fd_; }
  size_t under_way() const { return under_way_; }
  bool writable_wanted() const { return blocked_; }

  void Start(Request request) {
    ++under_way_;
    Enqueue(std::move(request));
    Write();
  }

  void OnReadable() {
    while (true) {
      const ssize_t n = in_.Fill(fd_);
      if (n == 0) Die(options_.endpoint + ": the connection was closed");
      if (n < 0) break;
      Take();
    }
    Write();
  }

  // Writes what may be written.
  void Write() {
    while (true) {
      if (iov_at_ == iov_.size()) {
        iov_.clear();
        iov_at_ = 0;
        Gather();
        if (iov_.empty()) {
          blocked_ = false;
          return;
        }
      }
      const auto count = static_cast<int>(std::min<size_t>(iov_.size() - iov_at_, 64));
      ssize_t n = writev(fd_, iov_.data() + iov_at_, count);
      if (n < 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN) Die(options_.endpoint + ": " + std::strerror(errno));
        blocked_ = true;
        return;
      }
      while (n > 0) {
        iovec& first = iov_[iov_at_];
        const size_t taken = std::min(static_cast<size_t>(n), first.iov_len);
        first.iov_base = static_cast<char*>(first.iov_base) + taken;
        first.iov_len -= taken;
        n -= static_cast<ssize_t>(taken);
        if (first.iov_len == 0) ++iov_at_;
      }
    }
  }

 protected:
  virtual void Enqueue(Request request) = 0;
  virtual void Take() = 0;
  virtual void Gather() = 0;  // fills iov_; what it points at stays until it is written

  void AddIov(std::string_view bytes) {
    if (!bytes.empty()) iov_.push_back({const_cast<char*>(bytes.data()), bytes.size()});
  }

  void End(const Request& request, Reply reply) {
    --under_way_;
    done_(request, std::move(reply));
  }

  const Options& options_;
  const int fd_;
  const Done done_;
  InBuffer in_;
  std::vector<iovec> iov_;

 private:
  size_t iov_at_ = 0;
  size_t under_way_ = 0;
  bool blocked_ = false;
};

class GrpcConnection : public Connection {
 public:
  GrpcConnection(const Options& options, Done done) : Connection(options, std::move(done)) {
    control_ += h2::kPreface;
    std::string settings;
    h2::AppendSetting(&settings, h2::kInitialWindow, 1u << 20);
    h2::AppendFrame(&control_, h2::kSettings, 0, 0, settings);
    h2::AppendWindowUpdate(&control_, 0, 1u << 30);
    for (size_t i = 0; i < kSignals; ++i) {
      std::string& block = headers_[i];
      h2::AppendField(&block, ":method", "POST");
      h2::AppendField(&block, ":scheme", "http");
      h2::AppendField(&block, ":path", kMethods[i]);
      h2::AppendField(&block, ":authority", options.endpoint);
      h2::AppendField(&block, "te", "trailers");
      h2::AppendField(&block, "content-type", "application/grpc");
      if (options.gzip) h2::AppendField(&block, "grpc-encoding", "gzip");
      h2::AppendField(&block, "user-agent", "braid-load");
    }
  }

 private:
  static constexpr size_t kPrefix = 5;  // of a gRPC message: compressed flag, length
  static constexpr size_t kFrameRoom = h2::kFrameHeader + kPrefix;

  struct Stream {
    Request request;
    size_t sent = 0;  // of the gRPC message: five bytes, then the body
    int64_t window = 0;
    std::string response;
    std::string status;
    std::string message;
    size_t total() const { return kPrefix + request.body.size(); }
  };

  void Enqueue(Request request) override {
    const uint32_t id = next_stream_;
    next_stream_ += 2;
    Stream& stream = streams_[id];
    stream.window = initial_window_;
    h2::AppendFrame(&control_, h2::kHeaders, h2::kEndHeaders, id,
                    headers_[static_cast<size_t>(request.signal)]);
    stream.request = std::move(request);
    sending_.push_back(id);
  }

  void Gather() override {
    constexpr size_t kMaxGather = 1u << 20;
    writing_.swap(control_);
    control_.clear();
    frames_.clear();
    AddIov(writing_);
    size_t gathered = 0;
    for (size_t i = 0; i < sending_.size() && window_ > 0 && gathered < kMaxGather;) {
      const uint32_t id = sending_[i];
      Stream& stream = streams_.at(id);
      while (stream.sent < stream.total() && gathered < kMaxGather) {
        const auto allowed = static_cast<size_t>(std::max<int64_t>(std::min(window_, stream.window), 0));
        if (allowed < kPrefix) break;  // the prefix is not divided
        const size_t n = std::min({stream.total() - stream.sent, allowed, size_t{max_frame_}});
        const bool last = stream.sent + n == stream.total();
        // The gRPC prefix goes with the frame header, in memory that stays when the stream ends early.
        std::array<char, kFrameRoom>& head = frames_.emplace_back();
        h2::WriteFrame(
            {static_cast<uint32_t>(n), h2::kData, static_cast<uint8_t>(last ? h2::kEndStream : 0), id},
            head.data());
        if (stream.sent == 0) {
          head[h2::kFrameHeader] = options_.gzip ? 1 : 0;
          h2::Store32(static_cast<uint32_t>(stream.request.body.size()), head.data() + h2::kFrameHeader + 1);
          AddIov({head.data(), kFrameRoom});
          AddIov(stream.request.body.substr(0, n - kPrefix));
        } else {
          AddIov({head.data(), h2::kFrameHeader});
          AddIov(stream.request.body.substr(stream.sent - kPrefix, n));
        }
        stream.sent += n;
        stream.window -= static_cast<int64_t>(n);
        window_ -= static_cast<int64_t>(n);
        gathered += n;
      }
      if (stream.sent == stream.total()) {
        sending_.erase(sending_.begin() + static_cast<std::ptrdiff_t>(i));
      } else {
        ++i;  // its window is used up; others may still send
      }
    }
  }

  void Take() override {
    while (in_.view().size() >= h2::kFrameHeader) {
      const h2::Frame frame = h2::ReadFrame(in_.view().data());
      if (in_.view().size() < h2::kFrameHeader + frame.length) return;
      OnFrame(frame, in_.view().substr(h2::kFrameHeader, frame.length));
      in_.Consume(h2::kFrameHeader + frame.length);
    }
  }

  void OnFrame(const h2::Frame& frame, std::string_view payload) {
    switch (frame.type) {
      case h2::kSettings:
        if ((frame.flags & h2::kAck) != 0) return;
        for (; payload.size() >= 6; payload.remove_prefix(6)) {
          const auto id =
              static_cast<uint16_t>(static_cast<uint8_t>(payload[0]) << 8 | static_cast<uint8_t>(payload[1]));
          const uint32_t value = h2::Load32(payload.data() + 2);
          if (id == h2::kMaxFrame) max_frame_ = value;
          if (id == h2::kInitialWindow) {
            for (auto& [stream_id, stream] : streams_) stream.window += int64_t{value} - initial_window_;
            initial_window_ = value;
          }
        }
        h2::AppendFrame(&control_, h2::kSettings, h2::kAck, 0, {});
        return;
      case h2::kPing:
        if ((frame.flags & h2::kAck) == 0) h2::AppendFrame(&control_, h2::kPing, h2::kAck, 0, payload);
        return;
      case h2::kWindowUpdate: {
        if (payload.size() < 4) return;
        const int64_t more = h2::Load32(payload.data()) & h2::kMaxWindow;
        if (frame.stream == 0) {
          window_ += more;
        } else if (const auto it = streams_.find(frame.stream); it != streams_.end()) {
          it->second.window += more;
        }
        return;
      }
      case h2::kHeaders:
        if (!h2::Unpad(frame, &payload)) Die("malformed HEADERS");
        block_ends_stream_ = (frame.flags & h2::kEndStream) != 0;
        [[fallthrough]];
      case h2::kContinuation: {
        block_ += payload;
        if ((frame.flags & h2::kEndHeaders) == 0) return;
        const auto it = streams_.find(frame.stream);
        const bool ok = inflater_.Read(block_, [&](std::string_view name, std::string_view value) {
          if (it == streams_.end()) return;
          if (name == "grpc-status") it->second.status = value;
          if (name == "grpc-message") it->second.message = value;
          if (name == ":status" && value != "200") it->second.message = "HTTP " + std::string(value);
        });
        if (!ok) Die("malformed header block");
        block_.clear();
        if (it != streams_.end() && block_ends_stream_) Finish(it);
        return;
      }
      case h2::kData: {
        consumed_ += frame.length;
        if (consumed_ > (1u << 20)) {
          h2::AppendWindowUpdate(&control_, 0, consumed_);
          consumed_ = 0;
        }
        if (!h2::Unpad(frame, &payload)) Die("malformed DATA");
        const auto it = streams_.find(frame.stream);
        if (it == streams_.end()) return;
        it->second.response += payload;
        if ((frame.flags & h2::kEndStream) != 0) Finish(it);
        return;
      }
      case h2::kRstStream:
        if (const auto it = streams_.find(frame.stream); it != streams_.end()) {
          it->second.status = "reset";
          Finish(it);
        }
        return;
      case h2::kGoAway:
        Die(options_.endpoint + ": GOAWAY " +
            std::string(payload.substr(std::min<size_t>(8, payload.size()))));
      default: return;
    }
  }

  void Finish(std::map<uint32_t, Stream>::iterator it) {
    sending_.erase(std::remove(sending_.begin(), sending_.end(), it->first), sending_.end());
    Stream& stream = it->second;
    Reply reply;
    reply.ok = stream.status == "0";
    if (!reply.ok) {
      reply.error =
          "grpc-status " + (stream.status.empty() ? "missing" : stream.status) + " " + stream.message;
    } else if (stream.response.size() > kPrefix) {
      reply.rejected = RejectedBy(std::string_view(stream.response).substr(kPrefix), &reply.error);
    }
    if (stream.sent < stream.total())
      h2::AppendFrame(&control_, h2::kRstStream, 0, it->first, std::string_view("\0\0\0\0", 4));
    const Request request = stream.request;
    streams_.erase(it);
    End(request, std::move(reply));
  }

  uint32_t next_stream_ = 1;
  int64_t window_ = h2::kDefaultWindow;
  int64_t initial_window_ = h2::kDefaultWindow;
  uint32_t max_frame_ = 16'384;
  uint32_t consumed_ = 0;
  bool block_ends_stream_ = false;
  h2::Inflater inflater_;
  std::string headers_[kSignals];
  std::string control_;  // frames other than DATA
  std::string writing_;  // those in iov_
  std::string block_;
  std::deque<std::array<char, kFrameRoom>> frames_;
  std::deque<uint32_t> sending_;
  std::map<uint32_t, Stream> streams_;
};

// One request at a time.
class HttpConnection : public Connection {
 public:
  using Connection::Connection;

 private:
  void Enqueue(Request request) override {
    request_ = std::move(request);
    head_ = std::string("POST ") + kPaths[static_cast<size_t>(request_.signal)] +
            " HTTP/1.1\r\nHost: " + options_.endpoint + "\r\nContent-Type: application/x-protobuf\r\n" +
            (options_.gzip ? "Content-Encoding: gzip\r\n" : "") +
            "Content-Length: " + std::to_string(request_.body.size()) + "\r\n\r\n";
    fresh_ = true;
  }

  void Gather() override {
    if (!fresh_) return;
    fresh_ = false;
    AddIov(head_);
    AddIov(request_.body);
  }

  void Take() override {
    http1::Message message;
    const http1::Parsed parsed = http1::Parse(in_.view(), &message);
    if (parsed == http1::Parsed::kIncomplete) return;
    if (parsed == http1::Parsed::kMalformed || message.start_line.size() < 12) Die("malformed HTTP response");
    if (!message.keep_alive)
      Die(options_.endpoint + ": " + std::string(message.start_line) + ", and the connection closes");
    const std::string status(message.start_line.substr(9, 3));
    in_.Consume(message.size);
    Reply reply;
    reply.ok = status[0] == '2';
    if (reply.ok) {
      reply.rejected = RejectedBy(message.body, &reply.error);
    } else {
      reply.error = "HTTP " + status;
    }
    End(request_, std::move(reply));
  }

  Request request_;
  std::string head_;
  bool fresh_ = false;
};

struct Limit {
  double duration = 0;
  uint64_t items = 0;
  double rate = 0;
};

struct Result {
  uint64_t requests = 0;
  uint64_t failed = 0;
  uint64_t rejected = 0;
  uint64_t capped = 0;
  uint64_t items[kSignals] = {};  // of accepted requests
  uint64_t key_sum[kSignals] = {};
  uint64_t bytes = 0;  // of bodies as sent
  bool reused = false;
  std::string first_error;
  Histogram latency;
};

class Load {
 public:
  explicit Load(const Options& options) : options_(options) {
    Corpora made = MakeCorpora(options.corpus);
    for (const Signal signal : options.signals) {
      corpora_.push_back(std::move(signal == Signal::kTraces ? made.traces : made.logs));
    }
    first_pass_ = WallNow() / 1'000;
    if (options.gzip) Compress();
    const size_t count = options.grpc ? options.connections : options.in_flight;
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    const auto done = [this](const Request& request, Reply reply) { OnDone(request, std::move(reply)); };
    for (size_t i = 0; i < count; ++i) {
      if (options.grpc) {
        connections_.push_back(std::make_unique<GrpcConnection>(options, done));
      } else {
        connections_.push_back(std::make_unique<HttpConnection>(options, done));
      }
      epoll_event event = {};
      event.events = EPOLLIN;
      event.data.u64 = i;
      epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_[i]->fd(), &event);
    }
    watched_.resize(count);
  }

  void PrintCorpus() const {
    for (const Corpus& corpus : corpora_) {
      const CorpusStats& s = corpus.stats;
      const auto items = static_cast<double>(s.items);
      std::fprintf(
          stderr,
          "%s: %zu requests, %llu items, %.1f bytes and %.1f attributes an item, %.1f resources a request, "
          "%.1f %% with trace",
          std::string(SignalName(corpus.signal)).c_str(), corpus.batches.size(),
          static_cast<unsigned long long>(s.items), static_cast<double>(s.bytes) / items,
          static_cast<double>(s.attributes) / items,
          static_cast<double>(s.resources) / static_cast<double>(corpus.batches.size()),
          100 * static_cast<double>(s.with_trace) / items);
      if (corpus.signal == Signal::kTraces) {
        std::fprintf(stderr, ", %.1f spans a trace, %llu series, %.1f %% errors",
                     items / static_cast<double>(s.traces), static_cast<unsigned long long>(s.series),
                     100 * static_cast<double>(s.errors) / items);
      }
      std::fprintf(stderr, "\n");
    }
  }

  void Run(const Limit& limit) {
    result_ = std::make_unique<Result>();
    rusage before;
    getrusage(RUSAGE_SELF, &before);
    const uint64_t start = Now();
    uint64_t handed_out = 0;  // items
    uint64_t due_number = 0;
    uint64_t last_capped = 0;
    const double interval = limit.rate > 0 ? options_.corpus.items / limit.rate * 1e9 : 0;
    while (true) {
      uint64_t now = Now();
      const bool over = (limit.duration > 0 && static_cast<double>(now - start) >= limit.duration * 1e9) ||
                        (limit.items > 0 && handed_out >= limit.items);
      if (over && under_way_ == 0) break;
      uint64_t wake = now + kSecond / 10;
      if (!over && now >= paused_until_) {
        while (under_way_ < options_.in_flight && (limit.items == 0 || handed_out < limit.items)) {
          uint64_t from = now;
          if (limit.rate > 0) {
            const uint64_t due = start + static_cast<uint64_t>(static_cast<double>(due_number) * interval);
            if (due > now) {
              wake = std::min(wake, due);
              break;
            }
            from = due;
            ++due_number;
          }
          handed_out += StartNext(from);
          now = Now();
        }
        if (limit.rate > 0 && under_way_ >= options_.in_flight) {
          // The requests that have become due meanwhile.
          const auto due_by_now = static_cast<uint64_t>(static_cast<double>(now - start) / interval) + 1;
          if (due_by_now > std::max(due_number, last_capped)) {
            result_->capped += due_by_now - std::max(due_number, last_capped);
            last_capped = due_by_now;
          }
        }
      } else if (!over) {
        wake = std::min(wake, paused_until_);
      }
      Wait(wake);
    }
    Print(static_cast<double>(Now() - start) / 1e9, before);
  }

 private:
  struct Prepared {
    std::string body;
    uint64_t items;
    uint64_t key_sum;
  };

  void Compress() {
    libdeflate_compressor* compressor = libdeflate_alloc_compressor(6);
    const uint64_t shift = WallNow() - kCorpusTime;
    prepared_.resize(corpora_.size());
    for (uint32_t pass = 0; pass < options_.gzip_passes; ++pass) {
      for (size_t i = 0; i < corpora_.size(); ++i) {
        for (CorpusBatch& batch : corpora_[i].batches) {
          batch.Salt(first_pass_ + pass, shift);
          std::string out(libdeflate_gzip_compress_bound(compressor, batch.payload.size()), '\0');
          out.resize(libdeflate_gzip_compress(compressor, batch.payload.data(), batch.payload.size(),
                                              out.data(), out.size()));
          out.shrink_to_fit();
          prepared_[i].push_back({std::move(out), batch.items, KeySum(corpora_[i], batch)});
        }
      }
    }
    libdeflate_free_compressor(compressor);
  }

  static uint64_t KeySum(const Corpus& corpus, const CorpusBatch& batch) {
    return corpus.signal == Signal::kLogs ? batch.key_sum + batch.items * batch.shift : batch.key_sum;
  }

  // Starts the next request of the corpora in turn; returns its items.
  uint64_t StartNext(uint64_t from) {
    const size_t which = next_ % corpora_.size();
    const uint64_t n = next_ / corpora_.size();
    ++next_;
    Corpus& corpus = corpora_[which];
    Request request;
    request.signal = corpus.signal;
    request.from = from;
    if (options_.gzip) {
      const std::vector<Prepared>& all = prepared_[which];
      result_->reused = result_->reused || n >= all.size();
      const Prepared& prepared = all[n % all.size()];
      request.body = prepared.body;
      request.items = prepared.items;
      request.key_sum = prepared.key_sum;
    } else {
      const uint64_t pass = n / corpus.batches.size();
      CorpusBatch& batch = corpus.batches[n % corpus.batches.size()];
      if (pass != shift_pass_ || shift_ == 0) {
        shift_pass_ = pass;
        shift_ = WallNow() - kCorpusTime;
      }
      batch.Salt(first_pass_ + pass, shift_);
      request.body = batch.payload;
      request.items = batch.items;
      request.key_sum = KeySum(corpus, batch);
    }
    ++under_way_;
    const uint64_t items = request.items;
    Connection* least = connections_[0].get();
    for (const auto& connection : connections_) {
      if (connection->under_way() < least->under_way()) least = connection.get();
    }
    least->Start(std::move(request));
    return items;
  }

  void OnDone(const Request& request, Reply reply) {
    --under_way_;
    const uint64_t now = Now();
    result_->latency.Add(now - request.from);
    ++result_->requests;
    if (!reply.error.empty() && result_->first_error.empty()) result_->first_error = reply.error;
    if (!reply.ok) {
      ++result_->failed;
      paused_until_ = now + kPauseAfterFailure;
      return;
    }
    result_->rejected += reply.rejected;
    result_->items[static_cast<size_t>(request.signal)] += request.items;
    result_->key_sum[static_cast<size_t>(request.signal)] += request.key_sum;
    result_->bytes += request.body.size();
  }

  void Wait(uint64_t until) {
    for (size_t i = 0; i < connections_.size(); ++i) {
      const bool wanted = connections_[i]->writable_wanted();
      if (wanted == watched_[i]) continue;
      watched_[i] = wanted;
      epoll_event event = {};
      event.events = EPOLLIN | (wanted ? EPOLLOUT : 0u);
      event.data.u64 = i;
      epoll_ctl(epoll_, EPOLL_CTL_MOD, connections_[i]->fd(), &event);
    }
    const uint64_t now = Now();
    const uint64_t wait = until > now ? until - now : 0;
    const timespec timeout = {static_cast<time_t>(wait / kSecond), static_cast<long>(wait % kSecond)};
    epoll_event events[64];
    const int n = epoll_pwait2(epoll_, events, 64, &timeout, nullptr);
    for (int i = 0; i < n; ++i) {
      Connection& connection = *connections_[events[i].data.u64];
      if ((events[i].events & EPOLLOUT) != 0) connection.Write();
      if ((events[i].events & ~uint32_t{EPOLLOUT}) != 0) connection.OnReadable();
    }
  }

  void Print(double seconds, const rusage& before) const {
    rusage after;
    getrusage(RUSAGE_SELF, &after);
    const auto cpu = [](const rusage& u) {
      return static_cast<double>(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
             static_cast<double>(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
    };
    const Result& r = *result_;
    const auto ms = [&](double q) { return static_cast<double>(r.latency.Quantile(q)) / 1e6; };
    std::ostringstream out;
    out << "{\"seconds\": " << seconds << ", \"requests\": " << r.requests << ", \"failed\": " << r.failed
        << ", \"rejected\": " << r.rejected << ", \"capped\": " << r.capped << ", \"bytes\": " << r.bytes
        << ", \"reused\": " << (r.reused ? "true" : "false");
    uint64_t total = 0;
    for (size_t i = 0; i < 2; ++i) {
      out << ", \"" << SignalName(static_cast<Signal>(i)) << "\": {\"items\": " << r.items[i]
          << ", \"key_sum\": " << r.key_sum[i] << "}";
      total += r.items[i];
    }
    out << ", \"items\": " << total << ", \"client_cpu_seconds\": " << cpu(after) - cpu(before)
        << ", \"latency_ms\": {\"p50\": " << ms(0.5) << ", \"p90\": " << ms(0.9) << ", \"p99\": " << ms(0.99)
        << ", \"p999\": " << ms(0.999) << ", \"max\": " << static_cast<double>(r.latency.max()) / 1e6
        << "}, \"error\": \"";
    for (const char c : r.first_error) out << (c == '"' || c == '\\' || c < ' ' ? '\'' : c);
    out << "\"}";
    std::cout << out.str() << std::endl;
  }

  const Options& options_;
  std::vector<Corpus> corpora_;
  std::vector<std::vector<Prepared>> prepared_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<bool> watched_;
  int epoll_ = -1;
  uint64_t first_pass_ = 0;
  uint64_t next_ = 0;
  uint64_t shift_pass_ = 0;
  uint64_t shift_ = 0;
  uint64_t paused_until_ = 0;
  size_t under_way_ = 0;
  std::unique_ptr<Result> result_;
};

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--gzip") {
      options.gzip = true;
      continue;
    }
    if (i + 1 == argc) Die(flag + ": needs a value, or is unknown");
    const std::string value = argv[++i];
    const auto number = [&] { return static_cast<uint32_t>(std::strtoul(value.c_str(), nullptr, 10)); };
    if (flag == "--endpoint") {
      options.endpoint = value;
    } else if (flag == "--protocol") {
      if (value != "grpc" && value != "http") Die("--protocol is grpc or http");
      options.grpc = value == "grpc";
    } else if (flag == "--signals") {
      options.signals.clear();
      if (value.find("traces") != std::string::npos) options.signals.push_back(Signal::kTraces);
      if (value.find("logs") != std::string::npos) options.signals.push_back(Signal::kLogs);
      if (options.signals.empty()) Die("--signals is traces, logs or traces,logs");
    } else if (flag == "--gzip-passes") {
      options.gzip_passes = number();
    } else if (flag == "--in-flight") {
      options.in_flight = number();
    } else if (flag == "--connections") {
      options.connections = number();
    } else if (flag == "--corpus-batches") {
      options.corpus.batches = number();
    } else if (flag == "--corpus-items") {
      options.corpus.items = number();
    } else {
      Die(flag + ": unknown");
    }
  }
  if (options.endpoint.empty()) Die("--endpoint is missing");
  if (options.in_flight == 0 || options.connections == 0 || options.in_flight * 2 > options.corpus.batches) {
    Die("--in-flight and --connections are at least 1, and at most half of the corpus is under way");
  }
  std::signal(SIGPIPE, SIG_IGN);
  Load load(options);
  load.PrintCorpus();
  std::cout << "{\"ready\": true}" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    if (word != "run") Die("not a command: " + line);
    Limit limit;
    while (words >> word) {
      const size_t equals = word.find('=');
      const std::string key = word.substr(0, equals);
      const double value = equals == std::string::npos ? -1 : std::atof(word.c_str() + equals + 1);
      if (key == "duration") {
        limit.duration = value;
      } else if (key == "items") {
        limit.items = static_cast<uint64_t>(value);
      } else if (key == "rate") {
        limit.rate = value;
      } else {
        Die("not a limit: " + word);
      }
    }
    if (limit.duration <= 0 && limit.items == 0) Die("a run needs a duration or items");
    load.Run(limit);
  }
  return 0;
}

}  // namespace
}  // namespace braid::bench

int main(int argc, char** argv) { return braid::bench::Main(argc, argv); }
