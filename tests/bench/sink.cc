// braid_sink: takes whatever a gateway forwards and counts it, for next to no CPU time of its own.
//
//   braid_sink --grpc 127.0.0.1:25317 --http 127.0.0.1:25318
//
// OTLP/gRPC on the one port; OTLP/HTTP, Loki push (POST /loki/api/v1/push) and GET /counts on the other. Port
// 0 picks one. The first line on stdout says where it listens. Every request is answered with success at
// once.

#include <libdeflate.h>
#include <snappy.h>
#include <sys/uio.h>

#include <csignal>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/wire.h"
#include "tests/bench/corpus.h"
#include "tests/bench/h2.h"
#include "tests/bench/http1.h"
#include "tests/bench/net.h"

namespace braid::bench {
namespace {

constexpr size_t kMaxInflated = 256u << 20;

struct Totals {
  uint64_t items = 0;
  uint64_t key_sum = 0;
  uint64_t requests = 0;
  uint64_t wire_bytes = 0;
  uint64_t bytes = 0;
  uint64_t bad = 0;
};

// All counters; one thread.
class Counters {
 public:
  ~Counters() { libdeflate_free_decompressor(inflater_); }

  bool Otlp(Signal signal, std::string_view body, bool gzip) {
    Totals& totals = signals_[static_cast<size_t>(signal)];
    ++totals.requests;
    totals.wire_bytes += body.size();
    Tally tally;
    if ((gzip && !Inflate(&body)) || !TallyRequest(signal, body, &tally)) {
      ++totals.bad;
      return false;
    }
    totals.bytes += body.size();
    totals.items += tally.items;
    totals.key_sum += tally.key_sum;
    return true;
  }

  bool Loki(std::string_view body) {
    ++loki_.requests;
    loki_.wire_bytes += body.size();
    std::string plain;
    if (!snappy::Uncompress(body.data(), body.size(), &plain)) {
      ++loki_.bad;
      return false;
    }
    loki_.bytes += plain.size();
    for (wire::Cursor push(plain); push.Next();) {
      if (push.field().number != 1) continue;
      for (wire::Cursor stream(push.field().bytes); stream.Next();)
        loki_.items += stream.field().number == 2 ? 1 : 0;
    }
    return true;
  }

  std::string ToJson() const {
    std::string out = "{";
    for (int i = 0; i < kSignals; ++i) {
      out += Line(SignalName(static_cast<Signal>(i)), signals_[static_cast<size_t>(i)]) + ", ";
    }
    return out + Line("loki", loki_) + "}\n";
  }

 private:
  static std::string Line(std::string_view name, const Totals& t) {
    const auto pair = [](const char* key, uint64_t value) {
      return "\"" + std::string(key) + "\": " + std::to_string(value);
    };
    return "\"" + std::string(name) + "\": {" + pair("items", t.items) + ", " + pair("key_sum", t.key_sum) +
           ", " + pair("requests", t.requests) + ", " + pair("wire_bytes", t.wire_bytes) + ", " +
           pair("bytes", t.bytes) + ", " + pair("bad", t.bad) + "}";
  }

  // Points `body` at its inflated content, which lives until the next call.
  bool Inflate(std::string_view* body) {
    if (plain_.empty()) plain_.resize(1u << 20);
    while (true) {
      size_t size = 0;
      const auto result = libdeflate_gzip_decompress(inflater_, body->data(), body->size(), plain_.data(),
                                                     plain_.size(), &size);
      if (result == LIBDEFLATE_SUCCESS) {
        *body = {plain_.data(), size};
        return true;
      }
      if (result != LIBDEFLATE_INSUFFICIENT_SPACE || plain_.size() >= kMaxInflated) return false;
      plain_.resize(plain_.size() * 2);
    }
  }

