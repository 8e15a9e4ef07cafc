#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/slab.h"
#include "base/status.h"
#include "ingest/http/message.h"

namespace boost::asio {
class io_context;
}

namespace braid::ingest {

namespace internal {
class Connection;
class ServerState;
}  // namespace internal

// The way back to the sender of one request.
//
// Thread rule: one owner at a time, on any thread; a reply given elsewhere than on the connection's core
// is posted there.
// Lifetime: may outlive the connection (the reply is then dropped) but not the io_contexts.
class Responder {
 public:
  Responder() = default;
  Responder(std::shared_ptr<internal::Connection> connection, uint32_t id);
  Responder(Responder&&) noexcept = default;
  Responder& operator=(Responder&& other) noexcept;

  // Answers 500 / INTERNAL if no reply was given, so that no sender waits for ever.
  ~Responder();

  // Once; further calls do nothing.
  void Reply(Response response);

 private:
  void Abandon();

  std::shared_ptr<internal::Connection> connection_;
  uint32_t id_ = 0;
};

// What a server does with its requests. Called on the core that owns the connection; must not block.
class Handler {
 public:
  virtual ~Handler() = default;

  // The head is complete, nothing of the body is taken yet: a Response refuses the request before it costs
  // memory (unknown path, wrong type, missing credentials). May set Request::tenant.
  virtual std::optional<Response> Screen(Request& head);

  // The request is complete. `responder` may be kept for as long as the answer takes.
  virtual void Handle(Request request, Responder responder) = 0;
};

// Totals since Start(), over all cores; connections_open is the present number.
struct HttpStats {
  uint64_t connections_accepted = 0;
  uint64_t connections_open = 0;
  uint64_t connections_refused = 0;  // over max_connections
  uint64_t requests = 0;             // heads received
  uint64_t bytes_received = 0;
  uint64_t bytes_sent = 0;
  uint64_t tls_failures = 0;
  uint64_t protocol_errors = 0;  // malformed HTTP
  uint64_t floods = 0;           // connections closed with ENHANCE_YOUR_CALM
  uint64_t header_timeouts = 0;
  uint64_t body_timeouts = 0;  // below the minimum rate
  uint64_t idle_timeouts = 0;
  uint64_t write_timeouts = 0;    // the peer does not read, or has more than max_output_bytes waiting
  uint64_t deadlines_passed = 0;  // grpc-timeout
  uint64_t refused_too_large = 0;
  uint64_t refused_no_memory = 0;
};

// HTTP/1.1 and HTTP/2 (by prior knowledge on any port, by ALPN under TLS) with unary gRPC on top, on one
// port.
//
// One acceptor hands each connection to the core with the least traffic, where it stays. Bodies are
// gathered in slabs as they arrive; when the pool refuses, the request is answered with 503 or UNAVAILABLE
// and a time to come back, and its remaining bytes are discarded.
//
// Peers that cost more than they deliver (stream resets, CONTINUATION, SETTINGS, PING, empty frames) run out
// of a budget that useful requests refill, and are closed with GOAWAY(ENHANCE_YOUR_CALM).
//
// Thread rule: Start() and Stop() from one thread that runs none of the io_contexts.
// Lifetime: io_contexts (each run by exactly one thread), pool and handler outlive the server.
// Bound: per connection max_concurrent_streams requests, max_connection_body_bytes of bodies under way and
// max_output_bytes of replies; overall max_connections and the pool.
class HttpServer {
 public:
  struct Tls {
    std::string certificate_file;  // PEM, leaf first
    std::string key_file;          // PEM
    std::string client_ca_file;    // not empty: clients must present a certificate that it vouches for
  };

  struct Options {
    std::string address = "127.0.0.1";
    uint16_t port = 0;  // 0: any free one, see port()
    std::optional<Tls> tls{};

    size_t max_connections = 10'000;
    size_t max_body_bytes = 64u << 20;
    size_t max_header_bytes = 16u << 10;
    size_t max_header_count = 128;
    uint32_t max_concurrent_streams = 100;
    size_t max_connection_body_bytes = 128u << 20;
    size_t max_output_bytes = 64u << 20;

    // HTTP/2 windows. A stream's spares a 512-span request any WINDOW_UPDATE of its own; the connection's
    // bounds what one peer may have under way unread. Neither leases memory.
    uint32_t stream_window = 1u << 20;
    uint32_t connection_window = 4u << 20;

    std::chrono::milliseconds tls_handshake_timeout{5'000};
    std::chrono::milliseconds header_timeout{10'000};
    std::chrono::milliseconds idle_timeout{300'000};
    std::chrono::milliseconds write_timeout{30'000};

    // In every such interval a body must grow by min_body_rate bytes per second of it.
    std::chrono::milliseconds body_interval{10'000};
    size_t min_body_rate = 1024;

    // When to come back after a refusal; up to twice that, at random.
    std::chrono::milliseconds retry_after{1'000};

    // Origins that browsers may send from: exact, "*", or with one '*' ("https://*.example.com"). Empty: no
    // CORS.
    std::vector<std::string> cors_allowed_origins{};
    std::vector<std::string> cors_allowed_headers{};  // besides content-type and content-encoding
  };

  HttpServer(std::vector<boost::asio::io_context*> cores, SlabPool& pool, Options options, Handler* handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Reads certificates, binds and listens.
  Status Start();

  // The bound port. REQUIRES: Start() succeeded.
  uint16_t port() const;

  // Takes no new connections, tells the present ones (GOAWAY twice, Connection: close), lets requests under
  // way finish, and cuts what is left at the deadline. Returns when all connections are gone. Idempotent,
  // safe before Start(). REQUIRES: the io_contexts are still being run.
  void Stop(std::chrono::steady_clock::time_point deadline);

  HttpStats stats() const;

 private:
  std::shared_ptr<internal::ServerState> state_;
};

}  // namespace braid::ingest
