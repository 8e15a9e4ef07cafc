#include "ingest/http/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>

namespace braid::ingest::internal {
namespace {

using boost::asio::ip::tcp;

// What an HTTP/2 client says first (RFC 9113 section 3.4). No HTTP/1 request begins so.
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// A connection gives way to others of its core after this many reads.
constexpr int kReadsPerTurn = 4;

// While this much output waits, nothing more is read: who does not listen is not listened to.
constexpr size_t kPauseReading = 256u << 10;
constexpr size_t kOutputTarget = 256u << 10;

// What is discarded at most after our last word.
constexpr size_t kLingerBytes = 128u << 20;

constexpr size_t kJoinBelow = 16u << 10;

// OpenSSL's own socket BIO writes without MSG_NOSIGNAL, so a peer that is gone would raise SIGPIPE.
int BioWrite(BIO* bio, const char* data, size_t size, size_t* written) {
  const int fd = static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio)));
  BIO_clear_retry_flags(bio);
  const ssize_t n = ::send(fd, data, size, MSG_NOSIGNAL);
  if (n < 0) {
    if (errno == EAGAIN || errno == EINTR) BIO_set_retry_write(bio);
    *written = 0;
    return 0;
  }
  *written = static_cast<size_t>(n);
  return 1;
}

int BioRead(BIO* bio, char* data, size_t size, size_t* got) {
  const int fd = static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio)));
  BIO_clear_retry_flags(bio);
  const ssize_t n = ::recv(fd, data, size, 0);
  *got = n > 0 ? static_cast<size_t>(n) : 0;
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  if (n == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return n > 0 ? 1 : 0;
}

long BioControl(BIO* bio, int command, long /*number*/, void* /*pointer*/) {
  if (command == BIO_CTRL_FLUSH) return 1;
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
  return 0;
}

const BIO_METHOD* SocketBio() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    BIO_meth_set_write_ex(m, BioWrite);
    BIO_meth_set_read_ex(m, BioRead);
    BIO_meth_set_ctrl(m, BioControl);
    return m;
  }();
  return method;
}

bool OriginMatches(std::string_view pattern, std::string_view origin) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == origin;
  const std::string_view before = pattern.substr(0, star);
  const std::string_view after = pattern.substr(star + 1);
  return origin.size() >= before.size() + after.size() && origin.starts_with(before) &&
         origin.ends_with(after);
}

}  // namespace

std::chrono::milliseconds Core::RetryDelayNow() {
  random = random * 6364136223846793005u + 1442695040888963407u;
  const auto base = static_cast<uint64_t>(options->retry_after.count());
  return std::chrono::milliseconds(base + (random >> 33) % (base + 1));
}

void OutputQueue::Append(std::string_view bytes) {
  if (bytes.empty()) return;
  if (pieces_.empty() || pieces_.back().slab || pieces_.back().text.size() > kOutputTarget)
    pieces_.emplace_back();
  pieces_.back().text.append(bytes);
  bytes_ += bytes.size();
}

void OutputQueue::Append(std::string&& bytes) {
  if (bytes.size() < kJoinBelow) return Append(std::string_view(bytes));
  bytes_ += bytes.size();
  pieces_.emplace_back().text = std::move(bytes);
}

void OutputQueue::Append(Slab&& slab) {
  if (slab.size() < kJoinBelow) return Append(slab.view());
  bytes_ += slab.size();
  pieces_.emplace_back().slab = std::move(slab);
}

size_t OutputQueue::Gather(iovec* parts, size_t max) const {
  size_t count = 0;
  for (const Piece& piece : pieces_) {
    if (count == max) break;
    const std::string_view rest = piece.view().substr(piece.sent);
    parts[count++] = {const_cast<char*>(rest.data()), rest.size()};
  }
  return count;
}

void OutputQueue::Consume(size_t n) {
  bytes_ -= n;
  while (n > 0) {
    Piece& front = pieces_.front();
    const size_t taken = std::min(n, front.view().size() - front.sent);
    front.sent += taken;
    n -= taken;
    if (front.sent == front.view().size()) pieces_.pop_front();
  }
}

void OutputQueue::Clear() {
  pieces_.clear();
  bytes_ = 0;
}

struct Connection::Socket {
  explicit Socket(boost::asio::io_context& io) : socket(io) {}
  tcp::socket socket;
};

