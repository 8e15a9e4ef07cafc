// OTLP over real sockets, from the first byte to the sequencer: what each sender is told, and what is
// counted.

#include <zlib.h>
#include <zstd.h>

#include "base/wire.h"
#include "ingest/receivers/otlp_receiver.h"
#include "tests/integration/hostile/fake_sequencer.h"
#include "tests/integration/hostile/test_server.h"

namespace braid::hostile {
namespace {

using ingest::OtlpReceiver;
using ingest::ReceiveOutcome;
using testing::HasSubstr;

constexpr char kTraces[] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
constexpr char kLogs[] = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
constexpr char kMetrics[] = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

std::string Field(uint32_t number, std::string_view bytes) {
  std::string out;
  wire::Writer(&out).Bytes(number, bytes);
  return out;
}

// `good` spans, then `bad` ones without a span ID.
std::string Spans(int good, int bad = 0) {
  std::string scope;
  for (int i = 0; i < good + bad; ++i) {
    std::string span = Field(1, std::string(16, 't'));
    if (i < good) span += Field(2, "s" + std::string(7, static_cast<char>('0' + i % 10)));
    span += Field(5, "GET /cart");
    scope += Field(2, span);
  }
  return Field(1, Field(2, scope));
}

std::string Gzip(std::string_view input) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, input.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Zstd(std::string_view input) {
  std::string out(ZSTD_compressBound(input.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), input.data(), input.size(), 1));
  return out;
}

class OtlpServerTest : public testing::Test {
 protected:
  OtlpServerTest() {
    decoders_.push_back(std::make_unique<ingest::Decoder>(Epoch(), batches_, slices_, decode_pool_, nullptr));
  }

  void Start(OtlpReceiver::Options options = {}, size_t pool_bytes = 256u << 20) {
    // The receiver inflates into the pool that the server fills, as in the gateway.
    switch_ = std::make_unique<Switch>();
    server_ = std::make_unique<TestServer>(switch_.get(), ingest::HttpServer::Options(), 1, pool_bytes);
    ASSERT_TRUE(server_->start.ok());
    receiver_ = std::make_unique<OtlpReceiver>(std::vector<ingest::Decoder*>{decoders_[0].get()}, sequencer_,
                                               server_->pool, std::move(options));
    switch_->to = receiver_.get();
    h2_ = std::make_unique<Http2Wire>(server_->port());
    ASSERT_TRUE(h2_->Open());
    h1_ = std::make_unique<Wire>(server_->port());
  }
  void TearDown() override {
    sequencer_.Join();
    if (!server_) return;
    server_->server->Stop(steady_clock::now());
    EXPECT_TRUE(Eventually([&] { return server_->pool.used_bytes() == 0; }));
  }

  Http1Reply PostTo(std::string_view path, std::string_view body, std::string type = "application/x-protobuf",
                    std::string encoding = "") {
    Fields fields = {{"content-type", std::move(type)}};
    if (!encoding.empty()) fields.emplace_back("content-encoding", std::move(encoding));
    if (h1_->closed()) h1_ = std::make_unique<Wire>(server_->port());
    return Exchange(*h1_, Post(path, body, fields));
  }
  Http2Wire::Reply CallTo(std::string_view method, std::string_view message,
                          const std::string& encoding = "") {
    Fields fields;
    if (!encoding.empty()) fields.emplace_back("grpc-encoding", encoding);
    const bool compressed = !encoding.empty() && encoding != "identity";
    return h2_->Await(h2_->GrpcCall(method, GrpcMessage(message, compressed ? 1 : 0), fields));
  }
  uint64_t Outcome(ingest::OtlpTransport transport, ReceiveOutcome outcome) {
    uint64_t sum = 0;
    const OtlpReceiver::Stats stats = receiver_->stats();
    for (const auto& signal : stats.requests[static_cast<size_t>(transport)]) {
      sum += signal[static_cast<size_t>(outcome)];
    }
    return sum;
  }

