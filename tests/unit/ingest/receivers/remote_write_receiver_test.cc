#include "ingest/receivers/remote_write_receiver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace braid::ingest {
namespace {

using testing::Contains;
using testing::Pair;

constexpr char kOne[] = "application/x-protobuf";
constexpr char kTwo[] = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

// What Screen() says is decided from the head alone; the rest is tested over sockets in
// tests/integration/hostile.
class RemoteWriteReceiverTest : public testing::Test {
 protected:
  static Request Post(std::string target, std::string_view type, std::string_view encoding = "snappy") {
    Request request;
    request.method = "POST";
    request.target = std::move(target);
    if (!type.empty()) request.headers.Add("content-type", type);
    if (!encoding.empty()) request.headers.Add("content-encoding", encoding);
    return request;
  }
  int StatusOf(Request request) {
    const auto refusal = receiver_.Screen(request);
    return refusal ? refusal->status : 0;
  }

  SlabPool pool_{{}};
  BatchPool batches_;
  SlicePool slices_;
  Decoder decoder_{Epoch(), batches_, slices_, pool_, nullptr};
  MemorySequencer sequencer_{{}, {}};
  RemoteWriteReceiver receiver_{{&decoder_}, sequencer_, pool_, {.now_seconds = [] { return uint64_t{1}; }}};
};

// Scenario: Content-Type headers as senders write them, and others.
// Guarantees: the proto parameter decides; what it names must be one of the two messages.
TEST(RemoteWriteVersionTest, Table) {
  const auto one = RemoteWriteVersion::k1;
  const auto two = RemoteWriteVersion::k2;
  EXPECT_EQ(RemoteWriteVersionOf(""), one);
  EXPECT_EQ(RemoteWriteVersionOf(kOne), one);
  EXPECT_EQ(RemoteWriteVersionOf("Application/X-Protobuf; proto=prometheus.WriteRequest"), one);
  EXPECT_EQ(RemoteWriteVersionOf(kTwo), two);
  EXPECT_EQ(RemoteWriteVersionOf("application/x-protobuf ; q=1; Proto = \"io.prometheus.write.v2.Request\" "),
            two);
  EXPECT_EQ(RemoteWriteVersionOf("application/x-protobuf;proto=io.prometheus.write.v3.Request"),
            std::nullopt);
  EXPECT_EQ(RemoteWriteVersionOf("application/x-protobuf;proto="), std::nullopt);
  EXPECT_EQ(RemoteWriteVersionOf("application/json"), std::nullopt);
  EXPECT_EQ(RemoteWriteVersionOf("application/x-protobufx"), std::nullopt);
  EXPECT_EQ(RemoteWriteVersionOf(";;;=;"), std::nullopt);
}

// Scenario: heads, good and bad.
// Guarantees: 404, 405 with Allow, 415 before any body is taken; each counted once.
TEST_F(RemoteWriteReceiverTest, Screens) {
  for (const char* path : {"/api/v1/write", "/api/v1/push", "/api/v1/write?x=1"}) {
    EXPECT_EQ(StatusOf(Post(path, kOne)), 0) << path;
    EXPECT_EQ(StatusOf(Post(path, kTwo)), 0) << path;
  }
  EXPECT_EQ(StatusOf(Post("/api/v1/write", "", "")), 0);
  EXPECT_EQ(StatusOf(Post("/api/v1/write", kOne, "SNAPPY")), 0);
  for (const char* path : {"/", "/api/v1/write/", "/api/v1/writes", "/v1/metrics"}) {
    EXPECT_EQ(StatusOf(Post(path, kOne)), 404) << path;
  }
  for (const char* type : {"application/json", "text/plain", "application/x-protobuf;proto=x"}) {
    EXPECT_EQ(StatusOf(Post("/api/v1/write", type)), 415) << type;
  }
  for (const char* encoding : {"gzip", "identity", "zstd", "snappy, snappy", "x-snappy-framed"}) {
    EXPECT_EQ(StatusOf(Post("/api/v1/write", kTwo, encoding)), 415) << encoding;
  }
  Request get = Post("/api/v1/write", kOne);
  get.method = "GET";
  const auto refusal = receiver_.Screen(get);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->status, 405);
  EXPECT_THAT(refusal->headers, Contains(Pair("allow", "POST")));
  Request call = Post("/prometheus.Write/Push", "application/grpc");
  call.grpc = true;
  EXPECT_EQ(receiver_.Screen(call)->grpc->status.code(), Code::kUnimplemented);

  const RemoteWriteReceiver::Stats stats = receiver_.stats();
  const auto unsupported = static_cast<size_t>(ReceiveOutcome::kUnsupported);
  EXPECT_EQ(stats.requests[0][unsupported], 4u);
  EXPECT_EQ(stats.requests[1][unsupported], 5u);
  EXPECT_EQ(stats.unknown_path, 5u);
}

// Scenario: an authenticator that knows one token.
// Guarantees: 401 with a challenge; the tenant reaches the request.
TEST_F(RemoteWriteReceiverTest, Authenticates) {
  RemoteWriteReceiver::Options options;
  options.now_seconds = [] { return uint64_t{1}; };
  options.authenticate = [](const Request& request) -> Result<uint32_t> {
    if (request.headers.Get("authorization") == "Bearer good") return 7u;
    return Status(Code::kUnauthenticated, "unknown token");
  };
  RemoteWriteReceiver guarded({&decoder_}, sequencer_, pool_, options);
  Request anonymous = Post("/api/v1/write", kTwo);
  const auto refusal = guarded.Screen(anonymous);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->status, 401);
  EXPECT_THAT(refusal->headers, Contains(Pair("www-authenticate", "Bearer, Basic")));
  EXPECT_THAT(refusal->headers, Contains(Pair("x-prometheus-remote-write-samples-written", "0")));
  EXPECT_EQ(refusal->body, "unknown token\n");
  Request known = Post("/api/v1/write", kTwo);
  known.headers.Add("authorization", "Bearer good");
  EXPECT_FALSE(guarded.Screen(known));
  EXPECT_EQ(known.tenant, 7u);
}

}  // namespace
}  // namespace braid::ingest