  Totals signals_[kSignals];
  Totals loki_;
  libdeflate_decompressor* inflater_ = libdeflate_alloc_decompressor();
  std::string plain_;
};

// One accepted connection.
class Connection {
 public:
  Connection(int fd, Counters& counters) : fd_(fd), counters_(counters) { SetNoDelay(fd); }
  virtual ~Connection() { close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // False when it is over.
  bool OnReady() {
    while (true) {
      const ssize_t n = in_.Fill(fd_);
      if (n == 0) return false;
      if (n < 0) break;
      if (!Take()) return false;
    }
    return Flush();
  }

 protected:
  // Handles what is complete in in_; false on malformed input.
  virtual bool Take() = 0;

  bool Flush() {
    while (!out_.empty()) {
      const ssize_t n = write(fd_, out_.data(), out_.size());
      if (n < 0)
        return errno == EAGAIN || errno == EINTR;  // Tried again with the next event; answers are tiny.
      out_.erase(0, static_cast<size_t>(n));
    }
    return true;
  }

  const int fd_;
  Counters& counters_;
  InBuffer in_;
  std::string out_;
};

class GrpcConnection : public Connection {
 public:
  GrpcConnection(int fd, Counters& counters) : Connection(fd, counters) {
    std::string settings;
    h2::AppendSetting(&settings, h2::kInitialWindow, h2::kMaxWindow);
    h2::AppendSetting(&settings, h2::kMaxFrame, 1u << 20);
    h2::AppendFrame(&out_, h2::kSettings, 0, 0, settings);
    h2::AppendWindowUpdate(&out_, 0, h2::kMaxWindow - h2::kDefaultWindow);
    h2::AppendField(&ok_, ":status", "200");
    h2::AppendField(&ok_, "content-type", "application/grpc");
    h2::AppendField(&trailers_, "grpc-status", "0");
    h2::AppendField(&refusal_, ":status", "200");
    h2::AppendField(&refusal_, "content-type", "application/grpc");
    h2::AppendField(&refusal_, "grpc-status", "3");
  }

 private:
  struct Stream {
    Signal signal = Signal::kTraces;
    std::string body;
  };

  bool Take() override {
    if (!greeted_) {
      if (in_.view().size() < h2::kPreface.size()) return true;
      if (in_.view().substr(0, h2::kPreface.size()) != h2::kPreface) return false;
      in_.Consume(h2::kPreface.size());
      greeted_ = true;
    }
    while (in_.view().size() >= h2::kFrameHeader) {
      const h2::Frame frame = h2::ReadFrame(in_.view().data());
      if (in_.view().size() < h2::kFrameHeader + frame.length) break;
      if (!OnFrame(frame, in_.view().substr(h2::kFrameHeader, frame.length))) return false;
      in_.Consume(h2::kFrameHeader + frame.length);
    }
    return true;
  }

  bool OnFrame(const h2::Frame& frame, std::string_view payload) {
    switch (frame.type) {
      case h2::kSettings:
        if ((frame.flags & h2::kAck) == 0) h2::AppendFrame(&out_, h2::kSettings, h2::kAck, 0, {});
        return true;
      case h2::kPing:
        if ((frame.flags & h2::kAck) == 0) h2::AppendFrame(&out_, h2::kPing, h2::kAck, 0, payload);
        return true;
      case h2::kHeaders:
        if (!h2::Unpad(frame, &payload)) return false;
        [[fallthrough]];
      case h2::kContinuation:
        block_ += payload;
        if (frame.type == h2::kHeaders) ends_with_headers_ = (frame.flags & h2::kEndStream) != 0;
        if ((frame.flags & h2::kEndHeaders) == 0) return true;
        return OnHeaders(frame.stream);
      case h2::kData:
        consumed_ += frame.length;
        if (consumed_ > (1u << 29)) {
          h2::AppendWindowUpdate(&out_, 0, consumed_);
          consumed_ = 0;
        }
        if (!h2::Unpad(frame, &payload)) return false;
        streams_[frame.stream].body += payload;
        if ((frame.flags & h2::kEndStream) != 0) Answer(frame.stream);
        return true;
      case h2::kRstStream: streams_.erase(frame.stream); return true;
      default: return true;
    }
  }

  bool OnHeaders(uint32_t id) {
    Stream& stream = streams_[id];
    const bool ok = inflater_.Read(block_, [&](std::string_view name, std::string_view value) {
      if (name != ":path") return;
      stream.signal = value.find("Logs") != std::string_view::npos      ? Signal::kLogs
                      : value.find("Metrics") != std::string_view::npos ? Signal::kMetrics
                                                                        : Signal::kTraces;
    });
    block_.clear();
    if (ends_with_headers_) Answer(id);
    return ok;
  }