Connection::Connection(Core& core, int fd, Peer peer, ssl_ctx_st* tls)
    : core_(core),
      peer_(std::make_shared<Peer>(std::move(peer))),
      socket_(std::make_unique<Socket>(*core.io)),
      started_(std::chrono::steady_clock::now()) {
  sockaddr_storage local{};
  socklen_t size = sizeof local;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size);
  boost::system::error_code error;
  error = socket_->socket.assign(local.ss_family == AF_INET6 ? tcp::v6() : tcp::v4(), fd, error);
  if (error) {
    ::close(fd);
    closed_ = true;
    return;
  }
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (tls != nullptr) {
    ssl_ = SSL_new(tls);
    BIO* bio = BIO_new(SocketBio());
    if (ssl_ == nullptr || bio == nullptr) {
      BIO_free(bio);
      closed_ = true;
      return;
    }
    BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(fd)));
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl_, bio, bio);
    SSL_set_accept_state(ssl_);
    handshaking_ = true;
  }
}

Connection::~Connection() { SSL_free(ssl_); }

void Connection::Start() {
  core_.now = std::chrono::steady_clock::now();
  write_progress_ = core_.now;
  Count(core_.counters.connections_accepted);
  if (closed_) {
    core_.counters.connections_open.fetch_sub(1, std::memory_order_relaxed);
    return;
  }
  self_ = core_.connections.insert(core_.connections.end(), shared_from_this());
  listed_ = true;
  ArmRead();
}

void Connection::ArmRead() {
  if (read_armed_ || closed_) return;
  if (!lingering_) {
    // Input is left in the socket while it is not wanted; see kPauseReading for the other reason to wait.
    if (closing_ || eof_ || out_.bytes() > kPauseReading) return;
    if (session_ && session_->wanted() == 0) return;
  }
  read_armed_ = true;
  auto on_ready = [self = shared_from_this()](const boost::system::error_code& error = {}) {
    self->read_armed_ = false;
    if (!error) self->OnReadable();
  };
  if (ssl_ != nullptr && !handshaking_ && SSL_has_pending(ssl_) != 0) {
    // OpenSSL holds input that the socket will not announce again.
    boost::asio::post(*core_.io, [on_ready]() { on_ready(); });
  } else {
    socket_->socket.async_wait(tcp::socket::wait_read, on_ready);
  }
}

void Connection::ArmWrite() {
  if (write_armed_ || closed_) return;
  write_armed_ = true;
  socket_->socket.async_wait(tcp::socket::wait_write,
                             [self = shared_from_this()](const boost::system::error_code& error) {
                               self->write_armed_ = false;
                               if (!error) self->OnWritable();
                             });
}

void Connection::OnWritable() {
  if (closed_) return;
  core_.now = std::chrono::steady_clock::now();
  if (handshaking_ || std::exchange(read_wants_write_, false)) OnReadable();
  Flush();
}

Connection::Io Connection::Read(char* to, size_t size, size_t* n) {
  if (ssl_ == nullptr) {
    const ssize_t got = ::recv(socket_->socket.native_handle(), to, size, 0);
    if (got > 0) {
      *n = static_cast<size_t>(got);
      return Io::kOk;
    }
    if (got == 0) return Io::kEof;
    return errno == EAGAIN || errno == EINTR ? Io::kWantRead : Io::kError;
  }
  ERR_clear_error();
  // A record holds 16 KiB at most, so the buffer is filled by several.
  *n = 0;
  while (*n < size) {
    size_t got = 0;
    if (SSL_read_ex(ssl_, to + *n, size - *n, &got) == 1) {
      *n += got;
      continue;
    }
    if (*n > 0) return Io::kOk;
    switch (SSL_get_error(ssl_, 0)) {
      case SSL_ERROR_WANT_READ: return Io::kWantRead;
      case SSL_ERROR_WANT_WRITE: return Io::kWantWrite;
      case SSL_ERROR_ZERO_RETURN: return Io::kEof;
      default: return Io::kError;
    }
  }
  return Io::kOk;
}

Connection::Io Connection::Write(size_t* n) {
  constexpr size_t kParts = 16;
  iovec parts[kParts];
  const size_t count = out_.Gather(parts, kParts);
  if (ssl_ == nullptr) {
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = count;
    const ssize_t sent = ::sendmsg(socket_->socket.native_handle(), &message, MSG_NOSIGNAL);
    if (sent >= 0) {
      *n = static_cast<size_t>(sent);
      return Io::kOk;
    }
    return errno == EAGAIN || errno == EINTR ? Io::kWantWrite : Io::kError;
  }
  ERR_clear_error();
  if (SSL_write_ex(ssl_, parts[0].iov_base, parts[0].iov_len, n) == 1) return Io::kOk;
  switch (SSL_get_error(ssl_, 0)) {
    case SSL_ERROR_WANT_READ: return Io::kWantRead;
    case SSL_ERROR_WANT_WRITE: return Io::kWantWrite;
    default: return Io::kError;
  }
}

