#include <gmock/gmock.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "base/wire.h"
#include "tests/unit/exporters/sinks/sink_test_base.h"
#include "tests/unit/exporters/sinks/test_certificate.h"

namespace braid::exporters {
namespace {

using namespace std::chrono_literals;
using Kind = SendResult::Kind;
using testing::Gt;
using testing::HasSubstr;
using testing::Lt;
using testing::Not;

// A grpc++ server for any method, whose answers a test decides.
class GrpcServer final : public grpc::CallbackGenericService {
 public:
  struct Seen {
    std::string method;
    std::map<std::string, std::string> metadata;
    std::string body;
  };
  struct Reply {
    grpc::Status status;
    std::string body;
    bool hang = false;
  };

  explicit GrpcServer(
      std::function<Reply(const Seen&)> answer,
      std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials(), int port = 0)
      : answer_(std::move(answer)) {
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(max_message);
    builder.AddListeningPort("127.0.0.1:" + std::to_string(port), std::move(credentials), &port_);
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
  }
  ~GrpcServer() override { server_->Shutdown(std::chrono::system_clock::now()); }

  int port() const { return port_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  std::vector<Seen> seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
  }
  static constexpr int max_message = 4 << 20;

 private:
  class Reactor final : public grpc::ServerGenericBidiReactor {
   public:
    Reactor(GrpcServer& server, grpc::GenericCallbackServerContext* context)
        : server_(server), context_(context) {
      StartRead(&request_);
    }
    void OnReadDone(bool ok) override {
      if (!ok) {
        FinishOnce({grpc::StatusCode::INVALID_ARGUMENT, "no message"});
        return;
      }
      Seen seen;
      seen.method = context_->method();
      for (const auto& [name, value] : context_->client_metadata()) {
        seen.metadata.emplace(std::string(name.data(), name.size()), std::string(value.data(), value.size()));
      }
      std::vector<grpc::Slice> slices;
      request_.Dump(&slices);
      for (const grpc::Slice& slice : slices)
        seen.body.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
      const Reply reply = server_.answer_(seen);
      {
        const std::lock_guard lock(server_.mutex_);
        server_.seen_.push_back(std::move(seen));
      }
      if (reply.hang) return;
      if (!reply.status.ok()) {
        FinishOnce(reply.status);
        return;
      }
      if (finished_.exchange(true)) return;
      const grpc::Slice slice(reply.body);
      response_ = grpc::ByteBuffer(&slice, 1);
      StartWriteAndFinish(&response_, {}, reply.status);
    }
    void OnCancel() override { FinishOnce(grpc::Status::CANCELLED); }
    void OnDone() override { delete this; }

   private:
    void FinishOnce(const grpc::Status& status) {
      if (!finished_.exchange(true)) Finish(status);
    }

    std::atomic<bool> finished_{false};
    GrpcServer& server_;
    grpc::GenericCallbackServerContext* context_;
    grpc::ByteBuffer request_;
    grpc::ByteBuffer response_;
  };

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    return new Reactor(*this, context);
  }

