#include "exporters/sinks/http_sink.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/net/codec.h"
#include "base/net/http_client.h"
#include "exporters/encode/encoding_cache.h"
#include "exporters/encode/loki.h"
#include "exporters/encode/otlp.h"
#include "exporters/sinks/http_shared.h"
#include "exporters/sinks/reply.h"

namespace braid::exporters {
namespace {

namespace asio = boost::asio;

std::string_view LokiPath(Signal) { return "/loki/api/v1/push"; }

// What Loki answers for a blocked tenant unless told otherwise: a success to careless clients.
constexpr int kLokiBlocked = 260;

net::Encoding EncodingOf(SinkConfig::Compression compression) {
  switch (compression) {
    case SinkConfig::Compression::kNone: return net::Encoding::kIdentity;
    case SinkConfig::Compression::kGzip: return net::Encoding::kGzip;
    case SinkConfig::Compression::kZstd: return net::Encoding::kZstd;
  }
  return net::Encoding::kIdentity;
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

}  // namespace

Result<std::unique_ptr<SinkShared>> MakeOtlpHttp(SinkConfig config, std::unique_ptr<DeadLetter> dead_letter,
                                                 SlabPool& slabs) {
  Result<CheckedHttp> checked = CheckHttp(config, OtlpPath);
  if (!checked.ok()) return checked.status();
  checked->headers.emplace_back("Content-Type", "application/x-protobuf");
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
  Result<CheckedHttp> checked = CheckHttp(config, LokiPath);
  if (!checked.ok()) return checked.status();
  checked->headers.emplace_back("Content-Type", "application/x-protobuf");
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