// False while it is not done, or if it failed.
bool Connection::Handshake() {
  ERR_clear_error();
  const int rc = SSL_accept(ssl_);
  if (rc == 1) {
    handshaking_ = false;
    started_ = core_.now;
    auto* peer = const_cast<Peer*>(peer_.get());  // nobody else has it yet
    peer->tls = true;
    if (X509* certificate = SSL_get1_peer_certificate(ssl_)) {
      BIO* text = BIO_new(BIO_s_mem());
      X509_NAME_print_ex(text, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253);
      char* data = nullptr;
      const long size = BIO_get_mem_data(text, &data);
      peer->certificate_subject.assign(data, static_cast<size_t>(size));
      BIO_free(text);
      X509_free(certificate);
    }
    return true;
  }
  switch (SSL_get_error(ssl_, rc)) {
    case SSL_ERROR_WANT_READ: ArmRead(); return false;
    case SSL_ERROR_WANT_WRITE: ArmWrite(); return false;
    default:
      Count(core_.counters.tls_failures);
      Abort();
      return false;
  }
}

void Connection::OnReadable() {
  if (closed_) return;
  core_.now = std::chrono::steady_clock::now();
  if (handshaking_ && !Handshake()) return;
  const bool more = ReadTurn();
  if (closed_) return;
  Flush();
  if (more) ArmRead();
}

// Returns whether to wait for more input.
bool Connection::ReadTurn() {
  for (int turn = 0; turn < kReadsPerTurn && !closed_; ++turn) {
    if (!lingering_ && (closing_ || eof_ || out_.bytes() > kPauseReading)) return true;
    char* to = core_.read_buffer.data();
    size_t size = Core::kReadBuffer;
    bool direct = false;
    if (!lingering_ && session_) {
      const size_t wanted = session_->wanted();
      if (wanted == 0) return true;
      size_t window = 0;
      if (char* const at = session_->DirectWindow(&window); at != nullptr) {
        to = at;
        size = window;
        direct = true;
      } else {
        size = std::min(size, session_->wanted());
        if (size == 0) return true;
      }
    }
    size_t n = 0;
    switch (Read(to, size, &n)) {
      case Io::kOk: break;
      case Io::kWantRead: return true;
      case Io::kWantWrite:
        read_wants_write_ = true;
        ArmWrite();
        return false;
      case Io::kEof:
        eof_ = true;
        if (lingering_ || !session_) {
          Abort();
        } else {
          session_->OnEof();
        }
        return false;
      case Io::kError: Abort(); return false;
    }
    Count(core_.counters.bytes_received, n);
    if (lingering_) {
      linger_bytes_ += n;
      if (linger_bytes_ > kLingerBytes) Abort();
    } else if (direct) {
      session_->OnDirect(n);
    } else {
      Feed({to, n});
    }
    if (n < size && ssl_ == nullptr) return true;
  }
  return !closed_;
}

void Connection::Feed(std::string_view bytes) {
  if (session_) return session_->OnBytes(bytes);
  head_.append(bytes);
  if (head_.size() < kPreface.size() && kPreface.starts_with(head_)) return;
  session_ = head_.starts_with(kPreface) ? NewHttp2Session(this) : NewHttp1Session(this);
  if (draining_) session_->Drain();
  const std::string first = std::move(head_);
  session_->OnBytes(first);
}

void Connection::WantFlush() {
  if (flush_posted_ || closed_) return;
  flush_posted_ = true;
  boost::asio::post(*core_.io, [self = shared_from_this()]() {
    self->flush_posted_ = false;
    self->Flush();
  });
}

void Connection::Flush() {
  if (closed_ || handshaking_) return;
  while (true) {
    if (session_ && !closing_) session_->Produce(kOutputTarget);
    if (out_.empty()) break;
    size_t n = 0;
    const Io io = Write(&n);
    if (io == Io::kError) return Abort();
    if (io != Io::kOk) {
      // Reading goes on meanwhile (unless paused), which serves a TLS renegotiation as well.
      ArmWrite();
      return ArmRead();
    }
    out_.Consume(n);
    write_progress_ = core_.now;
    Count(core_.counters.bytes_sent, n);
  }
  write_progress_ = core_.now;
  if (closing_ && !lingering_) return FinishClose();
  ArmRead();
}

void Connection::CloseAfterFlush(std::chrono::milliseconds linger) {
  if (closing_ || closed_) return;
  closing_ = true;
  linger_ = linger;
  WantFlush();
}

void Connection::FinishClose() {
  if (ssl_ != nullptr) SSL_shutdown(ssl_);
  ::shutdown(socket_->socket.native_handle(), SHUT_WR);
  if (linger_.count() == 0 || eof_) return Abort();
  lingering_ = true;
  linger_until_ = core_.now + linger_;
  ArmRead();
}

void Connection::Abort() {
  if (closed_) return;
  closed_ = true;
  boost::system::error_code ignored;
  ignored = socket_->socket.close(ignored);
  out_.Clear();
  core_.counters.connections_open.fetch_sub(1, std::memory_order_relaxed);
  // The session may be on the stack, and owns request bodies that should not wait for the last Responder.
  boost::asio::post(*core_.io, [self = shared_from_this()]() { self->session_.reset(); });
  if (listed_) {
    listed_ = false;
    core_.connections.erase(self_);
  }
}

