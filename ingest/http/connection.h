#pragma once

// Inside of ingest/http: what http_server.cc, connection.cc and the two sessions share. No Asio, Beast,
// nghttp2 or OpenSSL here.

#include <sys/uio.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ingest/http/http_server.h"
#include "ingest/http/message.h"
#include "ingest/http/rpc_status.h"

struct ssl_ctx_st;
struct ssl_st;

namespace braid::ingest::internal {

using TimePoint = std::chrono::steady_clock::time_point;

// Written on one core, read from anywhere.
struct Counters {
  std::atomic<uint64_t> connections_accepted{0}, connections_open{0}, requests{0}, bytes_received{0},
      bytes_sent{0}, tls_failures{0}, protocol_errors{0}, floods{0}, header_timeouts{0}, body_timeouts{0},
      idle_timeouts{0}, write_timeouts{0}, deadlines_passed{0}, refused_too_large{0}, refused_no_memory{0};
};

inline void Count(std::atomic<uint64_t>& counter, uint64_t n = 1) {
  counter.fetch_add(n, std::memory_order_relaxed);
}

// One core thread as the server sees it.
struct Core {
  boost::asio::io_context* io = nullptr;
  size_t index = 0;
  const HttpServer::Options* options = nullptr;
  SlabPool* pool = nullptr;
  Handler* handler = nullptr;
  Counters counters;

  // Shared by the core's connections: input passes through it and is used up before the next read.
  static constexpr size_t kReadBuffer = 256u << 10;
  std::vector<char> read_buffer;

  std::list<std::shared_ptr<Connection>> connections;
  TimePoint now;     // at the last event
  std::string date;  // for the Date header
  uint64_t random = 0x9e3779b97f4a7c15u;

  // retry_after to twice that.
  std::chrono::milliseconds RetryDelayNow();
};

// Bytes on their way to the socket. Small pieces are joined, large ones are moved, not copied.
class OutputQueue {
 public:
  void Append(std::string_view bytes);
  void Append(std::string&& bytes);
  void Append(Slab&& slab);

  size_t bytes() const { return bytes_; }
  bool empty() const { return bytes_ == 0; }

  // Fills `parts` from the front; returns how many.
  size_t Gather(iovec* parts, size_t max) const;
  void Consume(size_t n);
  void Clear();

 private:
  struct Piece {
    std::string text;
    Slab slab;
    size_t sent = 0;
    std::string_view view() const { return slab ? slab.view() : std::string_view(text); }
  };
  std::deque<Piece> pieces_;
  size_t bytes_ = 0;
};

// One protocol on one connection. Runs on the connection's core; owned by the Connection.
class Session {
 public:
  virtual ~Session() = default;

  // All of `bytes` is used up or kept.
  virtual void OnBytes(std::string_view bytes) = 0;

  // Where the next bytes should be received directly, or null for the shared buffer.
  virtual char* DirectWindow(size_t* /*size*/) { return nullptr; }
  virtual void OnDirect(size_t /*size*/) {}

  virtual void OnEof() = 0;

  // The most the next read should bring; 0 while none is wanted.
  virtual size_t wanted() const = 0;

  // The answer to request `id`; dropped if that is gone.
  virtual void Respond(uint32_t id, Response response) = 0;

  // Adds output to the connection's queue up to about `limit` bytes of it.
  virtual void Produce(size_t limit) = 0;

  virtual void Sweep(TimePoint now) = 0;

  // The server is stopping.
  virtual void Drain() = 0;

  // Whether requests are under way.
  virtual bool busy() const = 0;
};

std::unique_ptr<Session> NewHttp1Session(Connection* connection);
std::unique_ptr<Session> NewHttp2Session(Connection* connection);

// A socket with its TLS, its output, and after the first bytes its Session.
//
// Thread rule: its core, but for Reply().
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Core& core, int fd, Peer peer, ssl_ctx_st* tls);
  ~Connection();

  void Start();
  void Sweep(TimePoint now);
  void Drain();
  void Abort();

  // From any thread.
  void Reply(uint32_t id, Response response);

  // --- for sessions ---
  Core& core() { return core_; }
  const HttpServer::Options& options() const { return *core_.options; }
  TimePoint now() const { return core_.now; }
  OutputQueue& out() { return out_; }

  // Output was queued or can be produced; it is written at the end of the present turn.
  void WantFlush();

  // Writes what is queued, then closes: tells the peer so, and discards what it still sends for at most
  // `linger`, so that a reply is not lost to a reset.
  void CloseAfterFlush(std::chrono::milliseconds linger);
  bool closing() const { return closing_ || closed_; }

  // The head is complete: the peer and core are noted, CORS applied, the handler asked. A Response refuses.
  // `cors` gets the headers to add to whatever reply there will be.
  std::optional<Response> Screen(Request* request, std::vector<std::pair<std::string, std::string>>* cors);

  // Hands a complete request to the handler.
  void Dispatch(Request request, uint32_t id);

  // The standard refusals.
  Response TooLarge(const Request& request);
  Response NoMemory(const Request& request);

 private:
  struct Socket;
  enum class Io : uint8_t { kOk, kWantRead, kWantWrite, kEof, kError };

  void ArmRead();
  void ArmWrite();
  void OnReadable();
  void OnWritable();
  bool ReadTurn();
  bool Handshake();
  Io Read(char* to, size_t size, size_t* n);
  Io Write(size_t* n);
  void Feed(std::string_view bytes);
  void Flush();
  void FinishClose();

  Core& core_;
  const std::shared_ptr<const Peer> peer_;
  std::unique_ptr<Socket> socket_;
  ssl_st* ssl_ = nullptr;
  bool handshaking_ = false;
  std::unique_ptr<Session> session_;
  std::string head_;  // first bytes, until they tell the protocol
  OutputQueue out_;

  bool read_armed_ = false;
  bool write_armed_ = false;
  bool read_wants_write_ = false;
  bool flush_posted_ = false;
  bool eof_ = false;
  bool closing_ = false;
  bool lingering_ = false;
  bool closed_ = false;
  bool draining_ = false;
  std::chrono::milliseconds linger_{0};
  TimePoint linger_until_;
  size_t linger_bytes_ = 0;
  TimePoint started_;
  TimePoint write_progress_;
  std::list<std::shared_ptr<Connection>>::iterator self_;
  bool listed_ = false;

  // Keeps the Core: a Responder may outlive the server.
  std::shared_ptr<void> keep_;

  friend class ServerState;
};

}  // namespace braid::ingest::internal
