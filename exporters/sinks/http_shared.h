#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/net/http_client.h"
#include "base/slab.h"
#include "base/status.h"
#include "exporters/encode/otlp.h"
#include "exporters/sinks/reply.h"
#include "exporters/sinks/sink_factory.h"

namespace braid::exporters {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

// One server and a place on it.
struct HttpTarget {
  net::HttpUrl url;
  size_t client = 0;  // index of the client that talks to this server
};

// What all HTTP sinks share between the cores: targets, headers, trust.
class HttpShared : public SinkShared {
 public:
  HttpShared(SinkConfig config, std::unique_ptr<DeadLetter> dead_letter, SlabPool& slabs,
             std::array<std::optional<HttpTarget>, kSignals> targets, std::vector<net::HttpUrl> servers,
             std::shared_ptr<const net::TlsClientContext> tls, HttpHeaders headers)
      : SinkShared(std::move(config), std::move(dead_letter)),
        slabs_(slabs),
        targets_(std::move(targets)),
        servers_(std::move(servers)),
        tls_(std::move(tls)),
        headers_(std::move(headers)) {}

  // One for each server. `keep_headers`: see net::HttpClient::Options.
  std::vector<std::unique_ptr<net::HttpClient>> NewClients(
      boost::asio::io_context& io, const std::vector<std::string>& keep_headers = {}) const {
    std::vector<std::unique_ptr<net::HttpClient>> clients;
    for (const net::HttpUrl& server : servers_) {
      net::HttpClient::Options options;
      options.server = server;
      options.tls = tls_;
      options.server_name = config().tls.server_name;
      options.max_connections = static_cast<size_t>(config().queue.max_in_flight) * kSignals;
      options.connect_timeout = config().connect_timeout;
      options.max_response_bytes = kMaxReply;
      options.keep_headers = keep_headers;
      clients.push_back(std::make_unique<net::HttpClient>(io, std::move(options)));
    }
    return clients;
  }

  net::HttpClient::Request NewRequest(Signal signal, Body body) const {
    net::HttpClient::Request request;
    request.target = target(signal).url.target;
    request.headers = headers_;
    request.body = body.bytes;
    request.body_owner = std::move(body.owner);
    request.timeout = config().timeout;
    return request;
  }

  const HttpTarget& target(Signal signal) const { return *targets_[static_cast<size_t>(signal)]; }
  SlabPool& slabs() const { return slabs_; }

 private:
  SlabPool& slabs_;
  const std::array<std::optional<HttpTarget>, kSignals> targets_;
  const std::vector<net::HttpUrl> servers_;
  const std::shared_ptr<const net::TlsClientContext> tls_;
  const HttpHeaders headers_;
};

// What became of a request without an answer, and of one with an answer other than 2xx.
SendResult NotAnswered(std::string_view sink, const Status& status);
SendResult NotTaken(std::string_view sink, const net::HttpClient::Response& response);

// The parts of the configuration that all HTTP sinks check alike.
struct CheckedHttp {
  std::array<std::optional<HttpTarget>, kSignals> targets;
  std::vector<net::HttpUrl> servers;
  std::shared_ptr<const net::TlsClientContext> tls;
  HttpHeaders headers;  // to send with each request; without a Content-Type
};

// `path(signal)` is appended to the endpoint's; nothing if it is empty.
Result<CheckedHttp> CheckHttp(const SinkConfig& config, std::string_view (*path)(Signal));

}  // namespace braid::exporters