  // The receiver needs the server's pool, the server its handler.
  struct Switch : ingest::Handler {
    std::optional<ingest::Response> Screen(ingest::Request& head) override { return to.load()->Screen(head); }
    void Handle(ingest::Request request, ingest::Responder responder) override {
      to.load()->Handle(std::move(request), std::move(responder));
    }
    std::atomic<ingest::Handler*> to{nullptr};
  };

  SlabPool decode_pool_{{}};
  BatchPool batches_;
  SlicePool slices_;
  std::vector<std::unique_ptr<ingest::Decoder>> decoders_;
  FakeSequencer sequencer_;
  std::unique_ptr<Switch> switch_;
  std::unique_ptr<OtlpReceiver> receiver_;
  std::unique_ptr<TestServer> server_;
  std::unique_ptr<Http2Wire> h2_;
  std::unique_ptr<Wire> h1_;
};

// Scenario: the same spans by every transport, format and encoding.
// Guarantees: accepted, partial_success unset, each item submitted once.
TEST_F(OtlpServerTest, EveryWayIn) {
  Start();
  const std::string spans = Spans(7);
  for (const auto& [encoding, body] : std::vector<std::pair<std::string, std::string>>{
           {"", spans}, {"identity", spans}, {"gzip", Gzip(spans)}, {"zstd", Zstd(spans)}}) {
    SCOPED_TRACE(encoding);
    const auto grpc = CallTo(kTraces, body, encoding);
    EXPECT_EQ(grpc.Get("grpc-status"), "0");
    EXPECT_EQ(grpc.body, GrpcMessage(""));
    const Http1Reply http = PostTo("/v1/traces", body, "application/x-protobuf", encoding);
    EXPECT_EQ(http.status, 200);
    EXPECT_EQ(http.headers.at("content-type"), "application/x-protobuf");
    EXPECT_EQ(http.body, "");
    Fields fields = {{"content-type", "application/x-protobuf"}};
    if (!encoding.empty()) fields.emplace_back("content-encoding", encoding);
    EXPECT_EQ(h2_->Await(h2_->Call("POST", "/v1/traces", fields, body)).Get(":status"), "200");
  }
  EXPECT_EQ(sequencer_.items, 7u * 12);
  const std::string json =
      R"({"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"0102030405060708090a0b0c0d0e0f10",)"
      R"("spanId":"0102030405060708","name":"x"}]}]}]})";
  const Http1Reply reply = PostTo("/v1/traces", json, "application/json");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.at("content-type"), "application/json");
  EXPECT_EQ(reply.body, "{}");
  EXPECT_EQ(PostTo("/v1/traces", Gzip(json), "application/json; charset=utf-8", "gzip").status, 200);
  EXPECT_EQ(sequencer_.items, 7u * 12 + 2);
  EXPECT_EQ(Outcome(ingest::OtlpTransport::kGrpc, ReceiveOutcome::kAccepted), 4u);
  EXPECT_EQ(Outcome(ingest::OtlpTransport::kHttp, ReceiveOutcome::kAccepted), 10u);
}

// Scenario: empty requests of every signal, an empty body under gzip included.
// Guarantees: they succeed.
TEST_F(OtlpServerTest, EmptyRequestsSucceed) {
  Start();
  for (const char* method : {kTraces, kLogs, kMetrics}) EXPECT_EQ(CallTo(method, "").Get("grpc-status"), "0");
  for (const char* path : {"/v1/traces", "/v1/logs", "/v1/metrics"}) {
    EXPECT_EQ(PostTo(path, "").status, 200);
    EXPECT_EQ(PostTo(path, "{}", "application/json").status, 200);
    EXPECT_EQ(PostTo(path, Gzip(""), "application/x-protobuf", "gzip").status, 200);
    EXPECT_EQ(PostTo(path, "", "application/x-protobuf", "gzip").status, 200);
  }
  EXPECT_EQ(sequencer_.undecodable, 0u);
}

