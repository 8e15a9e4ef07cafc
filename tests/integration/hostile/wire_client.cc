#include "tests/integration/hostile/wire_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>

namespace braid::hostile {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

int Left(steady_clock::time_point deadline) {
  return static_cast<int>(
      std::max<int64_t>(0, duration_cast<milliseconds>(deadline - steady_clock::now()).count()));
}

}  // namespace

Wire::Wire(uint16_t port) {
  // OpenSSL writes to sockets without MSG_NOSIGNAL.
  std::signal(SIGPIPE, SIG_IGN);
  fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) closed_ = true;
  const int on = 1;
  ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Wire::~Wire() {
  SSL_free(ssl_);
  SSL_CTX_free(context_);
  ::close(fd_);
}

bool Wire::StartTls(std::string_view alpn, const std::string& certificate, const std::string& key) {
  context_ = SSL_CTX_new(TLS_client_method());
  if (!certificate.empty()) {
    SSL_CTX_use_certificate_chain_file(context_, certificate.c_str());
    SSL_CTX_use_PrivateKey_file(context_, key.c_str(), SSL_FILETYPE_PEM);
  }
  ssl_ = SSL_new(context_);
  if (!alpn.empty()) {
    SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(alpn.data()),
                        static_cast<unsigned>(alpn.size()));
  }
  SSL_set_fd(ssl_, fd_);
  return SSL_connect(ssl_) == 1;
}

std::string Wire::Alpn() const {
  const unsigned char* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

bool Wire::Send(std::string_view bytes, milliseconds patience) {
  const auto deadline = steady_clock::now() + patience;
  while (!bytes.empty() && !closed_) {
    if (ssl_ != nullptr) {
      const int n = SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()));
      if (n <= 0) {
        closed_ = true;
        return false;
      }
      bytes.remove_prefix(static_cast<size_t>(n));
      continue;
    }
    const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      pollfd ready{fd_, POLLOUT, 0};
      if (::poll(&ready, 1, Left(deadline)) <= 0) return false;
    } else {
      closed_ = true;
      return false;
    }
  }
  return !closed_;
}

std::string Wire::Read(milliseconds patience) {
  if (closed_) return {};
  char buffer[65'536];
  if (ssl_ == nullptr || SSL_pending(ssl_) == 0) {
    pollfd ready{fd_, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(patience.count())) <= 0) return {};
  }
  const ssize_t n =
      ssl_ != nullptr ? SSL_read(ssl_, buffer, sizeof buffer) : ::recv(fd_, buffer, sizeof buffer, 0);
  if (n <= 0) {
    closed_ = true;
    return {};
  }
  return {buffer, static_cast<size_t>(n)};
}

std::string Wire::ReadUntil(std::string_view end) {
  std::string all;
  const auto deadline = steady_clock::now() + kPatience;
  while (!closed_ && steady_clock::now() < deadline && all.find(end) == std::string::npos) {
    all += Read(milliseconds(Left(deadline)));
  }
  return all;
}

std::string Wire::ReadToEnd() {
  std::string all;
  const auto deadline = steady_clock::now() + kPatience;
  while (!closed_ && steady_clock::now() < deadline) all += Read(milliseconds(Left(deadline)));
  return all;
}

void Wire::HalfClose() { ::shutdown(fd_, SHUT_WR); }

namespace frames {

std::string Word(uint32_t word) {
  return {static_cast<char>(word >> 24), static_cast<char>(word >> 16), static_cast<char>(word >> 8),
          static_cast<char>(word)};
}

std::string Make(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  const auto size = static_cast<uint32_t>(payload.size());
  std::string out = {static_cast<char>(size >> 16), static_cast<char>(size >> 8), static_cast<char>(size),
                     static_cast<char>(type), static_cast<char>(flags)};
  out += Word(stream);
  out += payload;
  return out;
}

std::string Literal(std::string_view name, std::string_view value) {
  const auto length = [](size_t size) {
    std::string out;
    if (size < 127) {
      out.push_back(static_cast<char>(size));
      return out;
    }
    out.push_back(127);
    size -= 127;
    while (size >= 128) {
      out.push_back(static_cast<char>(size % 128 + 128));
      size /= 128;
    }
    out.push_back(static_cast<char>(size));
    return out;
  };
  std::string out(1, '\0');
  out += length(name.size());
  out += name;
  out += length(value.size());
  out += value;
  return out;
}

std::string Block(const Fields& fields) {
  std::string out;
  for (const auto& [name, value] : fields) out += Literal(name, value);
  return out;
}

}  // namespace frames

