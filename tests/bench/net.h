#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

// Sockets for the tools of this folder. Errors end the program: they are benchmarks, not services.
namespace braid::bench {

[[noreturn]] inline void Die(const std::string& message) {
  std::fprintf(stderr, "%s\n", message.c_str());
  std::exit(1);
}

inline sockaddr_in ParseAddress(const std::string& text) {
  const size_t colon = text.rfind(':');
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  const std::string host = colon == std::string::npos ? "" : text.substr(0, colon);
  const int port = colon == std::string::npos ? -1 : std::atoi(text.c_str() + colon + 1);
  if (port < 0 || port > 65'535 || inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
    Die(text + ": not an IPv4 address and port");
  }
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

inline void SetNonBlocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

inline void SetNoDelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

inline int Connect(const std::string& endpoint) {
  const sockaddr_in address = ParseAddress(endpoint);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    Die(endpoint + ": " + std::strerror(errno));
  }
  SetNoDelay(fd);
  SetNonBlocking(fd);
  return fd;
}

// Returns the listening socket and stores where it listens.
inline int Listen(const std::string& endpoint, std::string* bound) {
  sockaddr_in address = ParseAddress(endpoint);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || listen(fd, 1024) != 0) {
    Die(endpoint + ": " + std::strerror(errno));
  }
  socklen_t size = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  char host[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, &address.sin_addr, host, sizeof host);
  *bound = std::string(host) + ":" + std::to_string(ntohs(address.sin_port));
  return fd;
}

// Bytes as they arrive, consumed from the front. Grows to the largest unit that is waited for.
class InBuffer {
 public:
  // Reads once: > 0 bytes, 0 at the end of the stream, -1 if nothing is there.
  ssize_t Fill(int fd) {
    if (begin_ == end_) begin_ = end_ = 0;
    if (bytes_.size() - end_ < kRoom) {
      std::memmove(bytes_.data(), bytes_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
      if (bytes_.size() - end_ < kRoom) bytes_.resize(bytes_.size() * 2);
    }
    const ssize_t n = read(fd, bytes_.data() + end_, bytes_.size() - end_);
    if (n > 0) end_ += static_cast<size_t>(n);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return 0;
    return n;
  }

  std::string_view view() const { return {bytes_.data() + begin_, end_ - begin_}; }
  void Consume(size_t n) { begin_ += n; }

 private:
  static constexpr size_t kRoom = 128u << 10;
  std::string bytes_ = std::string(2 * kRoom, '\0');
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace braid::bench