  void Answer(uint32_t id) {
    const auto node = streams_.extract(id);
    const Stream& stream = node.mapped();
    const std::string_view body = stream.body;
    bool ok = body.size() >= 5 && h2::Load32(body.data() + 1) == body.size() - 5;
    if (ok) ok = counters_.Otlp(stream.signal, body.substr(5), body[0] == 1);
    if (ok) {
      h2::AppendFrame(&out_, h2::kHeaders, h2::kEndHeaders, id, ok_);
      h2::AppendFrame(&out_, h2::kData, 0, id, std::string_view("\0\0\0\0\0", 5));
      h2::AppendFrame(&out_, h2::kHeaders, h2::kEndHeaders | h2::kEndStream, id, trailers_);
    } else {
      h2::AppendFrame(&out_, h2::kHeaders, h2::kEndHeaders | h2::kEndStream, id, refusal_);
    }
  }

  h2::Inflater inflater_;
  bool greeted_ = false;
  bool ends_with_headers_ = false;
  uint32_t consumed_ = 0;
  std::string block_;
  std::unordered_map<uint32_t, Stream> streams_;
  std::string ok_;
  std::string trailers_;
  std::string refusal_;
};

class HttpConnection : public Connection {
 public:
  using Connection::Connection;

 private:
  bool Take() override {
    while (true) {
      http1::Message message;
      const http1::Parsed parsed = http1::Parse(in_.view(), &message);
      if (parsed == http1::Parsed::kMalformed) return false;
      if (parsed == http1::Parsed::kIncomplete) return true;
      Answer(message);
      in_.Consume(message.size);
      if (!message.keep_alive) {
        Flush();
        return false;
      }
    }
  }

  void Answer(const http1::Message& message) {
    const auto starts = [&](std::string_view text) {
      return message.start_line.substr(0, text.size()) == text;
    };
    if (starts("GET /counts ")) {
      const std::string body = counters_.ToJson();
      out_ += "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body;
      return;
    }
    bool ok = false;
    bool found = true;
    if (starts("POST /v1/traces ")) {
      ok = counters_.Otlp(Signal::kTraces, message.body, message.gzip);
    } else if (starts("POST /v1/logs ")) {
      ok = counters_.Otlp(Signal::kLogs, message.body, message.gzip);
    } else if (starts("POST /v1/metrics ")) {
      ok = counters_.Otlp(Signal::kMetrics, message.body, message.gzip);
    } else if (starts("POST /loki/api/v1/push ")) {
      ok = counters_.Loki(message.body);
      if (ok) {
        out_ += "HTTP/1.1 204 No Content\r\n\r\n";
        return;
      }
    } else {
      found = false;
    }
    out_ += !found ? "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
            : ok   ? "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
                   : "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
  }
};

int Main(int argc, char** argv) {
  std::string grpc = "127.0.0.1:0";
  std::string http = "127.0.0.1:0";
  for (int i = 1; i < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (i + 1 == argc || (flag != "--grpc" && flag != "--http")) {
      Die("usage: braid_sink [--grpc ADDRESS:PORT] [--http ADDRESS:PORT]");
    }
    (flag == "--grpc" ? grpc : http) = argv[i + 1];
  }
  std::signal(SIGPIPE, SIG_IGN);
  const int grpc_listener = Listen(grpc, &grpc);
  const int http_listener = Listen(http, &http);
  std::printf("{\"grpc\": \"%s\", \"http\": \"%s\"}\n", grpc.c_str(), http.c_str());
  std::fflush(stdout);

  Counters counters;
  std::map<int, std::unique_ptr<Connection>> connections;
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  const auto watch = [&](int fd) {
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.fd = fd;
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  };
  watch(grpc_listener);
  watch(http_listener);
  while (true) {
    epoll_event events[64];
    const int n = epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < n; ++i) {
      const int fd = events[i].data.fd;
      if (fd == grpc_listener || fd == http_listener) {
        while (true) {
          const int accepted = accept4(fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
          if (accepted < 0) break;
          if (fd == grpc_listener) {
            connections[accepted] = std::make_unique<GrpcConnection>(accepted, counters);
          } else {
            connections[accepted] = std::make_unique<HttpConnection>(accepted, counters);
          }
          watch(accepted);
        }
      } else if (!connections.at(fd)->OnReady()) {
        connections.erase(fd);
      }
    }
  }
}

}  // namespace
}  // namespace braid::bench

int main(int argc, char** argv) { return braid::bench::Main(argc, argv); }
