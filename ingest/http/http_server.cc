#include "ingest/http/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <thread>

#include "ingest/http/connection.h"

namespace braid::ingest {
namespace internal {
namespace {

using boost::asio::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How often time-outs are looked at, and so how late one may be noticed.
constexpr milliseconds kSweep{100};

// Over which the cores' traffic is averaged when a new connection needs a home.
constexpr milliseconds kTrafficInterval{250};

constexpr int kAcceptsPerTurn = 64;
constexpr int kBacklog = 1024;

struct FreeContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using TlsContext = std::unique_ptr<SSL_CTX, FreeContext>;

std::string OpenSslError() {
  char text[256];
  ERR_error_string_n(ERR_get_error(), text, sizeof text);
  return text;
}

int SelectAlpn(SSL*, const unsigned char** out, unsigned char* size, const unsigned char* in,
               unsigned in_size, void*) {
  static constexpr unsigned char kOurs[] = "\x02h2\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, size, kOurs, sizeof kOurs - 1, in, in_size) != OPENSSL_NPN_NEGOTIATED) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

Result<TlsContext> LoadTls(const HttpServer::Tls& tls) {
  ERR_clear_error();
  TlsContext context(SSL_CTX_new(TLS_server_method()));
  if (!context) return Internal("tls: " + OpenSslError());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_alpn_select_cb(context.get(), SelectAlpn, nullptr);
  if (SSL_CTX_use_certificate_chain_file(context.get(), tls.certificate_file.c_str()) != 1) {
    return InvalidArgument("tls: certificate " + tls.certificate_file + ": " + OpenSslError());
  }
  if (SSL_CTX_use_PrivateKey_file(context.get(), tls.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return InvalidArgument("tls: key " + tls.key_file + ": " + OpenSslError());
  }
  if (SSL_CTX_check_private_key(context.get()) != 1) {
    return InvalidArgument("tls: key " + tls.key_file + " does not belong to certificate " +
                           tls.certificate_file);
  }
  if (!tls.client_ca_file.empty()) {
    if (SSL_CTX_load_verify_locations(context.get(), tls.client_ca_file.c_str(), nullptr) != 1) {
      return InvalidArgument("tls: client CA " + tls.client_ca_file + ": " + OpenSslError());
    }
    SSL_CTX_set_client_CA_list(context.get(), SSL_load_client_CA_file(tls.client_ca_file.c_str()));
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  // Sessions are resumed by ticket only: no server-side cache to fill.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  static constexpr unsigned char kSessionContext[] = "braid";
  SSL_CTX_set_session_id_context(context.get(), kSessionContext, sizeof kSessionContext - 1);
  return context;
}

Peer PeerOf(const sockaddr_storage& address) {
  Peer peer;
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    const bool mapped = IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) != 0;
    peer.loopback = mapped ? v6.sin6_addr.s6_addr[12] == 127 : IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) != 0;
  } else {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    peer.loopback = ntohl(v4.sin_addr.s_addr) >> 24 == 127;
  }
  peer.address = text;
  return peer;
}

}  // namespace

class ServerState : public std::enable_shared_from_this<ServerState> {
 public:
  ServerState(std::vector<boost::asio::io_context*> ios, SlabPool& pool, HttpServer::Options options,
              Handler* handler)
      : options_(std::move(options)), acceptor_(*ios.front()), accept_pause_(*ios.front()) {
    for (size_t i = 0; i < ios.size(); ++i) {
      cores_.push_back(std::make_unique<CoreState>(*ios[i]));
      Core& core = cores_.back()->core;
      core.io = ios[i];
      core.index = i;
      core.options = &options_;
      core.pool = &pool;
      core.handler = handler;
      core.random ^= static_cast<uint64_t>(steady_clock::now().time_since_epoch().count()) + i;
    }
  }

  Status Start() {
    if (options_.tls) {
      Result<TlsContext> loaded = LoadTls(*options_.tls);
      if (!loaded.ok()) return loaded.status();
      tls_ = std::move(loaded).value();
    }
    boost::system::error_code error;
    const boost::asio::ip::address address = boost::asio::ip::make_address(options_.address, error);
    if (error) return InvalidArgument("listen: \"" + options_.address + "\" is not an IP address");
    const std::string where = "listen " + options_.address + ":" + std::to_string(options_.port);
    const tcp::endpoint endpoint(address, options_.port);
    error = acceptor_.open(endpoint.protocol(), error);
    if (!error) error = acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) error = acceptor_.bind(endpoint, error);
    if (!error) error = acceptor_.listen(kBacklog, error);
    if (!error) error = acceptor_.non_blocking(true, error);
    if (error) {
      boost::system::error_code ignored;
      ignored = acceptor_.close(ignored);
      return Unavailable(where + ": " + error.message());
    }
    port_ = acceptor_.local_endpoint(error).port();
    running_ = true;
    for (const auto& state : cores_) {
      state->core.read_buffer.resize(Core::kReadBuffer);
      state->core.now = steady_clock::now();
      // On its own thread, like everything else that touches the core.
      boost::asio::post(*state->core.io,
                        [self = shared_from_this(), state = state.get()]() { self->Sweep(*state); });
    }
    boost::asio::post(*cores_.front()->core.io, [self = shared_from_this()]() { self->Accept(); });
    return {};
  }

