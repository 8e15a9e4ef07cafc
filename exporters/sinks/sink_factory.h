#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/slab.h"
#include "base/status.h"
#include "correlate/model/signal.h"
#include "exporters/lanes/lane.h"
#include "exporters/lanes/sink.h"

namespace boost::asio {
class io_context;
}

namespace braid::exporters {

// One configured destination. Strings that hold secrets (header values, password, token) are used to
// connect and appear in no message.
struct SinkConfig {
  enum class Type : uint8_t { kOtlpGrpc, kOtlpHttp, kLoki, kFile, kRemoteWrite };
  enum class Compression : uint8_t { kNone, kGzip, kZstd };
  enum class RemoteWrite : uint8_t { kAuto, kV1, kV2 };  // kAuto: 2.0, or 1.0 where that is not known
  enum class FileFormat : uint8_t {
    kJsonLines,  // one flat, readable JSON object for each span, log record or metric
    kOtlpJson,   // one ExportXServiceRequest in OTLP JSON for each request
  };

  std::string name;  // in messages: "sink <name>: ..."
  Type type = Type::kOtlpGrpc;

  // Which signals it takes. Loki takes logs only, remote write metrics only, whatever is set.
  std::array<bool, kSignals> signals = {true, true, true};

  // kOtlpGrpc: "host:port", "http://host:port", or "https://host:port" (which turns TLS on).
  // kOtlpHttp: base URL; "/v1/traces", "/v1/logs" and "/v1/metrics" are appended to its path.
  // kLoki: base URL; "/loki/api/v1/push" is appended unless the URL already ends with it.
  // kRemoteWrite: the whole URL.
  std::string endpoint;

  // kOtlpHttp: full URL for one signal, used as it is. Empty: from `endpoint`.
  std::array<std::string, kSignals> signal_endpoints;

  // Added to each request (gRPC: metadata, names in lower case).
  std::vector<std::pair<std::string, std::string>> headers;

  // At most one: user and password, or a bearer token.
  std::string basic_user;
  std::string basic_password;
  std::string bearer_token;

  struct Tls {
    bool enabled = false;   // also turned on by an https:// endpoint
    std::string ca_file;    // PEM; empty: the system's
    std::string cert_file;  // PEM, with key_file: client certificate
    std::string key_file;
    std::string server_name;  // to verify and send (SNI) instead of the endpoint's host
    bool insecure_skip_verify = false;
  } tls;

  Compression compression = Compression::kNone;  // kOtlpGrpc: none or gzip; ignored by Loki and remote write
                                                 // (always snappy) and files
  std::chrono::nanoseconds timeout = std::chrono::seconds(10);  // of one request, from start to answer
  std::chrono::nanoseconds connect_timeout = std::chrono::seconds(5);

  // kLoki.
  std::string loki_tenant;  // X-Scope-OrgID; empty: not sent
  struct LabelRule {
    std::string attribute;  // a resource attribute, then "severity" for the record's severity class
    std::string label;
  };
  // The first rule of a label that finds a value gives it. Few values only: each combination is a stream.
  std::vector<LabelRule> loki_labels = {{"service.name", "service_name"},
                                        {"service.namespace", "namespace"},
                                        {"deployment.environment.name", "environment"},
                                        {"deployment.environment", "environment"},
                                        {"k8s.cluster.name", "cluster"}};
  size_t loki_max_line_bytes = 256 << 10;  // longer ones are dropped{too_large}, as Loki would

  RemoteWrite remote_write = RemoteWrite::kAuto;  // kRemoteWrite

  // kFile.
  std::string path = "-";  // "-": standard output
  FileFormat file_format = FileFormat::kJsonLines;

  Lane::Options queue;
  std::string
      dead_letter_path;  // OTLP JSON lines (samples: JSON lines); empty: refused items are dropped{rejected}
};

// What the cores share of one destination: its checked configuration, and for OTLP/gRPC the channel and its
// completion thread.
//
// Thread rule: NewSink() and NewLane() on any one thread at a time.
// Lifetime: outlives every Sink and Lane it made.
class SinkShared {
 public:
  virtual ~SinkShared() = default;

  const SinkConfig& config() const { return config_; }

  bool takes(Signal signal) const { return config_.signals[static_cast<size_t>(signal)]; }

  // What the receiver is spoken to in, where there is a choice; else empty. Any thread.
  virtual std::string_view protocol() const { return ""; }

  // One core's end. `io` is that core's loop, run by one thread.
  virtual std::unique_ptr<Sink> NewSink(boost::asio::io_context& io) = 0;

  // A Lane over NewSink() with the configured queue and dead letter. Entries of signals that the sink does
  // not take are ignored.
  std::unique_ptr<Lane> NewLane(boost::asio::io_context& io, const Lane::Ledgers& ledgers);

 protected:
  SinkShared(SinkConfig config, std::unique_ptr<DeadLetter> dead_letter);

 private:
  SinkConfig config_;
  std::unique_ptr<DeadLetter> dead_letter_;
};

// Checks `config`, reads its certificate files, opens its files; connects to nothing yet. Errors name the
// sink and the key. `slabs` lends the memory of encodings and outlives the result.
Result<std::unique_ptr<SinkShared>> MakeSink(const SinkConfig& config, SlabPool& slabs);

}  // namespace braid::exporters