Http2Wire::Http2Wire(uint16_t port) : Wire(port) { nghttp2_hd_inflate_new(&inflater_); }
Http2Wire::~Http2Wire() { nghttp2_hd_inflate_del(inflater_); }

bool Http2Wire::Open() {
  Send(std::string(kPreface) + frames::Make(frames::kSettings, 0, 0));
  const auto deadline = steady_clock::now() + kPatience;
  while (!settings_seen_ && !closed() && steady_clock::now() < deadline) Pump(milliseconds(100));
  return settings_seen_;
}

uint32_t Http2Wire::Headers(const Fields& fields, bool end_stream) {
  const uint32_t stream = next_stream_;
  next_stream_ += 2;
  stream_windows_[stream] = initial_window_;
  const uint8_t flags = frames::kEndHeaders | (end_stream ? frames::kEndStream : 0);
  Send(frames::Make(frames::kHeaders, flags, stream, frames::Block(fields)));
  return stream;
}

uint32_t Http2Wire::Call(std::string_view method, std::string_view path, const Fields& more,
                         std::string_view body) {
  Fields fields = {{":method", std::string(method)},
                   {":scheme", "http"},
                   {":path", std::string(path)},
                   {":authority", "braid"}};
  fields.insert(fields.end(), more.begin(), more.end());
  const uint32_t stream = Headers(fields, body.empty());
  if (!body.empty()) Data(stream, body, true);
  return stream;
}

uint32_t Http2Wire::GrpcCall(std::string_view method, std::string_view wire_bytes, const Fields& more) {
  Fields fields = {{"content-type", "application/grpc"}, {"te", "trailers"}};
  fields.insert(fields.end(), more.begin(), more.end());
  return Call("POST", method, fields, wire_bytes);
}

bool Http2Wire::Data(uint32_t stream, std::string_view bytes, bool end_stream) {
  const auto deadline = steady_clock::now() + kPatience;
  while (!bytes.empty()) {
    const Reply& reply = replies_[stream];
    if (reply.ended || reply.reset || closed() || steady_clock::now() > deadline) return false;
    const int64_t allowed = std::min(
        {window_, stream_windows_[stream], static_cast<int64_t>(16'384), static_cast<int64_t>(bytes.size())});
    if (allowed <= 0) {
      Pump(milliseconds(50));
      continue;
    }
    const auto n = static_cast<size_t>(allowed);
    const bool last = n == bytes.size();
    if (!Send(frames::Make(frames::kData, last && end_stream ? frames::kEndStream : 0, stream,
                           bytes.substr(0, n)))) {
      return false;
    }
    window_ -= allowed;
    stream_windows_[stream] -= allowed;
    bytes.remove_prefix(n);
  }
  return true;
}

Http2Wire::Reply Http2Wire::Await(uint32_t stream) {
  const auto deadline = steady_clock::now() + kPatience;
  while (steady_clock::now() < deadline) {
    const Reply& reply = replies_[stream];
    if (reply.ended || reply.reset) break;
    if (!Pump(milliseconds(100))) break;
  }
  return replies_[stream];
}

bool Http2Wire::Pump(milliseconds patience) {
  if (closed()) return false;
  input_ += Read(patience);
  size_t at = 0;
  while (input_.size() - at >= 9) {
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(input_[at + i]); };
    const size_t size = static_cast<size_t>(byte(0)) << 16 | static_cast<size_t>(byte(1)) << 8 | byte(2);
    if (input_.size() - at < 9 + size) break;
    Frame frame;
    frame.type = byte(3);
    frame.flags = byte(4);
    frame.stream = static_cast<uint32_t>(byte(5) & 0x7f) << 24 | static_cast<uint32_t>(byte(6)) << 16 |
                   static_cast<uint32_t>(byte(7)) << 8 | byte(8);
    frame.payload = input_.substr(at + 9, size);
    at += 9 + size;
    OnFrame(frame);
  }
  input_.erase(0, at);
  return !closed();
}

void Http2Wire::OnFrame(const Frame& frame) {
  const auto word = [&](size_t at) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(frame.payload[at + i]);
    return value;
  };
  switch (frame.type) {
    case frames::kSettings:
      if ((frame.flags & frames::kAck) != 0) return;
      for (size_t at = 0; at + 6 <= frame.payload.size(); at += 6) {
        const int id =
            static_cast<uint8_t>(frame.payload[at]) << 8 | static_cast<uint8_t>(frame.payload[at + 1]);
        if (id == NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE) initial_window_ = word(at + 2);
      }
      settings_seen_ = true;
      Send(frames::Make(frames::kSettings, frames::kAck, 0));
      return;
    case frames::kPing:
      if ((frame.flags & frames::kAck) == 0)
        Send(frames::Make(frames::kPing, frames::kAck, 0, frame.payload));
      return;
    case frames::kWindow:
      if (frame.stream == 0) {
        window_ += word(0);
      } else {
        stream_windows_[frame.stream] += word(0);
      }
      return;
    case frames::kGoaway: goaways_.emplace_back(word(0), word(4)); return;
    case frames::kReset: replies_[frame.stream].reset = word(0); return;
    case frames::kData: {
      Reply& reply = replies_[frame.stream];
      reply.body += frame.payload;
      if ((frame.flags & frames::kEndStream) != 0) reply.ended = true;
      if (!frame.payload.empty()) {
        const auto size = static_cast<uint32_t>(frame.payload.size());
        Send(frames::Make(frames::kWindow, 0, 0, frames::Word(size)) +
             (reply.ended ? std::string()
                          : frames::Make(frames::kWindow, 0, frame.stream, frames::Word(size))));
      }
      return;
    }
    case frames::kHeaders: {
      Reply& reply = replies_[frame.stream];
      ++reply.header_blocks;
      const auto* in = reinterpret_cast<const uint8_t*>(frame.payload.data());
      size_t left = frame.payload.size();
      while (true) {
        nghttp2_nv field;
        int flags = 0;
        const ssize_t n = nghttp2_hd_inflate_hd2(inflater_, &field, &flags, in, left, 1);
        if (n < 0) break;
        in += n;
        left -= static_cast<size_t>(n);
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
          reply.headers[{reinterpret_cast<char*>(field.name), field.namelen}] = {
              reinterpret_cast<char*>(field.value), field.valuelen};
        }
        if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
      }
      nghttp2_hd_inflate_end_headers(inflater_);
      if ((frame.flags & frames::kEndStream) != 0) reply.ended = true;
      return;
    }
    default: return;
  }
}

