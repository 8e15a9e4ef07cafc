#include "exporters/sinks/http_sink.h"

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/net/backoff.h"
#include "base/net/codec.h"
#include "base/net/http_client.h"
#include "exporters/encode/encoding_cache.h"
#include "exporters/encode/loki.h"
#include "exporters/encode/otlp.h"
#include "exporters/sinks/credentials.h"
#include "exporters/sinks/reply.h"

namespace braid::exporters {
namespace {

namespace asio = boost::asio;
using Headers = std::vector<std::pair<std::string, std::string>>;

constexpr std::string_view kLokiPath = "/loki/api/v1/push";

// What Loki answers for a blocked tenant unless told otherwise: a success to careless clients.
constexpr int kLokiBlocked = 260;

// One server and a place on it.
struct Target {
  net::HttpUrl url;
  size_t client = 0;  // index of the client that talks to this server
};

net::Encoding EncodingOf(SinkConfig::Compression compression) {
  switch (compression) {
    case SinkConfig::Compression::kNone: return net::Encoding::kIdentity;
    case SinkConfig::Compression::kGzip: return net::Encoding::kGzip;
    case SinkConfig::Compression::kZstd: return net::Encoding::kZstd;
  }
  return net::Encoding::kIdentity;
}

// What all HTTP sinks share between the cores: targets, headers, trust.
class HttpShared : public SinkShared {
 public:
  HttpShared(SinkConfig config, std::unique_ptr<DeadLetter> dead_letter, SlabPool& slabs,
             std::array<std::optional<Target>, kSignals> targets, std::vector<net::HttpUrl> servers,
             std::shared_ptr<const net::TlsClientContext> tls, Headers headers)
      : SinkShared(std::move(config), std::move(dead_letter)),
        slabs_(slabs),
        targets_(std::move(targets)),
        servers_(std::move(servers)),
        tls_(std::move(tls)),
        headers_(std::move(headers)) {}

