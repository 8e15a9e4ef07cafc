#pragma once

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace braid::test {

// A request as it came over the wire.
struct SeenRequest {
  std::string line;                            // "POST /v1/traces HTTP/1.1"
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  int connection = 0;  // counted from 1
};

// A blocking HTTP/1.1 server on loopback, one thread for each connection, that shares no code with the
// client. `Answer` gets each request and returns the raw bytes to write back; nothing closes the connection
// without an answer.
class HttpServer {
 public:
  using Answer = std::function<std::optional<std::string>(const SeenRequest&)>;

  explicit HttpServer(Answer answer, boost::asio::ssl::context* tls = nullptr)
      : answer_(std::move(answer)), tls_(tls), acceptor_(io_, {boost::asio::ip::address_v4::loopback(), 0}) {
    thread_ = std::thread([this] { Accept(); });
  }

  ~HttpServer() {
    stopping_ = true;
    boost::system::error_code ignored;
    boost::asio::ip::tcp::socket wake(io_);
    wake.connect(acceptor_.local_endpoint(), ignored);
    thread_.join();
    {
      const std::lock_guard lock(mutex_);
      for (const int fd : sockets_) ::shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& thread : connections_) thread.join();
  }

  uint16_t port() const { return acceptor_.local_endpoint().port(); }
  std::string url(const std::string& scheme = "http") const {
    return scheme + "://127.0.0.1:" + std::to_string(port());
  }

  std::vector<SeenRequest> seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

  // What the client's connections have sent in all, and whether one was reset while we wrote.
  std::atomic<uint64_t> bytes_written{0};

  static std::string Reply(const std::string& status, const std::string& body = "",
                           const std::string& headers = "") {
    return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + headers +
           "\r\n" + body;
  }

 private:
  void Accept() {
    for (int n = 1;; ++n) {
      auto socket = std::make_shared<boost::asio::ip::tcp::socket>(io_);
      boost::system::error_code error;
      acceptor_.accept(*socket, error);
      if (stopping_ || error) return;
      const std::lock_guard lock(mutex_);
      sockets_.push_back(socket->native_handle());
      connections_.emplace_back([this, socket, n] {
        boost::system::error_code ignored;
        if (tls_ != nullptr) {
          boost::asio::ssl::stream<boost::asio::ip::tcp::socket&> stream(*socket, *tls_);
          stream.handshake(boost::asio::ssl::stream_base::server, ignored);
          if (!ignored) Serve(stream, n);
        } else {
          Serve(*socket, n);
        }
        socket->shutdown(boost::asio::ip::tcp::socket::shutdown_both, ignored);
        const std::lock_guard inner(mutex_);
        std::erase(sockets_, socket->native_handle());
        socket->close(ignored);
      });
    }
  }

  template <typename Stream>
  void Serve(Stream& stream, int connection) {
    std::string buffer;
    boost::system::error_code error;
    for (;;) {
      const size_t head =
          boost::asio::read_until(stream, boost::asio::dynamic_buffer(buffer), "\r\n\r\n", error);
      if (error) return;
      SeenRequest request;
      request.connection = connection;
      size_t at = buffer.find("\r\n");
      request.line = buffer.substr(0, at);
      while ((at += 2) < head - 2) {
        const size_t end = buffer.find("\r\n", at);
        const size_t colon = buffer.find(": ", at);
        std::string name = buffer.substr(at, colon - at);
        for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        request.headers[name] = buffer.substr(colon + 2, end - colon - 2);
        at = end;
      }
      const size_t length = std::stoul(request.headers["content-length"]);
      if (buffer.size() < head + length) {
        const size_t have = buffer.size();
        buffer.resize(head + length);
        boost::asio::read(stream, boost::asio::buffer(buffer.data() + have, head + length - have), error);
        if (error) return;
      }
      request.body = buffer.substr(head, length);
      buffer.erase(0, head + length);
      {
        const std::lock_guard lock(mutex_);
        seen_.push_back(request);
      }
      const std::optional<std::string> reply = answer_(request);
      if (!reply) return;
      bytes_written += boost::asio::write(stream, boost::asio::buffer(*reply), error);
      if (error) return;
      if (reply->find("Connection: close") != std::string::npos) return;
    }
  }

  const Answer answer_;
  boost::asio::ssl::context* const tls_;
  boost::asio::io_context io_;
  boost::asio::ip::tcp::acceptor acceptor_;
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::vector<int> sockets_;
  std::list<std::thread> connections_;
  std::vector<SeenRequest> seen_;
  std::thread thread_;
};

}  // namespace braid::test