  void Stop(steady_clock::time_point deadline) {
    if (!running_) return;
    running_ = false;
    boost::asio::post(*cores_.front()->core.io, [self = shared_from_this()]() {
      boost::system::error_code ignored;
      self->accepting_ = false;
      ignored = self->acceptor_.close(ignored);
      self->accept_pause_.cancel();
      // A connection accepted before this may still be on its way to another core; its Start() comes before
      // what is posted here.
      for (const auto& state : self->cores_) {
        boost::asio::post(*state->core.io, [self, state = state.get()]() {
          state->draining = true;
          self->ForEach(*state, [](Connection& connection) { connection.Drain(); });
        });
      }
    });
    Wait(deadline, [this] { return OpenConnections() == 0; });
    for (const auto& state : cores_) {
      boost::asio::post(*state->core.io, [self = shared_from_this(), state = state.get()]() {
        self->ForEach(*state, [](Connection& connection) { connection.Abort(); });
        state->sweep.cancel();
        state->stopped = true;
        self->stopped_.fetch_add(1);
      });
    }
    // Bounded in case an io_context is not being run after all; what it holds keeps this state alive.
    Wait(steady_clock::now() + std::chrono::seconds(5),
         [this] { return stopped_.load() == cores_.size() && OpenConnections() == 0; });
  }

  uint16_t port() const { return port_; }

  HttpStats stats() const {
    HttpStats sum;
    sum.connections_refused = refused_.load(std::memory_order_relaxed);
    for (const auto& state : cores_) {
      const Counters& c = state->core.counters;
      const auto get = [](const std::atomic<uint64_t>& n) { return n.load(std::memory_order_relaxed); };
      sum.connections_accepted += get(c.connections_accepted);
      sum.connections_open += get(c.connections_open);
      sum.requests += get(c.requests);
      sum.bytes_received += get(c.bytes_received);
      sum.bytes_sent += get(c.bytes_sent);
      sum.tls_failures += get(c.tls_failures);
      sum.protocol_errors += get(c.protocol_errors);
      sum.floods += get(c.floods);
      sum.header_timeouts += get(c.header_timeouts);
      sum.body_timeouts += get(c.body_timeouts);
      sum.idle_timeouts += get(c.idle_timeouts);
      sum.write_timeouts += get(c.write_timeouts);
      sum.deadlines_passed += get(c.deadlines_passed);
      sum.refused_too_large += get(c.refused_too_large);
      sum.refused_no_memory += get(c.refused_no_memory);
    }
    return sum;
  }

 private:
  struct CoreState {
    explicit CoreState(boost::asio::io_context& io) : sweep(io) {}
    Core core;
    boost::asio::steady_timer sweep;
    bool stopped = false;
    bool draining = false;

    // The acceptor's view.
    uint64_t bytes_before = 0;
    double traffic = 0;  // bytes per second, averaged
    double placed = 0;   // connections placed since `traffic` was taken
  };

  static void Wait(steady_clock::time_point deadline, auto done) {
    while (!done() && steady_clock::now() < deadline) std::this_thread::sleep_for(milliseconds(1));
  }

  uint64_t OpenConnections() const {
    uint64_t open = 0;
    for (const auto& state : cores_)
      open += state->core.counters.connections_open.load(std::memory_order_relaxed);
    return open;
  }

  // `fn` may close the connection, which takes it off the list.
  void ForEach(CoreState& state, auto fn) {
    for (auto it = state.core.connections.begin(); it != state.core.connections.end();) {
      const std::shared_ptr<Connection> connection = *it++;
      fn(*connection);
    }
  }