// Scenario: two good spans and three without an ID.
// Guarantees: accepted with partial_success in the request's own form; the good ones are submitted.
TEST_F(OtlpServerTest, PartialSuccess) {
  Start();
  const auto grpc = CallTo(kTraces, Spans(2, 3));
  EXPECT_EQ(grpc.Get("grpc-status"), "0");
  wire::Cursor outer(std::string_view(grpc.body).substr(5));
  ASSERT_TRUE(outer.Next());
  wire::Cursor partial(outer.field().bytes);
  ASSERT_TRUE(partial.Next());
  EXPECT_EQ(partial.field().scalar, 3u);
  ASSERT_TRUE(partial.Next());
  EXPECT_THAT(std::string(partial.field().bytes), HasSubstr("resource_spans[0].scope_spans[0].spans[2]"));

  const Http1Reply json =
      PostTo("/v1/traces", R"({"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"00","name":"x"}]}]}]})",
             "application/json");
  EXPECT_EQ(json.status, 200);
  EXPECT_THAT(json.body, HasSubstr("\"rejectedSpans\":\"1\""));
  EXPECT_EQ(sequencer_.items, 2u);
  EXPECT_EQ(Outcome(ingest::OtlpTransport::kGrpc, ReceiveOutcome::kPartial), 1u);
}

// Scenario: bodies that cannot be decoded, by each layer: compression, JSON, protobuf, gRPC flags.
// Guarantees: 400 / INVALID_ARGUMENT (INTERNAL where gRPC prescribes it), google.rpc.Status in the request's
// form; counted.
TEST_F(OtlpServerTest, Undecodable) {
  Start();
  const std::string gzip = Gzip(Spans(10));
  EXPECT_EQ(CallTo(kTraces, "\xff\xff\xff").Get("grpc-status"), "3");
  EXPECT_EQ(CallTo(kTraces, gzip.substr(0, gzip.size() / 2), "gzip").Get("grpc-status"), "3");
  EXPECT_EQ(CallTo(kTraces, Spans(1), "gzip").Get("grpc-status"), "3");
  const auto flagged = h2_->Await(h2_->GrpcCall(kTraces, GrpcMessage(gzip, 1)));
  EXPECT_EQ(flagged.Get("grpc-status"), "13") << "compressed, but no grpc-encoding";
  EXPECT_EQ(sequencer_.undecodable, 4u);

  const Http1Reply proto = PostTo("/v1/logs", "\xff\xff\xff");
  EXPECT_EQ(proto.status, 400);
  EXPECT_EQ(proto.headers.at("content-type"), "application/x-protobuf");
  EXPECT_TRUE(proto.body.starts_with("\x08\x03\x12"));
  const Http1Reply json = PostTo("/v1/logs", "{\"resourceLogs\":", "application/json");
  EXPECT_EQ(json.status, 400);
  EXPECT_EQ(json.headers.at("content-type"), "application/json");
  EXPECT_THAT(json.body, HasSubstr("\"code\":3"));
  EXPECT_EQ(PostTo("/v1/logs", gzip + "x", "application/x-protobuf", "gzip").status, 400);
  EXPECT_EQ(PostTo("/v1/logs", "not zstd", "application/x-protobuf", "zstd").status, 400);
  EXPECT_EQ(sequencer_.undecodable, 8u);
  EXPECT_EQ(sequencer_.items, 0u);
  EXPECT_EQ(Outcome(ingest::OtlpTransport::kGrpc, ReceiveOutcome::kBadData), 4u);
  EXPECT_EQ(Outcome(ingest::OtlpTransport::kHttp, ReceiveOutcome::kBadData), 4u);
}