std::optional<uint32_t> Http2Wire::AwaitGoaway() {
  const auto deadline = steady_clock::now() + kPatience;
  while (steady_clock::now() < deadline) {
    for (const auto& [last, error] : goaways_) {
      if (error != NGHTTP2_NO_ERROR) return error;
    }
    if (!Pump(milliseconds(100))) break;
  }
  return std::nullopt;
}

std::optional<Http1Reply> TakeReply(std::string* text) {
  const size_t end = text->find("\r\n\r\n");
  if (end == std::string::npos) return std::nullopt;
  Http1Reply reply;
  reply.status = std::atoi(text->c_str() + 9);
  for (size_t at = text->find("\r\n") + 2; at < end + 2;) {
    const size_t line = text->find("\r\n", at);
    const size_t colon = text->find(": ", at);
    if (colon < line) reply.headers[text->substr(at, colon - at)] = text->substr(colon + 2, line - colon - 2);
    at = line + 2;
  }
  const size_t size = reply.headers.contains("content-length")
                          ? static_cast<size_t>(std::atoll(reply.headers["content-length"].c_str()))
                          : 0;
  if (text->size() < end + 4 + size) return std::nullopt;
  reply.body = text->substr(end + 4, size);
  text->erase(0, end + 4 + size);
  return reply;
}

Http1Reply Exchange(Wire& wire, std::string_view request) {
  wire.Send(request);
  std::string text;
  const auto deadline = steady_clock::now() + kPatience;
  while (steady_clock::now() < deadline) {
    text += wire.Read(milliseconds(Left(deadline)));
    while (std::optional<Http1Reply> reply = TakeReply(&text)) {
      if (reply->status != 100) return *reply;
    }
    if (wire.closed()) break;
  }
  return {};
}

std::string Post(std::string_view path, std::string_view body, const Fields& more) {
  std::string out = "POST " + std::string(path) + " HTTP/1.1\r\nhost: braid\r\n";
  for (const auto& [name, value] : more) out += name + ": " + value + "\r\n";
  out += "content-length: " + std::to_string(body.size()) + "\r\n\r\n";
  out += body;
  return out;
}

std::string GrpcMessage(std::string_view message, char flag) {
  return std::string(1, flag) + frames::Word(static_cast<uint32_t>(message.size())) + std::string(message);
}

size_t Rss() {
  size_t total = 0;
  size_t resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace braid::hostile
