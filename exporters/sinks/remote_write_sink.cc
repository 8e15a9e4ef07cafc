#include "exporters/sinks/remote_write_sink.h"

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <charconv>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "exporters/encode/remote_write.h"
#include "exporters/sinks/http_shared.h"

namespace braid::exporters {
namespace {

namespace asio = boost::asio;
using Kind = SendResult::Kind;
using Version = RemoteWriteVersion;

constexpr std::string_view kVersionHeader = "X-Prometheus-Remote-Write-Version";
constexpr std::array<std::string_view, 3> kWrittenHeaders = {"X-Prometheus-Remote-Write-Samples-Written",
                                                             "X-Prometheus-Remote-Write-Histograms-Written",
                                                             "X-Prometheus-Remote-Write-Exemplars-Written"};

// What a 2.0 receiver says that it wrote.
struct Written {
  uint64_t samples = 0;
  uint64_t histograms = 0;
  uint64_t exemplars = 0;
};

// Nothing if it says nothing. A header that is missing beside others means 0, and so does one that is no
// number.
std::optional<Written> ReadWritten(const net::HttpClient::Response& response) {
  std::array<uint64_t, 3> values{};
  bool any = false;
  for (const auto& [name, value] : response.headers) {
    for (size_t i = 0; i < kWrittenHeaders.size(); ++i) {
      if (name != kWrittenHeaders[i]) continue;
      any = true;
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), values[i]);
      if (error != std::errc() || end != value.data() + value.size()) values[i] = 0;
    }
  }
  if (!any) return std::nullopt;
  return Written{values[0], values[1], values[2]};
}

// What one request held.
struct Sent {
  Version version = Version::k2;
  uint64_t samples = 0;
  uint64_t histograms = 0;
  uint64_t exemplars = 0;
};

uint64_t Missing(uint64_t sent, uint64_t written) { return sent - std::min(sent, written); }

class RemoteWriteShared final : public HttpShared {
 public:
  using HttpShared::HttpShared;

  std::unique_ptr<Sink> NewSink(asio::io_context& io) override;

  std::string_view protocol() const override {
    return version_.load(std::memory_order_relaxed) == Version::k2 ? "2.0" : "1.0";
  }

  // The version to begin a request with.
  Version version() const { return version_.load(std::memory_order_relaxed); }
  bool negotiates() const { return config().remote_write == SinkConfig::RemoteWrite::kAuto; }
  bool understood() const { return understood_.load(std::memory_order_relaxed); }
  void Understood() { understood_.store(true, std::memory_order_relaxed); }
  void FallBack() { version_.store(Version::k1, std::memory_order_relaxed); }
  void Begin() {
    if (config().remote_write == SinkConfig::RemoteWrite::kV1) FallBack();
  }

 private:
  std::atomic<Version> version_{Version::k2};
  std::atomic<bool> understood_{false};  // it has answered 2.0 as one who knows it
};

class RemoteWriteSink final : public Sink {
 public:
  RemoteWriteSink(RemoteWriteShared& shared, asio::io_context& io)
      : shared_(shared), clients_(shared.NewClients(io, {kWrittenHeaders.begin(), kWrittenHeaders.end()})) {}

  bool ordered() const override { return true; }

  void Send(Piece piece, Done done) override { SendAs(shared_.version(), std::move(piece), std::move(done)); }

  void CancelAll() override {
    for (const auto& client : clients_) client->CancelAll();
  }

 private:
  void SendAs(Version version, Piece piece, Done done) {
    RemoteWriteEncoder::Output output =
        encoder_.Encode(version, *piece.chunk, piece.first, piece.count, shared_.slabs());
    const Sent sent{version, output.samples, output.histograms, output.exemplars};
    auto body = std::make_shared<const Slab>(std::move(output.body));
    const std::string_view bytes = body->view();
    net::HttpClient::Request request = shared_.NewRequest(Signal::kMetrics, {bytes, std::move(body)});
    if (version == Version::k2) {
      request.headers.emplace_back("Content-Type",
                                   "application/x-protobuf;proto=io.prometheus.write.v2.Request");
      request.headers.emplace_back(kVersionHeader, "2.0.0");
    } else {
      request.headers.emplace_back("Content-Type", "application/x-protobuf");
      request.headers.emplace_back(kVersionHeader, "0.1.0");
    }
    clients_.front()->Send(std::move(request),
                           [this, sent, piece = std::move(piece), done = std::move(done)](
                               const Result<net::HttpClient::Response>& response) mutable {
                             OnAnswer(sent, std::move(piece), std::move(done), response);
                           });
  }