  std::vector<std::unique_ptr<net::HttpClient>> NewClients(asio::io_context& io) const {
    std::vector<std::unique_ptr<net::HttpClient>> clients;
    for (const net::HttpUrl& server : servers_) {
      net::HttpClient::Options options;
      options.server = server;
      options.tls = tls_;
      options.server_name = config().tls.server_name;
      options.max_connections = static_cast<size_t>(config().queue.max_in_flight) * kSignals;
      options.connect_timeout = config().connect_timeout;
      options.max_response_bytes = kMaxReply;
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

  const Target& target(Signal signal) const { return *targets_[static_cast<size_t>(signal)]; }
  SlabPool& slabs() const { return slabs_; }

 private:
  SlabPool& slabs_;
  const std::array<std::optional<Target>, kSignals> targets_;
  const std::vector<net::HttpUrl> servers_;
  const std::shared_ptr<const net::TlsClientContext> tls_;
  const Headers headers_;
};

SendResult NotAnswered(std::string_view sink, const Status& status) {
  SendResult result;
  // Garbage instead of HTTP may be a proxy's bad minute as well as a wrong port.
  result.kind = SendResult::Kind::kRetry;
  result.message = "sink " + std::string(sink) + ": " + QuoteReply(status.message());
  return result;
}

SendResult NotTaken(std::string_view sink, const net::HttpClient::Response& response) {
  std::string text = response.body;
  auto retry_after = net::ParseRetryAfter(response.retry_after, std::chrono::system_clock::now());
  if (response.content_type.starts_with("application/x-protobuf")) {
    RpcStatus status = ReadRpcStatus(response.body);
    text = std::move(status.message);
    if (!retry_after) retry_after = status.retry_delay;
  }
  return ReadHttpError(sink, response.status, text, retry_after);
}

class OtlpHttpSink final : public Sink {
 public:
  OtlpHttpSink(const HttpShared& shared, asio::io_context& io)
      : shared_(shared),
        encoding_(EncodingOf(shared.config().compression)),
        clients_(shared.NewClients(io)) {}

  void Expect(const Chunk& chunk) override {
    if (encoding_ != net::Encoding::kIdentity) ExpectEncoding(chunk, OtlpEncodingKey(encoding_));
  }
  void Forget(const Chunk& chunk) override {
    if (encoding_ != net::Encoding::kIdentity) ForgetEncoding(chunk, OtlpEncodingKey(encoding_));
  }

  void Send(Piece piece, Done done) override {
    const Signal signal = piece.chunk->signal;
    Body body = OtlpBody(piece.chunk, piece.first, piece.count, encoding_, shared_.slabs());
    clients_[shared_.target(signal).client]->Send(
        shared_.NewRequest(signal, std::move(body)),
        [this, done = std::move(done)](Result<net::HttpClient::Response> response) {
          const std::string& name = shared_.config().name;
          if (!response.ok()) {
            done(NotAnswered(name, response.status()));
          } else if (response->status >= 200 && response->status < 300) {
            // Anything but protobuf says nothing about refused items.
            const bool otlp =
                response->content_type.starts_with("application/x-protobuf") && !response->truncated;
            done(otlp ? ReadOtlpResponse(name, response->body) : SendResult{});
          } else {
            done(NotTaken(name, *response));
          }
        });
  }

  void CancelAll() override {
    for (const auto& client : clients_) client->CancelAll();
  }

 private:
  const HttpShared& shared_;
  const net::Encoding encoding_;
  const std::vector<std::unique_ptr<net::HttpClient>> clients_;
};

class OtlpHttpShared final : public HttpShared {
 public:
  using HttpShared::HttpShared;
  std::unique_ptr<Sink> NewSink(asio::io_context& io) override {
    return std::make_unique<OtlpHttpSink>(*this, io);
  }
};

// One request of a lane at a time, so that a stream's entries arrive in order.
class LokiSink final : public Sink {
 public:
  LokiSink(const HttpShared& shared, const LokiEncoder& encoder, asio::io_context& io)
      : shared_(shared), encoder_(encoder), io_(io), clients_(shared.NewClients(io)) {}

  bool ordered() const override { return true; }

  void Send(Piece piece, Done done) override {
    LokiEncoder::Output output = encoder_.Encode(*piece.chunk, piece.first, piece.count, shared_.slabs());
    SendResult taken;
    taken.too_large = output.too_large;
    taken.unencodable = output.unencodable;
    taken.shed_fields = output.shed_fields;
    if (output.too_large > 0) {
      taken.message = "sink " + shared_.config().name + ": " + std::to_string(output.too_large) +
                      " lines are longer than " + std::to_string(shared_.config().loki_max_line_bytes) +
                      " bytes";
    }
    if (output.entries == 0) {  // Loki answers 422 to an empty request.
      asio::post(io_, [weak = std::weak_ptr<bool>(alive_), taken = std::move(taken), done = std::move(done)] {
        if (!weak.expired()) done(taken);
      });
      return;
    }
    auto body = std::make_shared<const Slab>(std::move(output.body));
    const std::string_view bytes = body->view();
    clients_.front()->Send(
        shared_.NewRequest(Signal::kLogs, {bytes, std::move(body)}),
        [this, taken = std::move(taken),
         done = std::move(done)](Result<net::HttpClient::Response> response) mutable {
          const std::string& name = shared_.config().name;
          if (!response.ok()) {
            done(NotAnswered(name, response.status()));
          } else if (response->status == 200 || response->status == 204) {
            done(std::move(taken));
          } else if (response->status == kLokiBlocked) {
            done(ReadHttpError(name, 503, "the tenant is blocked: " + response->body, std::nullopt));
          } else {
            done(NotTaken(name, *response));
          }
        });
  }

  void CancelAll() override {
    for (const auto& client : clients_) client->CancelAll();
  }

 private:
  const HttpShared& shared_;
  const LokiEncoder& encoder_;
  asio::io_context& io_;
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  const std::vector<std::unique_ptr<net::HttpClient>> clients_;
};

class LokiShared final : public HttpShared {
 public:
  template <typename... Args>
  explicit LokiShared(LokiEncoder encoder, Args&&... args)
      : HttpShared(std::forward<Args>(args)...), encoder_(std::move(encoder)) {}
  std::unique_ptr<Sink> NewSink(asio::io_context& io) override {
    return std::make_unique<LokiSink>(*this, encoder_, io);
  }

 private:
  const LokiEncoder encoder_;
};

// Joins "/base/" and "/v1/traces"; keeps a query.
std::string Join(std::string target, std::string_view path) {
  std::string query;
  if (const size_t at = target.find('?'); at != std::string::npos) {
    query = target.substr(at);
    target.resize(at);
  }
  while (target.ends_with('/')) target.pop_back();
  if (!target.ends_with(path)) target += path;
  return target + query;
}

// The parts of the configuration that both sinks check alike.
struct Checked {
  std::array<std::optional<Target>, kSignals> targets;
  std::vector<net::HttpUrl> servers;
  std::shared_ptr<const net::TlsClientContext> tls;
  Headers headers;
};

Result<Checked> Check(const SinkConfig& config, std::string_view loki_path) {
  Checked out;
  bool needs_tls = false;
  for (size_t i = 0; i < kSignals; ++i) {
    if (!config.signals[i]) continue;
    const bool own = !config.signal_endpoints[i].empty();
    Result<net::HttpUrl> url = net::ParseHttpUrl(own ? config.signal_endpoints[i] : config.endpoint);
    if (!url.ok()) return url.status().Annotate(own ? "signal_endpoints" : "endpoint");
    if (config.tls.enabled && !url->tls) {
      return InvalidArgument("tls is enabled but the endpoint says http://; write https://");
    }
    if (!own) {
      url->target = Join(url->target, loki_path.empty() ? OtlpPath(static_cast<Signal>(i)) : loki_path);
    }
    needs_tls = needs_tls || url->tls;
    size_t client = 0;
    while (client < out.servers.size() &&
           (out.servers[client].authority != url->authority || out.servers[client].tls != url->tls)) {
      ++client;
    }
    if (client == out.servers.size()) out.servers.push_back(*url);
    out.targets[i] = Target{std::move(*url), client};
  }
  if (out.servers.empty()) return InvalidArgument("signals: none is on");

  if (needs_tls) {
    Result<TlsFiles> files = ReadTlsFiles(config.tls);
    if (!files.ok()) return files.status();
    auto tls = net::TlsClientContext::Make({.ca_pem = std::move(files->ca),
                                            .certificate_pem = std::move(files->certificate),
                                            .key_pem = std::move(files->key),
                                            .skip_verify = config.tls.insecure_skip_verify});
    if (!tls.ok()) return tls.status().Annotate("tls");
    out.tls = std::move(*tls);
  }

  out.headers.emplace_back("Content-Type", "application/x-protobuf");
  out.headers.emplace_back("User-Agent", "braid");
  for (const auto& [name, value] : config.headers) {
    if (!net::ValidHttpHeader(name, value)) {
      return InvalidArgument("headers: '" + QuoteReply(name) + "' has characters that a header cannot hold");
    }
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    constexpr std::array<std::string_view, 6> kOurs = {"host",       "content-length",   "content-type",
                                                       "connection", "content-encoding", "transfer-encoding"};
    if (std::find(kOurs.begin(), kOurs.end(), lower) != kOurs.end()) {
      return InvalidArgument("headers: '" + name + "' is set by Braid");
    }
    out.headers.emplace_back(name, value);
  }
  if (std::string authorization = AuthorizationHeader(config); !authorization.empty()) {
    if (!net::ValidHttpHeader("Authorization", authorization)) {
      return InvalidArgument("auth: the credentials have characters that a header cannot hold");
    }
    out.headers.emplace_back("Authorization", std::move(authorization));
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<SinkShared>> MakeOtlpHttp(SinkConfig config, std::unique_ptr<DeadLetter> dead_letter,
                                                 SlabPool& slabs) {
  Result<Checked> checked = Check(config, "");
  if (!checked.ok()) return checked.status();
  const net::Encoding encoding = EncodingOf(config.compression);
  if (encoding != net::Encoding::kIdentity) {
    checked->headers.emplace_back("Content-Encoding", net::EncodingName(encoding));
  }
  return std::unique_ptr<SinkShared>(
      new OtlpHttpShared(std::move(config), std::move(dead_letter), slabs, std::move(checked->targets),
                         std::move(checked->servers), std::move(checked->tls), std::move(checked->headers)));
}

Result<std::unique_ptr<SinkShared>> MakeLoki(SinkConfig config, std::unique_ptr<DeadLetter> dead_letter,
                                             SlabPool& slabs) {
  config.signals = {false, true, false};
  Result<Checked> checked = Check(config, kLokiPath);
  if (!checked.ok()) return checked.status();
  if (!config.loki_tenant.empty()) {
    if (!net::ValidHttpHeader("X-Scope-OrgID", config.loki_tenant)) {
      return InvalidArgument("tenant has characters that a header cannot hold");
    }
    checked->headers.emplace_back("X-Scope-OrgID", config.loki_tenant);
  }
  LokiEncoder::Options options;
  options.max_line_bytes = config.loki_max_line_bytes;
  for (const SinkConfig::LabelRule& rule : config.loki_labels) {
    options.labels.push_back({rule.attribute, rule.label});
  }
  Result<LokiEncoder> encoder = LokiEncoder::Make(std::move(options));
  if (!encoder.ok()) return encoder.status();
  return std::unique_ptr<SinkShared>(new LokiShared(
      std::move(*encoder), std::move(config), std::move(dead_letter), slabs, std::move(checked->targets),
      std::move(checked->servers), std::move(checked->tls), std::move(checked->headers)));
}

}  // namespace braid::exporters
