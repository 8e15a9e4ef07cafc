#include "ingest/receivers/otlp_receiver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace braid::ingest {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

// What Screen() says is decided from the head alone, so no socket is needed here; the rest is tested over
// real ones in tests/integration/hostile.
class OtlpReceiverTest : public testing::Test {
 protected:
  Request Post(std::string target, std::string_view type, std::string_view encoding = {}) {
    Request request;
    request.method = "POST";
    request.target = std::move(target);
    if (!type.empty()) request.headers.Add("content-type", type);
    if (!encoding.empty()) request.headers.Add("content-encoding", encoding);
    return request;
  }
  Request Call(std::string method, std::string_view type = "application/grpc",
               std::string_view encoding = {}) {
    Request request = Post(std::move(method), type);
    request.grpc = true;
    if (!encoding.empty()) request.headers.Add("grpc-encoding", encoding);
    return request;
  }
  int StatusOf(Request request) {
    const auto refusal = receiver_.Screen(request);
    return refusal ? refusal->status : 0;
  }
  Code CodeOf(Request request) {
    const auto refusal = receiver_.Screen(request);
    return refusal ? refusal->grpc->status.code() : Code::kOk;
  }

  SlabPool pool_{{}};
  BatchPool batches_;
  SlicePool slices_;
  Decoder decoder_{Epoch(), batches_, slices_, pool_, nullptr};
  MemorySequencer sequencer_{{}, {}};
  OtlpReceiver receiver_{{&decoder_}, sequencer_, pool_, {}};
};

constexpr char kTraceMethod[] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

// Scenario: every path and method of OTLP, and near misses.
// Guarantees: exact match only.
TEST(SignalOfPathTest, Table) {
  EXPECT_EQ(SignalOfPath("/v1/traces", false), Signal::kTraces);
  EXPECT_EQ(SignalOfPath("/v1/logs", false), Signal::kLogs);
  EXPECT_EQ(SignalOfPath("/v1/metrics", false), Signal::kMetrics);
  EXPECT_EQ(SignalOfPath(kTraceMethod, true), Signal::kTraces);
  EXPECT_EQ(SignalOfPath("/opentelemetry.proto.collector.logs.v1.LogsService/Export", true), Signal::kLogs);
  EXPECT_EQ(SignalOfPath("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", true),
            Signal::kMetrics);
  for (const char* path : {"/", "/v1/traces/", "/v1/trace", "/V1/traces", "v1/traces", "/v1/tracesx"}) {
    EXPECT_EQ(SignalOfPath(path, false), std::nullopt) << path;
  }
  EXPECT_EQ(SignalOfPath("/v1/traces", true), std::nullopt);
  EXPECT_EQ(SignalOfPath(kTraceMethod, false), std::nullopt);
}

// Scenario: HTTP heads, good and bad.
// Guarantees: 404, 405 with Allow, 415, 400, before any body is taken.
TEST_F(OtlpReceiverTest, ScreensHttp) {
  for (const char* type : {"application/x-protobuf", "application/json", "application/json; charset=utf-8"}) {
    EXPECT_EQ(StatusOf(Post("/v1/traces", type)), 0) << type;
  }
  for (const char* encoding : {"identity", "gzip", "GZIP", "deflate", "zstd"}) {
    EXPECT_EQ(StatusOf(Post("/v1/logs?x=1", "application/json", encoding)), 0) << encoding;
  }
  EXPECT_EQ(StatusOf(Post("/v1/spans", "application/json")), 404);
  EXPECT_EQ(StatusOf(Post("/v1/traces", "text/plain")), 415);
  EXPECT_EQ(StatusOf(Post("/v1/traces", "")), 415);
  EXPECT_EQ(StatusOf(Post("/v1/traces", "application/jsonx")), 415);
  EXPECT_EQ(StatusOf(Post("/v1/traces", "application/json", "br")), 400);
  EXPECT_EQ(StatusOf(Post("/v1/traces", "application/json", "gzip, gzip")), 400);

  for (const char* method : {"GET", "HEAD", "PUT", "OPTIONS", "DELETE"}) {
    Request request = Post("/v1/metrics", "application/json");
    request.method = method;
    const auto refusal = receiver_.Screen(request);
    ASSERT_TRUE(refusal) << method;
    EXPECT_EQ(refusal->status, 405);
    EXPECT_THAT(refusal->headers, testing::Contains(Pair("allow", "POST")));
  }
}