  void OnAnswer(const Sent& sent, Piece piece, Done done, const Result<net::HttpClient::Response>& response) {
    if (!response.ok()) {
      done(NotAnswered(shared_.config().name, response.status()));
      return;
    }
    const int status = response->status;
    if (sent.version == Version::k1) {
      // It was asked as 1.0 because it might not know 2.0, and takes that.
      if (Success(status) && shared_.negotiates()) shared_.FallBack();
      done(Success(status) ? SendResult{} : Refusal(*response));
      return;
    }
    const std::optional<Written> written = ReadWritten(*response);
    if (written) shared_.Understood();
    const bool unknown = status == 415 || (Success(status) && !written);
    const bool perhaps_unknown = status == 400 && !written && !shared_.understood();
    if (shared_.negotiates() && (unknown || perhaps_unknown)) {
      if (unknown) shared_.FallBack();
      SendAs(Version::k1, std::move(piece), std::move(done));
      return;
    }
    if (unknown && Success(status)) {
      SendResult result;
      result.kind = Kind::kUnsupported;
      result.message = "sink " + shared_.config().name + ": HTTP " + std::to_string(status) +
                       " without saying what was written: it does not know remote write 2.0";
      done(std::move(result));
      return;
    }
    const bool refused_some = status == 400 && written && written->samples + written->histograms > 0;
    done(Success(status) || refused_some ? Count(sent, *written, *response) : Refusal(*response));
  }

  static bool Success(int status) { return status >= 200 && status < 300; }

  SendResult Refusal(const net::HttpClient::Response& response) const {
    SendResult result = NotTaken(shared_.config().name, response);
    if (result.kind == Kind::kFailed) result.kind = Kind::kRetry;
    return result;
  }

  // What it did not write was refused. A refused exemplar costs nothing but itself.
  SendResult Count(const Sent& sent, const Written& written,
                   const net::HttpClient::Response& response) const {
    SendResult result;
    const uint64_t samples = Missing(sent.samples, written.samples);
    const uint64_t histograms = Missing(sent.histograms, written.histograms);
    result.rejected = samples + histograms;
    result.shed_fields = Missing(sent.exemplars, written.exemplars);
    if (result.rejected + result.shed_fields == 0) return result;
    result.message = "sink " + shared_.config().name + ": HTTP " + std::to_string(response.status) +
                     ": refused " + std::to_string(samples) + " of " + std::to_string(sent.samples) +
                     " samples, " + std::to_string(histograms) + " of " + std::to_string(sent.histograms) +
                     " histograms, " + std::to_string(result.shed_fields) + " of " +
                     std::to_string(sent.exemplars) + " exemplars";
    if (!response.body.empty()) result.message += ": " + QuoteReply(response.body);
    return result;
  }

  RemoteWriteShared& shared_;
  RemoteWriteEncoder encoder_;
  const std::vector<std::unique_ptr<net::HttpClient>> clients_;
};

std::unique_ptr<Sink> RemoteWriteShared::NewSink(asio::io_context& io) {
  return std::make_unique<RemoteWriteSink>(*this, io);
}

}  // namespace

Result<std::unique_ptr<SinkShared>> MakeRemoteWrite(SinkConfig config,
                                                    std::unique_ptr<DeadLetter> dead_letter,
                                                    SlabPool& slabs) {
  config.signals = {false, false, true};
  Result<CheckedHttp> checked = CheckHttp(config, [](Signal) { return std::string_view(); });
  if (!checked.ok()) return checked.status();
  for (const auto& [name, value] : config.headers) {
    if (name.size() == kVersionHeader.size() &&
        std::equal(name.begin(), name.end(), kVersionHeader.begin(),
                   [](char a, char b) { return (a | 0x20) == (b | 0x20); })) {
      return InvalidArgument("headers: '" + name + "' is set by Braid");
    }
  }
  checked->headers.emplace_back("Content-Encoding", "snappy");
  auto shared = std::make_unique<RemoteWriteShared>(std::move(config), std::move(dead_letter), slabs,
                                                    std::move(checked->targets), std::move(checked->servers),
                                                    std::move(checked->tls), std::move(checked->headers));
  shared->Begin();
  return std::unique_ptr<SinkShared>(std::move(shared));
}

}  // namespace braid::exporters