  const std::function<Reply(const Seen&)> answer_;
  std::mutex mutex_;
  std::vector<Seen> seen_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

std::string RetryInfo(uint64_t seconds, uint64_t nanos) {
  std::string details;
  wire::Writer w(&details);
  w.Varint(1, 14);
  const size_t any = w.Begin(3);
  w.Bytes(1, "type.googleapis.com/google.rpc.RetryInfo");
  const size_t info = w.Begin(2);
  const size_t duration = w.Begin(1);
  w.Varint(1, seconds);
  w.Varint(2, nanos);
  w.End(duration);
  w.End(info);
  w.End(any);
  return details;
}

std::string PartialSuccess(uint64_t rejected, std::string_view message) {
  std::string body;
  wire::Writer w(&body);
  const size_t at = w.Begin(1);
  w.Varint(1, rejected);
  w.Bytes(2, message);
  w.End(at);
  return body;
}

class OtlpGrpcTest : public test::SinkTestBase {
 protected:
  SinkConfig Config(const std::string& endpoint) {
    SinkConfig config;
    config.name = "backend";
    config.type = SinkConfig::Type::kOtlpGrpc;
    config.endpoint = endpoint;
    config.timeout = 10s;
    return config;
  }
  static GrpcServer::Reply Ok(const GrpcServer::Seen&) { return {}; }
};

// Scenario: one chunk of each signal and a part of one go to a real gRPC server, with headers and a token.
// Guarantees: the right methods, the chunk's own bytes, a part that holds exactly its items, the metadata as
// configured.
TEST_F(OtlpGrpcTest, SendsAllSignals) {
  GrpcServer server(Ok);
  SinkConfig config = Config(server.address());
  config.headers = {{"x-tenant", "blue"}};
  config.bearer_token = "s3cret";
  ASSERT_TRUE(Make(config).ok());
  const auto spans = test::SpanChunk(100, slabs_);
  const auto logs = test::LogChunk(10, slabs_);
  const auto metrics = test::MakeChunk(Signal::kMetrics, test::Request("shop", {"\x0a\x01m"}), slabs_);
  for (const auto& chunk : {spans, logs, metrics}) {
    const SendResult result = Send(chunk);
    EXPECT_EQ(result.kind, Kind::kDelivered);
    EXPECT_EQ(result.message, "");
  }
  EXPECT_EQ(Send({spans, 10, 5}).kind, Kind::kDelivered);

  const auto seen = server.seen();
  ASSERT_EQ(seen.size(), 4u);
  EXPECT_EQ(seen[0].method, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
  EXPECT_EQ(seen[1].method, "/opentelemetry.proto.collector.logs.v1.LogsService/Export");
  EXPECT_EQ(seen[2].method, "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export");
  EXPECT_EQ(seen[0].body, spans->view());
  EXPECT_EQ(seen[1].body, logs->view());
  EXPECT_EQ(seen[0].metadata.at("x-tenant"), "blue");
  EXPECT_EQ(seen[0].metadata.at("authorization"), "Bearer s3cret");
  const auto part = test::MakeChunk(Signal::kTraces, seen[3].body, slabs_);
  EXPECT_EQ(test::ItemNames(*part, 0, static_cast<uint32_t>(part->items.size())),
            test::ItemNames(*spans, 10, 5));
}

// Scenario: gzip is configured.
// Guarantees: the server (which inflates) sees the chunk; the encoding was made once and is gone when nobody
// expects it.
TEST_F(OtlpGrpcTest, SendsGzip) {
  GrpcServer server(Ok);
  SinkConfig config = Config("http://" + server.address());
  config.compression = SinkConfig::Compression::kGzip;
  ASSERT_TRUE(Make(config).ok());
  const auto chunk = test::SpanChunk(2'000, slabs_);
  sink_->Expect(*chunk);
  EXPECT_EQ(Send(chunk).kind, Kind::kDelivered);
  ASSERT_EQ(chunk->encodings.size(), 1u);
  EXPECT_THAT(chunk->encodings[0].bytes->size(), Lt(chunk->bytes.size() / 2));
  const auto* first = chunk->encodings[0].bytes->data();
  EXPECT_EQ(Send(chunk).kind, Kind::kDelivered);
  EXPECT_EQ(chunk->encodings[0].bytes->data(), first);
  sink_->Forget(*chunk);
  EXPECT_TRUE(chunk->encodings.empty());
  EXPECT_EQ(Send({chunk, 3, 4}).kind, Kind::kDelivered);
  const auto seen = server.seen();
  EXPECT_EQ(seen[0].body, chunk->view());
  EXPECT_EQ(seen[1].body, chunk->view());
}

// Scenario: the server answers each gRPC status, some with RetryInfo, and partial_success.
// Guarantees: exactly those that may be retried are (protocols.md 1.1), the pause asked for is passed on,
// messages say which sink.
TEST_F(OtlpGrpcTest, ReadsEveryStatus) {
  grpc::Status status;
  std::string body;
  GrpcServer server([&](const GrpcServer::Seen&) { return GrpcServer::Reply{status, body, false}; });
  ASSERT_TRUE(Make(Config(server.address())).ok());
  const auto chunk = test::SpanChunk(3, slabs_);
  const std::map<grpc::StatusCode, Kind> kinds = {{grpc::CANCELLED, Kind::kRetry},
                                                  {grpc::UNKNOWN, Kind::kFailed},
                                                  {grpc::INVALID_ARGUMENT, Kind::kRejected},
                                                  {grpc::DEADLINE_EXCEEDED, Kind::kRetry},
                                                  {grpc::NOT_FOUND, Kind::kRejected},
                                                  {grpc::ALREADY_EXISTS, Kind::kRejected},
                                                  {grpc::PERMISSION_DENIED, Kind::kRetry},
                                                  {grpc::RESOURCE_EXHAUSTED, Kind::kFailed},
                                                  {grpc::FAILED_PRECONDITION, Kind::kRejected},
                                                  {grpc::ABORTED, Kind::kRetry},
                                                  {grpc::OUT_OF_RANGE, Kind::kRetry},
                                                  {grpc::UNIMPLEMENTED, Kind::kUnsupported},
                                                  {grpc::INTERNAL, Kind::kFailed},
                                                  {grpc::UNAVAILABLE, Kind::kRetry},
                                                  {grpc::DATA_LOSS, Kind::kRetry},
                                                  {grpc::UNAUTHENTICATED, Kind::kRetry}};
  for (const auto& [code, kind] : kinds) {
    status = {code, "because\nof this"};
    const SendResult result = Send(chunk);
    EXPECT_EQ(result.kind, kind) << code;
    EXPECT_THAT(result.message, HasSubstr("sink backend: "));
    EXPECT_THAT(result.message, HasSubstr("because of this"));
    EXPECT_FALSE(result.retry_after.has_value());
  }
  status = {grpc::UNAVAILABLE, "later", RetryInfo(7, 500'000'000)};
  EXPECT_EQ(Send(chunk).retry_after, 7500ms);
  status = {grpc::RESOURCE_EXHAUSTED, "later", RetryInfo(1, 0)};
  const SendResult throttled = Send(chunk);
  EXPECT_EQ(throttled.kind, Kind::kRetry);
  EXPECT_EQ(throttled.retry_after, 1s);
  status = {grpc::UNAVAILABLE, "garbage details", "\xff\xff\xff"};
  EXPECT_EQ(Send(chunk).kind, Kind::kRetry);

  status = grpc::Status::OK;
  body = PartialSuccess(2, "bad names");
  const SendResult partial = Send(chunk);
  EXPECT_EQ(partial.kind, Kind::kDelivered);
  EXPECT_EQ(partial.rejected, 2u);
  EXPECT_EQ(partial.message, "sink backend: refused 2 items: bad names");
  body = PartialSuccess(static_cast<uint64_t>(-5), "");
  EXPECT_EQ(Send(chunk).rejected, 0u);
  body = "not protobuf";
  EXPECT_EQ(Send(chunk).kind, Kind::kDelivered);
}

// Scenario: a request is beyond the server's message limit (4 MiB by default).
// Guarantees: it is recognised as too large, which the lane splits.
TEST_F(OtlpGrpcTest, RecognisesTooLarge) {
  GrpcServer server(Ok);
  ASSERT_TRUE(Make(Config(server.address())).ok());
  std::vector<test::SpanSpec> spans;
  for (uint64_t i = 1; i <= 5; ++i)
    spans.push_back({.trace = {1, i}, .span = i, .name = std::string(1 << 20, 'x')});
  const auto chunk = test::MakeChunk(Signal::kTraces, test::Traces("shop", spans), slabs_);
  EXPECT_EQ(Send(chunk).kind, Kind::kTooLarge);
  EXPECT_EQ(Send({chunk, 0, 3}).kind, Kind::kDelivered);
}

// Scenario: a server answers with 1 MiB.
// Guarantees: it is not taken into memory; the request counts as failed.
TEST_F(OtlpGrpcTest, CapsTheAnswer) {
  GrpcServer server(
      [](const GrpcServer::Seen&) { return GrpcServer::Reply{{}, std::string(1 << 20, 'x'), false}; });
  ASSERT_TRUE(Make(Config(server.address())).ok());
  EXPECT_NE(Send(test::SpanChunk(1, slabs_)).kind, Kind::kDelivered);
}

// Scenario: nobody listens; then a server appears on that port.
// Guarantees: the error names the sink, the address and the cause; the same sink delivers afterwards.
TEST_F(OtlpGrpcTest, RecoversFromRefusedConnections) {
  int port = 0;
  {
    GrpcServer gone(Ok);
    port = gone.port();
  }
  ASSERT_TRUE(Make(Config("127.0.0.1:" + std::to_string(port))).ok());
  const auto chunk = test::SpanChunk(1, slabs_);
  const SendResult refused = Send(chunk);
  EXPECT_EQ(refused.kind, Kind::kRetry);
  EXPECT_THAT(refused.message, HasSubstr("sink backend: UNAVAILABLE"));
  EXPECT_THAT(refused.message, HasSubstr("127.0.0.1:" + std::to_string(port)));
  GrpcServer server(Ok, grpc::InsecureServerCredentials(), port);
  ASSERT_EQ(server.port(), port);
  SendResult result;
  RunUntil([&] {
    result = Send(chunk);
    return result.kind == Kind::kDelivered;
  });
}

// Scenario: the server takes the request and never answers; another such request is cancelled; a third one's
// sink is destroyed. Guarantees: the timeout ends the first, CancelAll() the second, both to be retried;
// nobody is called for the third, and its chunk's memory is given back.
TEST_F(OtlpGrpcTest, EndsWhatHangs) {
  GrpcServer server([](const GrpcServer::Seen&) { return GrpcServer::Reply{{}, "", true}; });
  SinkConfig config = Config(server.address());
  config.timeout = 200ms;
  ASSERT_TRUE(Make(config).ok());
  auto chunk = test::SpanChunk(1, slabs_);
  const SendResult late = Send(chunk);
  EXPECT_EQ(late.kind, Kind::kRetry);
  EXPECT_THAT(late.message, HasSubstr("DEADLINE_EXCEEDED"));

  config.timeout = 1h;
  ASSERT_TRUE(Make(config).ok());
  std::optional<SendResult> cancelled;
  sink_->Send({chunk, 0, 1}, [&](SendResult result) { cancelled = std::move(result); });
  sink_->CancelAll();
  RunUntil([&] { return cancelled.has_value(); });
  EXPECT_EQ(cancelled->kind, Kind::kRetry);

  bool called = false;
  sink_->Send({chunk, 0, 1}, [&](SendResult) { called = true; });
  sink_.reset();
  shared_.reset();
  io_.restart();
  io_.poll();
  EXPECT_FALSE(called);
  const std::weak_ptr<const Chunk> watch = chunk;
  chunk.reset();
  RunUntil([&] { return watch.expired(); });
}

// Scenario: TLS with the right CA, the wrong CA, a client certificate that the server demands, and none.
// Guarantees: only the right ones deliver; the others are retried, with an error that says so.
TEST_F(OtlpGrpcTest, VerifiesTls) {
  const test::TestCertificate server_certificate("DNS:localhost,IP:127.0.0.1");
  const test::TestCertificate other("DNS:localhost,IP:127.0.0.1");
  const test::TestCertificate client("DNS:client");
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = client.certificate;
  options.pem_key_cert_pairs.push_back({server_certificate.key, server_certificate.certificate});
  GrpcServer server(Ok, grpc::SslServerCredentials(options));

  SinkConfig config = Config("https://" + server.address());
  config.timeout = 2s;
  config.tls.ca_file = Write("ca.pem", server_certificate.certificate);
  config.tls.cert_file = Write("client.pem", client.certificate);
  config.tls.key_file = Write("client.key", client.key);
  ASSERT_TRUE(Make(config).ok());
  EXPECT_EQ(Send(test::SpanChunk(1, slabs_)).kind, Kind::kDelivered);

  SinkConfig wrong_ca = config;
  wrong_ca.tls.ca_file = Write("other.pem", other.certificate);
  ASSERT_TRUE(Make(wrong_ca).ok());
  const SendResult distrusted = Send(test::SpanChunk(1, slabs_));
  EXPECT_EQ(distrusted.kind, Kind::kRetry);
  EXPECT_THAT(distrusted.message, HasSubstr("handshake"));

  SinkConfig no_client = config;
  no_client.tls.cert_file.clear();
  no_client.tls.key_file.clear();
  ASSERT_TRUE(Make(no_client).ok());
  EXPECT_EQ(Send(test::SpanChunk(1, slabs_)).kind, Kind::kRetry);

  SinkConfig wrong_name = config;
  wrong_name.tls.server_name = "elsewhere.example";
  ASSERT_TRUE(Make(wrong_name).ok());
  EXPECT_EQ(Send(test::SpanChunk(1, slabs_)).kind, Kind::kRetry);
  EXPECT_EQ(server.seen().size(), 1u);
}

// Scenario: configurations that cannot work.
// Guarantees: each is refused at the start, naming sink and key, without repeating a secret.
TEST_F(OtlpGrpcTest, RefusesBadConfigurations) {
  const auto error = [&](const std::function<void(SinkConfig&)>& change) {
    SinkConfig config = Config("127.0.0.1:4317");
    change(config);
    const Status status = Make(config);
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(status.message(), HasSubstr("sink backend: "));
    EXPECT_THAT(status.message(), Not(HasSubstr("s3cret")));
    return status.message();
  };
  EXPECT_THAT(error([](SinkConfig& c) { c.endpoint = ""; }), HasSubstr("endpoint"));
  EXPECT_THAT(error([](SinkConfig& c) { c.endpoint = "127.0.0.1:4317/v1"; }), HasSubstr("endpoint"));
  EXPECT_THAT(error([](SinkConfig& c) { c.compression = SinkConfig::Compression::kZstd; }),
              HasSubstr("zstd"));
  EXPECT_THAT(error([](SinkConfig& c) { c.headers = {{"X-Upper", "s3cret"}}; }), HasSubstr("X-Upper"));
  EXPECT_THAT(error([](SinkConfig& c) { c.headers = {{"x-split", "s3cret\r\nx-evil: 1"}}; }),
              HasSubstr("x-split"));
  EXPECT_THAT(error([](SinkConfig& c) {
                c.tls.enabled = true;
                c.tls.ca_file = "/nowhere/ca.pem";
              }),
              HasSubstr("/nowhere/ca.pem"));
  EXPECT_THAT(error([](SinkConfig& c) { c.tls.insecure_skip_verify = true; }),
              HasSubstr("insecure_skip_verify"));
  EXPECT_THAT(error([](SinkConfig& c) {
                c.bearer_token = "s3cret";
                c.basic_user = "me";
              }),
              HasSubstr("auth"));
}

// Scenario: three cores send through one shared sink from their own threads.
// Guarantees: every completion arrives on its core's thread; nothing is lost.
TEST_F(OtlpGrpcTest, ServesSeveralCores) {
  GrpcServer server(Ok);
  ASSERT_TRUE(Make(Config(server.address())).ok());
  std::vector<std::thread> threads;
  std::atomic<int> delivered = 0;
  std::vector<std::unique_ptr<boost::asio::io_context>> loops;
  std::vector<std::unique_ptr<Sink>> sinks;
  for (int core = 0; core < 3; ++core) {
    loops.push_back(std::make_unique<boost::asio::io_context>());
    sinks.push_back(shared_->NewSink(*loops.back()));
  }
  for (int core = 0; core < 3; ++core) {
    threads.emplace_back([&, core] {
      auto& io = *loops[static_cast<size_t>(core)];
      const auto self = std::this_thread::get_id();
      int left = 100;
      for (int i = 0; i < 100; ++i) {
        sinks[static_cast<size_t>(core)]->Send({test::SpanChunk(5, slabs_), 0, 5}, [&](SendResult result) {
          EXPECT_EQ(std::this_thread::get_id(), self);
          if (result.kind == Kind::kDelivered) ++delivered;
          --left;
        });
      }
      const auto deadline = std::chrono::steady_clock::now() + 20s;
      while (left > 0 && std::chrono::steady_clock::now() < deadline) {
        io.restart();
        io.run_one_for(10ms);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(delivered, 300);
  sinks.clear();
}

}  // namespace
}  // namespace braid::exporters