// Scenario: gRPC heads.
// Guarantees: UNIMPLEMENTED for methods, message types and encodings we do not have.
TEST_F(OtlpReceiverTest, ScreensGrpc) {
  EXPECT_EQ(CodeOf(Call(kTraceMethod)), Code::kOk);
  EXPECT_EQ(CodeOf(Call(kTraceMethod, "application/grpc+proto", "gzip")), Code::kOk);
  EXPECT_EQ(CodeOf(Call("/grpc.health.v1.Health/Check")), Code::kUnimplemented);
  EXPECT_EQ(CodeOf(Call("/v1/traces")), Code::kUnimplemented);
  EXPECT_EQ(CodeOf(Call(kTraceMethod, "application/grpc+json")), Code::kUnimplemented);
  EXPECT_EQ(CodeOf(Call(kTraceMethod, "application/grpc", "snappy")), Code::kUnimplemented);
}

// Scenario: an authenticator that knows one token.
// Guarantees: 401 with a challenge or UNAUTHENTICATED; the tenant reaches the request.
TEST_F(OtlpReceiverTest, Authenticates) {
  OtlpReceiver::Options options;
  options.authenticate = [](const Request& request) -> Result<uint32_t> {
    if (request.headers.Get("authorization") == "Bearer good") return 7u;
    return Status(Code::kUnauthenticated, "unknown token");
  };
  OtlpReceiver guarded({&decoder_}, sequencer_, pool_, options);
  Request anonymous = Post("/v1/traces", "application/json");
  const auto refusal = guarded.Screen(anonymous);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->status, 401);
  EXPECT_THAT(refusal->headers, ElementsAre(Pair("www-authenticate", "Bearer, Basic")));
  EXPECT_EQ(refusal->body, R"({"code":16,"message":"unknown token"})");

  Request call = Call(kTraceMethod);
  EXPECT_EQ(guarded.Screen(call)->grpc->status.code(), Code::kUnauthenticated);

  Request known = Post("/v1/traces", "application/json");
  known.headers.Add("authorization", "Bearer good");
  EXPECT_FALSE(guarded.Screen(known));
  EXPECT_EQ(known.tenant, 7u);
  EXPECT_EQ(guarded.stats().requests[1][0][static_cast<size_t>(ReceiveOutcome::kUnauthorized)], 1u);
  EXPECT_EQ(guarded.stats().requests[0][0][static_cast<size_t>(ReceiveOutcome::kUnauthorized)], 1u);
}

// Scenario: refused heads of both transports.
// Guarantees: each is counted once under its receiver, signal and outcome; unknown paths apart.
TEST_F(OtlpReceiverTest, CountsRefusals) {
  EXPECT_EQ(StatusOf(Post("/v1/logs", "text/plain")), 415);
  EXPECT_EQ(CodeOf(Call(kTraceMethod, "application/grpc", "br")), Code::kUnimplemented);
  EXPECT_EQ(StatusOf(Post("/nowhere", "text/plain")), 404);
  const OtlpReceiver::Stats stats = receiver_.stats();
  const auto unsupported = static_cast<size_t>(ReceiveOutcome::kUnsupported);
  EXPECT_EQ(stats.requests[1][static_cast<size_t>(Signal::kLogs)][unsupported], 1u);
  EXPECT_EQ(stats.requests[0][static_cast<size_t>(Signal::kTraces)][unsupported], 1u);
  EXPECT_EQ(stats.unknown_path, 1u);
}

// Scenario: replies about rejected items.
// Guarantees: unset partial_success without any; int64 as a string and the signal's own field name in JSON.
TEST(ExportResponseTest, Forms) {
  EXPECT_EQ(ExportResponseProto(0, "ignored"), "");
  EXPECT_EQ(ExportResponseProto(3, "why"), std::string("\x0a\x07\x08\x03\x12\x03why", 9));
  EXPECT_EQ(ExportResponseJson(Signal::kTraces, 0, ""), "{}");
  EXPECT_EQ(ExportResponseJson(Signal::kTraces, 3, "a\"b"),
            R"({"partialSuccess":{"rejectedSpans":"3","errorMessage":"a\"b"}})");
  EXPECT_THAT(ExportResponseJson(Signal::kLogs, 1, ""), HasSubstr("rejectedLogRecords"));
  EXPECT_THAT(ExportResponseJson(Signal::kMetrics, 1, ""), HasSubstr("rejectedDataPoints"));
}

}  // namespace
}  // namespace braid::ingest
