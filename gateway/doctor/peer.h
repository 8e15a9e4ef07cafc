#pragma once

#include <boost/json/value.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/net/http_client.h"
#include "base/status.h"

namespace braid::gateway::doctor {

// One request to a peer.
struct Ask {
  std::string method = "GET";
  std::string path;  // below the peer's URL, with its query
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  size_t max_bytes = 1 << 20;  // of the answer; the rest is not read
};

using Answer = net::HttpClient::Response;

// How a request travels. A seam for tests; HttpTransport() is the real one.
using Transport = std::function<Result<Answer>(const Ask&)>;

// By plain HTTP or HTTPS (the system's trust), each request on a connection of its own within `timeout`.
// REQUIRES: `url` is one that net::ParseHttpUrl() takes.
Transport HttpTransport(const std::string& url, std::chrono::milliseconds timeout);

// One server that is probed. Whatever it answers is untrusted: sizes are bounded, and a wrong answer is a
// Status that says what was wrong. After two requests in a row without an answer no further one is sent, so
// that a dead server costs two timeouts at most.
class Peer {
 public:
  Peer(std::string url, Transport transport, std::vector<std::pair<std::string, std::string>> headers = {})
      : url_(std::move(url)), transport_(std::move(transport)), headers_(std::move(headers)) {}

  const std::string& url() const { return url_; }

  // Errors: not reached, no answer in time, not HTTP.
  Result<Answer> Send(Ask ask);

  // The same, for a GET of which only status 200 and a whole body will do.
  Result<std::string> Get(const std::string& path, const std::string& accept = "*/*",
                          size_t max_bytes = 1 << 20);

  // The same, and the body is JSON.
  Result<boost::json::value> GetJson(const std::string& path, size_t max_bytes = 64 << 20);

 private:
  const std::string url_;
  const Transport transport_;
  const std::vector<std::pair<std::string, std::string>> headers_;
  int misses_ = 0;
  Status last_miss_;
};

// What is wrong with an answer that is not 200, with the beginning of its body.
std::string Describe(const Answer& answer);

// What to do about a server that could not be spoken to: `flag` named it, `what` it should be ("Prometheus").
std::string ReachAdvice(std::string_view flag, std::string_view what, const Status& status);

// A value of a query: everything but letters, digits and -._~ as %XX.
std::string Escape(std::string_view text);

// "host:port" of a URL, with the loopback's names made one, so that two URLs can be compared. Empty: not a
// URL.
std::string Authority(std::string_view url);

}  // namespace braid::gateway::doctor