  void Sweep(CoreState& state) {
    if (state.stopped) return;
    Core& core = state.core;
    core.now = steady_clock::now();
    char date[64];
    const std::time_t wall = std::time(nullptr);
    std::tm utc{};
    gmtime_r(&wall, &utc);
    const size_t size = std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    core.date.assign(date, size);
    ForEach(state, [&](Connection& connection) { connection.Sweep(core.now); });
    state.sweep.expires_after(kSweep);
    state.sweep.async_wait([self = shared_from_this(), &state](const boost::system::error_code& error) {
      if (!error) self->Sweep(state);
    });
  }

  void Accept() {
    if (!accepting_) return;
    acceptor_.async_wait(
        tcp::acceptor::wait_read, [self = shared_from_this()](const boost::system::error_code& error) {
          if (error || !self->accepting_) return;
          for (int i = 0; i < kAcceptsPerTurn; ++i) {
            sockaddr_storage address{};
            socklen_t size = sizeof address;
            const int fd = ::accept4(self->acceptor_.native_handle(), reinterpret_cast<sockaddr*>(&address),
                                     &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd >= 0) {
              self->Place(fd, address);
              continue;
            }
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
              return self->PauseAccepting();
            if (errno != EINTR && errno != ECONNABORTED) break;
          }
          self->Accept();
        });
  }

  // Out of descriptors: the listening socket stays readable, so waiting on it would spin.
  void PauseAccepting() {
    accept_pause_.expires_after(kSweep);
    accept_pause_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (!error) self->Accept();
    });
  }

  void Place(int fd, const sockaddr_storage& address) {
    const uint64_t open = OpenConnections();
    if (open >= options_.max_connections) {
      refused_.fetch_add(1, std::memory_order_relaxed);
      ::close(fd);
      return;
    }
    CoreState& state = LeastBusy(open);
    state.core.counters.connections_open.fetch_add(1, std::memory_order_relaxed);
    state.placed += 1;
    boost::asio::dispatch(*state.core.io, [self = shared_from_this(), &state, fd,
                                           peer = PeerOf(address)]() mutable {
      const auto connection = std::make_shared<Connection>(state.core, fd, std::move(peer), self->tls_.get());
      connection->keep_ = self;
      connection->Start();
      if (state.draining) connection->Abort();
    });
  }

  // By traffic first; equal or no traffic, by number of connections.
  CoreState& LeastBusy(uint64_t open) {
    const steady_clock::time_point now = steady_clock::now();
    const double elapsed = std::chrono::duration<double>(now - traffic_taken_).count();
    if (now - traffic_taken_ >= kTrafficInterval) {
      traffic_taken_ = now;
      for (const auto& state : cores_) {
        const uint64_t bytes = state->core.counters.bytes_received.load(std::memory_order_relaxed);
        const double rate = static_cast<double>(bytes - state->bytes_before) / elapsed;
        state->traffic = state->traffic / 2 + rate / 2;
        state->bytes_before = bytes;
        state->placed = 0;
      }
    }
    double total = 1;
    for (const auto& state : cores_) total += state->traffic;
    const double usual = total / static_cast<double>(open + 1);
    CoreState* best = nullptr;
    double best_score = 0;
    for (const auto& state : cores_) {
      const auto connections =
          static_cast<double>(state->core.counters.connections_open.load(std::memory_order_relaxed));
      const double score = (state->traffic + state->placed * usual) / total +
                           0.1 * connections / static_cast<double>(open + 1);
      if (best == nullptr || score < best_score) {
        best = state.get();
        best_score = score;
      }
    }
    return *best;
  }

  const HttpServer::Options options_;
  TlsContext tls_;
  std::vector<std::unique_ptr<CoreState>> cores_;
  std::atomic<uint64_t> refused_{0};
  std::atomic<size_t> stopped_{0};
  uint16_t port_ = 0;
  bool running_ = false;  // of the thread that calls Start() and Stop()

  // On the first core.
  tcp::acceptor acceptor_;
  boost::asio::steady_timer accept_pause_;
  bool accepting_ = true;
  steady_clock::time_point traffic_taken_{};
};

}  // namespace internal

HttpServer::HttpServer(std::vector<boost::asio::io_context*> cores, SlabPool& pool, Options options,
                       Handler* handler)
    : state_(std::make_shared<internal::ServerState>(std::move(cores), pool, std::move(options), handler)) {}

HttpServer::~HttpServer() { Stop(std::chrono::steady_clock::now()); }

Status HttpServer::Start() { return state_->Start(); }
uint16_t HttpServer::port() const { return state_->port(); }
void HttpServer::Stop(std::chrono::steady_clock::time_point deadline) { state_->Stop(deadline); }
HttpStats HttpServer::stats() const { return state_->stats(); }

}  // namespace braid::ingest
