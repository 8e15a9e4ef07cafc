#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace boost::asio {
class io_context;
}

namespace braid::net {

// Where to send requests: taken apart from "http://host:port/path?query".
struct HttpUrl {
  bool tls = false;
  std::string host;       // without brackets
  std::string port;       // a number; 80 or 443 if none was given
  std::string authority;  // for the Host header
  std::string target;     // path and query, at least "/"
};

// Errors say what is wrong, without repeating the URL. User names and passwords in a URL are refused: URLs
// end up in logs.
Result<HttpUrl> ParseHttpUrl(std::string_view url);

// Whether `name` is a header name and `value` can stand in a header (no control characters), so that
// nothing can be smuggled into a request.
bool ValidHttpHeader(std::string_view name, std::string_view value);

// The certificates that Debian's ca-certificates trusts.
inline constexpr const char* kSystemRoots = "/etc/ssl/certs/ca-certificates.crt";

// Certificates to trust and to show, parsed once and shared by many clients.
// Thread rule: any thread.
class TlsClientContext {
 public:
  struct Options {
    std::string ca_pem;           // roots to trust
    std::string certificate_pem;  // empty: none is shown
    std::string key_pem;
    bool skip_verify = false;
  };

  // TLS 1.2 at least. Errors name the part that OpenSSL did not take, never its content.
  static Result<std::shared_ptr<const TlsClientContext>> Make(const Options& options);
  ~TlsClientContext();

 private:
  friend class HttpClient;
  TlsClientContext();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// HTTP/1.1 requests to one server, over a few connections that are kept alive.
//
// A connection that was idle may have been closed by the server just when a request goes out; such a request
// is repeated once on a fresh one. Nothing else is repeated here. An answer may come before the request is
// all written (413): it counts. Host names are resolved on Asio's resolver thread; addresses are used as they
// are.
//
// Thread rule: the thread of the io_context, callbacks too.
// Lifetime: destroying the client abandons its requests; no callback comes any more.
// Bound: `max_connections`, `max_response_bytes` each; 16 KiB of response header. Requests beyond
// the connections wait, within their timeout.
class HttpClient {
 public:
  struct Options {
    HttpUrl server;                               // its target is not used
    std::shared_ptr<const TlsClientContext> tls;  // REQUIRED if server.tls
    std::string server_name;                      // to verify and announce; empty: server.host
    size_t max_connections = 12;
    std::chrono::nanoseconds connect_timeout = std::chrono::seconds(5);  // resolving and TLS included
    size_t max_response_bytes = 64 << 10;
    std::vector<std::string> keep_headers;  // response headers to hand on, besides those that always are
  };

  struct Request {
    std::string method = "POST";
    std::string target = "/";
    std::vector<std::pair<std::string, std::string>> headers;  // besides Host and Content-Length; valid ones
    std::string_view body;
    std::shared_ptr<const void> body_owner;                       // keeps `body` until the request is over
    std::chrono::nanoseconds timeout = std::chrono::seconds(10);  // from Send() to the end of the answer
  };

  struct Response {
    int status = 0;
    std::string content_type;
    std::string retry_after;
    std::vector<std::pair<std::string, std::string>> headers;  // of Options::keep_headers, those that came
    std::string body;                                          // the first max_response_bytes
    bool truncated = false;                                    // there was more
  };

  // kUnavailable: not reached, cut off or cancelled; kDeadlineExceeded: timed out; kInternal: the answer is
  // not HTTP. Messages locate: "connect 127.0.0.1:3100: Connection refused".
  using Done = std::function<void(Result<Response>)>;

  HttpClient(boost::asio::io_context& io, Options options);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // `done` is called exactly once, never from within.
  void Send(Request request, Done done);

  // Every request ends soon, with kUnavailable.
  void CancelAll();

 private:
  class Impl;
  class Connection;
  std::shared_ptr<Impl> impl_;
};

}  // namespace braid::net