// Scenario: the sequencer refuses, at once or on its own thread.
// Guarantees: 503 with Retry-After, UNAVAILABLE with RetryInfo, within one and two times the base.
TEST_F(OtlpServerTest, Refusals) {
  Start({.retry_after = milliseconds(3'000)});
  sequencer_.refuse = true;
  for (const bool elsewhere : {false, true}) {
    sequencer_.elsewhere = elsewhere;
    const auto grpc = CallTo(kTraces, Spans(1));
    EXPECT_EQ(grpc.Get("grpc-status"), "14");
    EXPECT_EQ(grpc.Get("grpc-message"), "the core is behind");
    EXPECT_FALSE(grpc.Get("grpc-status-details-bin").empty());
    EXPECT_THAT(grpc.Get("grpc-status-details-bin"), testing::Not(HasSubstr("=")));
    const Http1Reply http = PostTo("/v1/traces", Spans(1));
    EXPECT_EQ(http.status, 503);
    EXPECT_THAT(std::stoi(http.headers.at("retry-after")), testing::AllOf(testing::Ge(3), testing::Le(6)));
  }
  sequencer_.refuse = false;
  EXPECT_EQ(CallTo(kTraces, Spans(1)).Get("grpc-status"), "0");
  EXPECT_EQ(Outcome(ingest::OtlpTransport::kGrpc, ReceiveOutcome::kRefused), 2u);
  EXPECT_EQ(Outcome(ingest::OtlpTransport::kHttp, ReceiveOutcome::kRefused), 2u);
  EXPECT_EQ(sequencer_.undecodable, 0u);
}

// Scenario: gzip and zstd bombs of 200 MiB, by gRPC and HTTP, many at once, beside a decent sender; the
// budget is 160 MiB. Guarantees: 413 / RESOURCE_EXHAUSTED without RetryInfo, the pool's bound holds, the
// decent sender is served.
TEST_F(OtlpServerTest, Bombs) {
  Start({}, 160u << 20);
  const std::string zeros(200u << 20, '\0');
  const std::string gzip = Gzip(zeros);
  const std::string zstd = Zstd(zeros);
  ASSERT_LT(gzip.size(), 300'000u);
  std::atomic<bool> stop{false};
  std::atomic<size_t> peak{0};
  std::atomic<int> served{0};
  std::thread decent([&] {
    Wire wire(server_->port());
    while (!stop) {
      EXPECT_EQ(
          Exchange(wire, Post("/v1/traces", Spans(3), {{"content-type", "application/x-protobuf"}})).status,
          200);
      ++served;
    }
  });
  std::thread watcher([&] {
    while (!stop) {
      peak = std::max(peak.load(), server_->pool.used_bytes());
      std::this_thread::sleep_for(milliseconds(1));
    }
  });
  for (const auto& [encoding, bomb] :
       std::vector<std::pair<std::string, std::string>>{{"gzip", gzip}, {"zstd", zstd}}) {
    SCOPED_TRACE(encoding);
    const auto grpc = CallTo(kTraces, bomb, encoding);
    EXPECT_EQ(grpc.Get("grpc-status"), "8");
    EXPECT_EQ(grpc.Get("grpc-status-details-bin"), "");
    EXPECT_EQ(PostTo("/v1/traces", bomb, "application/x-protobuf", encoding).status, 413);
    EXPECT_EQ(PostTo("/v1/traces", bomb, "application/json", encoding).status, 413);
  }
  ASSERT_TRUE(Eventually([&] { return served >= 5; }));
  stop = true;
  decent.join();
  watcher.join();
  EXPECT_LE(peak, 160u << 20);
  EXPECT_EQ(Outcome(ingest::OtlpTransport::kGrpc, ReceiveOutcome::kTooLarge), 2u);
  EXPECT_EQ(Outcome(ingest::OtlpTransport::kHttp, ReceiveOutcome::kTooLarge), 4u);
}

// Scenario: a compressed body that is legal, but more than the budget has just now.
// Guarantees: "come back later", not "too large".
TEST_F(OtlpServerTest, InflatingBeyondTheBudget) {
  Start({}, 4u << 20);
  const std::string body = Gzip(std::string(16u << 20, '\0'));
  EXPECT_EQ(CallTo(kTraces, body, "gzip").Get("grpc-status"), "14");
  const Http1Reply http = PostTo("/v1/traces", body, "application/x-protobuf", "gzip");
  EXPECT_EQ(http.status, 503);
  EXPECT_TRUE(http.headers.contains("retry-after"));
  EXPECT_EQ(sequencer_.undecodable, 0u);
}

// Scenario: wrong paths, methods, media types and encodings over the wire.
// Guarantees: 404, 405 with Allow, 415, 400, UNIMPLEMENTED; the connection stays usable.
TEST_F(OtlpServerTest, WrongDoors) {
  Start();
  EXPECT_EQ(PostTo("/v1/spans", Spans(1)).status, 404);
  EXPECT_EQ(PostTo("/v1/traces", Spans(1), "text/plain").status, 415);
  EXPECT_EQ(PostTo("/v1/traces", Spans(1), "application/x-protobuf", "br").status, 400);
  const Http1Reply get = Exchange(*h1_, "GET /v1/traces HTTP/1.1\r\nhost: x\r\n\r\n");
  EXPECT_EQ(get.status, 405);
  EXPECT_EQ(get.headers.at("allow"), "POST");
  EXPECT_EQ(PostTo("/v1/traces", Spans(1)).status, 200);
  EXPECT_EQ(h2_->Await(h2_->GrpcCall("/no.Such/Method", GrpcMessage(""))).Get("grpc-status"), "12");
  EXPECT_EQ(CallTo(kTraces, "x", "snappy").Get("grpc-status"), "12");
  EXPECT_EQ(CallTo(kTraces, "x", "snappy").Get("grpc-accept-encoding"), "identity, gzip, zstd");
  EXPECT_EQ(server_->stats().connections_accepted, 2u);
}

// Scenario: messages nested beyond what protobuf takes, and with a length that runs past the end.
// Guarantees: refused or partly rejected with a place, never followed into the depth.
TEST_F(OtlpServerTest, DeepAndLyingMessages) {
  Start();
  std::string value = Field(1, "leaf");
  for (int i = 0; i < 20'000; ++i) value = Field(i % 2 == 0 ? 5 : 1, value).substr(0, 60'000'000);
  std::string span =
      Field(1, std::string(16, 't')) + Field(2, "spanspan") + Field(9, Field(1, "k") + Field(2, value));
  const auto deep = CallTo(kTraces, Field(1, Field(2, Field(2, span))));
  EXPECT_EQ(deep.Get("grpc-status"), "0");
  EXPECT_GT(deep.body.size(), 5u) << "partial_success must tell";
  std::string lying = Spans(3);
  lying[1] = '\x7f';
  EXPECT_EQ(CallTo(kTraces, lying).Get("grpc-status"), "3");
}

// Scenario: bearer tokens.
// Guarantees: 401 / UNAUTHENTICATED before a body is taken; the tenant arrives at the sequencer.
TEST_F(OtlpServerTest, Tenants) {
  OtlpReceiver::Options options;
  options.authenticate = [](const ingest::Request& request) -> Result<uint32_t> {
    if (request.headers.Get("authorization") == "Bearer seven") return 7u;
    return Status(Code::kUnauthenticated, "unknown token");
  };
  Start(options);
  EXPECT_EQ(CallTo(kTraces, Spans(1)).Get("grpc-status"), "16");
  EXPECT_EQ(PostTo("/v1/traces", Spans(1)).status, 401);
  EXPECT_EQ(h2_->Await(h2_->GrpcCall(kTraces, GrpcMessage(Spans(1)), {{"authorization", "Bearer seven"}}))
                .Get("grpc-status"),
            "0");
  EXPECT_EQ(sequencer_.tenant, 7u);
  EXPECT_EQ(sequencer_.items, 1u);
}

}  // namespace
}  // namespace braid::hostile