void Connection::Sweep(TimePoint now) {
  if (closed_) return;
  const HttpServer::Options& limits = options();
  if (handshaking_) {
    if (now - started_ > limits.tls_handshake_timeout) {
      Count(core_.counters.tls_failures);
      Abort();
    }
    return;
  }
  if (lingering_) {
    if (now > linger_until_) Abort();
    return;
  }
  if (!out_.empty() && now - write_progress_ > limits.write_timeout) {
    Count(core_.counters.write_timeouts);
    return Abort();
  }
  if (!session_) {
    if (now - started_ > (head_.empty() ? limits.idle_timeout : limits.header_timeout)) {
      Count(head_.empty() ? core_.counters.idle_timeouts : core_.counters.header_timeouts);
      Abort();
    }
    return;
  }
  if (!closing_) session_->Sweep(now);
}

void Connection::Drain() {
  if (closed_ || draining_) return;
  draining_ = true;
  if (session_) {
    session_->Drain();
    WantFlush();
  } else {
    Abort();  // It has not asked for anything.
  }
}

void Connection::Reply(uint32_t id, Response response) {
  if (core_.io->get_executor().running_in_this_thread()) {
    if (closed_ || !session_) return;
    session_->Respond(id, std::move(response));
    return WantFlush();
  }
  boost::asio::post(*core_.io, [self = shared_from_this(), id, answer = std::move(response)]() mutable {
    self->core_.now = std::chrono::steady_clock::now();
    if (self->closed_ || !self->session_) return;
    self->session_->Respond(id, std::move(answer));
    self->WantFlush();
  });
}

std::optional<Response> Connection::Screen(Request* request,
                                           std::vector<std::pair<std::string, std::string>>* cors) {
  Count(core_.counters.requests);
  request->peer = peer_;
  request->core = core_.index;
  const HttpServer::Options& limits = options();
  if (!limits.cors_allowed_origins.empty()) {
    const std::string_view origin = request->headers.Get("origin");
    const bool allowed =
        !origin.empty() &&
        std::any_of(limits.cors_allowed_origins.begin(), limits.cors_allowed_origins.end(),
                    [&](const std::string& pattern) { return OriginMatches(pattern, origin); });
    cors->emplace_back("vary", "Origin");
    if (allowed) cors->emplace_back("access-control-allow-origin", origin);
    if (allowed && request->method == "OPTIONS" &&
        !request->headers.Get("access-control-request-method").empty()) {
      Response preflight;
      preflight.status = 204;
      std::string headers = "content-type, content-encoding";
      for (const std::string& name : limits.cors_allowed_headers) headers += ", " + name;
      preflight.headers.emplace_back("access-control-allow-methods", "GET, HEAD, POST");
      preflight.headers.emplace_back("access-control-allow-headers", std::move(headers));
      preflight.headers.emplace_back("access-control-max-age", "7200");
      return preflight;
    }
  }
  return core_.handler->Screen(*request);
}

void Connection::Dispatch(Request request, uint32_t id) {
  core_.handler->Handle(std::move(request), Responder(shared_from_this(), id));
}

Response Connection::TooLarge(const Request& request) {
  Count(core_.counters.refused_too_large);
  return ErrorResponse(
      request.reply_format(),
      ResourceExhausted("the body is larger than " + std::to_string(options().max_body_bytes) + " bytes"));
}

Response Connection::NoMemory(const Request& request) {
  Count(core_.counters.refused_no_memory);
  return ErrorResponse(request.reply_format(), Unavailable("no memory to receive the body just now"),
                       core_.RetryDelayNow());
}

}  // namespace braid::ingest::internal

namespace braid::ingest {

Responder::Responder(std::shared_ptr<internal::Connection> connection, uint32_t id)
    : connection_(std::move(connection)), id_(id) {}

Responder& Responder::operator=(Responder&& other) noexcept {
  if (this == &other) return *this;
  Abandon();
  connection_ = std::move(other.connection_);
  id_ = other.id_;
  return *this;
}

Responder::~Responder() { Abandon(); }

void Responder::Reply(Response response) {
  if (const auto connection = std::exchange(connection_, nullptr))
    connection->Reply(id_, std::move(response));
}

void Responder::Abandon() {
  if (connection_ == nullptr) return;
  // The session knows which form the sender reads; a plain 500 becomes INTERNAL for gRPC.
  Response response;
  response.status = 500;
  response.content_type = "text/plain; charset=utf-8";
  response.body = "the request was not answered\n";
  Reply(std::move(response));
}

std::optional<Response> Handler::Screen(Request& /*head*/) { return std::nullopt; }

}  // namespace braid::ingest
