#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <snappy.h>

#include "exporters/encode/samples.h"
#include "tests/unit/exporters/sinks/http_server.h"
#include "tests/unit/exporters/sinks/sink_test_base.h"

namespace braid::exporters {
namespace {

using namespace std::chrono_literals;
using test::HttpServer;
using test::SeenRequest;
using Kind = SendResult::Kind;
using testing::HasSubstr;

constexpr const char* kType1 = "application/x-protobuf";
constexpr const char* kType2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

std::string Written(int samples, int histograms, int exemplars) {
  return "X-Prometheus-Remote-Write-Samples-Written: " + std::to_string(samples) +
         "\r\nX-Prometheus-Remote-Write-Histograms-Written: " + std::to_string(histograms) +
         "\r\nX-Prometheus-Remote-Write-Exemplars-Written: " + std::to_string(exemplars) + "\r\n";
}

// The Chunk: three gauges, a native histogram, and a counter with an exemplar. 5 units, 4 samples, 1
// histogram, 1 exemplar.
class RemoteWriteSinkTest : public test::SinkTestBase {
 protected:
  RemoteWriteSinkTest() {
    PageWriter& w = rounds_.Begin(1'700'000'000'000);
    w.Family({"g", "", "", MetricType::kGauge});
    for (const char* a : {"1", "2", "3"}) w.Gauge(std::vector<Label>{{"a", a}}, 1);
    const std::vector<NativeBucket> buckets = {{1, 2}};
    const NativeView native{0, 0, 0, buckets, {}, {}};
    w.Family({"h", "", "", MetricType::kHistogram});
    w.Histogram({}, {{}, {}, 3, true, {}, &native}, 0);
    const ExemplarView exemplar{1, 1'699'000'000'000'000'000, {1, 2}, 3, {}};
    w.Family({"c", "", "", MetricType::kCounter});
    w.Counter({}, 1, 0, &exemplar);
    chunk_ = rounds_.End().at(0);
  }

  SinkConfig Config(const HttpServer& server,
                    SinkConfig::RemoteWrite version = SinkConfig::RemoteWrite::kAuto) {
    SinkConfig config;
    config.name = "prom";
    config.type = SinkConfig::Type::kRemoteWrite;
    config.endpoint = server.url() + "/push";
    config.remote_write = version;
    return config;
  }

  // Answers by version: what a 2.0 request gets, and what a 1.0 request gets.
  static HttpServer::Answer By(std::string second, std::string first) {
    return [second = std::move(second), first = std::move(first)](const SeenRequest& request) {
      return std::optional(request.headers.at("content-type") == kType2 ? second : first);
    };
  }

  static std::vector<std::string> Types(HttpServer& server) {
    std::vector<std::string> types;
    for (const SeenRequest& seen : server.seen()) types.push_back(seen.headers.at("content-type"));
    return types;
  }

  const std::string taken_ = HttpServer::Reply("204 No Content", "", Written(4, 1, 1));
  SampleRounds rounds_{{}, slabs_};
  ChunkPtr chunk_;
};

// Scenario: a 2.0 receiver that writes everything.
// Guarantees: the whole URL is used, with the headers of the specification and the user's; all of it is
// delivered.
TEST_F(RemoteWriteSinkTest, SendsVersion2) {
  HttpServer server(By(taken_, "HTTP/1.1 500 no\r\n\r\n"));
  SinkConfig config = Config(server);
  config.headers = {{"X-Scope-OrgID", "blue"}};
  config.bearer_token = "t";
  ASSERT_TRUE(Make(config).ok());
  const SendResult result = Send(chunk_);
  EXPECT_EQ(result.kind, Kind::kDelivered);
  EXPECT_EQ(result.rejected + result.shed_fields, 0u);
  EXPECT_EQ(result.message, "");
  ASSERT_EQ(server.seen().size(), 1u);
  const SeenRequest seen = server.seen()[0];
  EXPECT_EQ(seen.line, "POST /push HTTP/1.1");
  EXPECT_EQ(seen.headers.at("content-type"), kType2);
  EXPECT_EQ(seen.headers.at("content-encoding"), "snappy");
  EXPECT_EQ(seen.headers.at("x-prometheus-remote-write-version"), "2.0.0");
  EXPECT_EQ(seen.headers.at("user-agent"), "braid");
  EXPECT_EQ(seen.headers.at("x-scope-orgid"), "blue");
  EXPECT_EQ(seen.headers.at("authorization"), "Bearer t");
  EXPECT_TRUE(snappy::IsValidCompressedBuffer(seen.body.data(), seen.body.size()));
  EXPECT_EQ(shared_->protocol(), "2.0");
  EXPECT_TRUE(sink_->ordered());
}

// Scenario: receivers that do not know 2.0: one says so with 415, one answers 204 and says nothing of what it
// wrote, one refuses with 400. Guarantees: each gets the same samples as 1.0 at once, and 1.0 alone from then
// on.
TEST_F(RemoteWriteSinkTest, FallsBack) {
  for (const char* answer : {"415 Unsupported Media Type", "204 No Content", "200 OK", "400 Bad Request"}) {
    HttpServer server(By(HttpServer::Reply(answer), HttpServer::Reply("204 No Content")));
    ASSERT_TRUE(Make(Config(server)).ok());
    EXPECT_EQ(Send(chunk_).kind, Kind::kDelivered) << answer;
    EXPECT_EQ(Send(chunk_).kind, Kind::kDelivered) << answer;
    EXPECT_THAT(Types(server), testing::ElementsAre(kType2, kType1, kType1)) << answer;
    EXPECT_EQ(server.seen()[1].headers.at("x-prometheus-remote-write-version"), "0.1.0");
    EXPECT_EQ(shared_->protocol(), "1.0");
  }
}

// Scenario: 2.0 and 1.0 are refused with 400, first by a receiver that was never understood, then by one that
// has written 2.0 before. Guarantees: the first is asked in both versions each time, and keeps being asked
// for 2.0; the second in 2.0 only. Both refusals are for good.
TEST_F(RemoteWriteSinkTest, RefusalIsNoFallback) {
  HttpServer server(
      By(HttpServer::Reply("400 Bad Request", "out of order"), HttpServer::Reply("400 Bad Request", "bad")));
  ASSERT_TRUE(Make(Config(server)).ok());
  EXPECT_EQ(Send(chunk_).kind, Kind::kRejected);
  EXPECT_EQ(Send(chunk_).kind, Kind::kRejected);
  EXPECT_THAT(Types(server), testing::ElementsAre(kType2, kType1, kType2, kType1));
  EXPECT_EQ(shared_->protocol(), "2.0");

  std::string reply = taken_;
  HttpServer second([&](const SeenRequest&) { return std::optional(reply); });
  ASSERT_TRUE(Make(Config(second)).ok());
  EXPECT_EQ(Send(chunk_).kind, Kind::kDelivered);
  reply = HttpServer::Reply("400 Bad Request", "out of order");
  const SendResult refused = Send(chunk_);
  EXPECT_EQ(refused.kind, Kind::kRejected);
  EXPECT_THAT(refused.message, HasSubstr("out of order"));
  EXPECT_THAT(Types(second), testing::ElementsAre(kType2, kType2));
}

// Scenario: a version is demanded that the receiver does not know.
// Guarantees: no other is tried; nothing counts as delivered, and the message says why.
TEST_F(RemoteWriteSinkTest, DemandedVersionStays) {
  for (const char* answer : {"415 Unsupported Media Type", "204 No Content"}) {
    HttpServer server(By(HttpServer::Reply(answer), HttpServer::Reply("204 No Content")));
    ASSERT_TRUE(Make(Config(server, SinkConfig::RemoteWrite::kV2)).ok());
    const SendResult result = Send(chunk_);
    EXPECT_EQ(result.kind, Kind::kUnsupported) << answer;
    EXPECT_THAT(result.message,
                testing::AnyOf(HasSubstr("415"), HasSubstr("does not know remote write 2.0")));
    EXPECT_EQ(server.seen().size(), 1u);
  }
  HttpServer server(By(taken_, HttpServer::Reply("204 No Content")));
  ASSERT_TRUE(Make(Config(server, SinkConfig::RemoteWrite::kV1)).ok());
  EXPECT_EQ(Send(chunk_).kind, Kind::kDelivered);
  EXPECT_THAT(Types(server), testing::ElementsAre(kType1));
  EXPECT_EQ(shared_->protocol(), "1.0");
}

// Scenario: a 2.0 receiver says that it wrote less than it was sent, with 400 or 204, in samples, histograms
// or exemplars, with headers missing, too large, or no numbers. Guarantees: what is missing is rejected or
// shed, never more than was sent; the message has the figures.
TEST_F(RemoteWriteSinkTest, CountsPartialWrites) {
  struct Case {
    std::string status;
    std::string headers;
    uint64_t rejected;
    uint64_t shed;
  };
  const std::string samples_only = "X-Prometheus-Remote-Write-Samples-Written: 4\r\n";
  for (const Case& one :
       {Case{"400 Bad Request", Written(3, 1, 1), 1, 0}, Case{"204 No Content", Written(4, 0, 1), 1, 0},
        Case{"204 No Content", Written(4, 1, 0), 0, 1}, Case{"200 OK", samples_only, 1, 1},
        Case{"204 No Content", Written(0, 0, 0), 5, 1}, Case{"204 No Content", Written(400, 100, 100), 0, 0},
        Case{"200 OK", "X-Prometheus-Remote-Write-Samples-Written: many\r\n", 5, 1}}) {
    HttpServer server(
        By(HttpServer::Reply(one.status, one.status[0] == '4' ? "some are bad" : "", one.headers), ""));
    ASSERT_TRUE(Make(Config(server)).ok());
    const SendResult result = Send(chunk_);
    EXPECT_EQ(result.kind, Kind::kDelivered) << one.status << one.headers;
    EXPECT_EQ(result.rejected, one.rejected) << one.status << one.headers;
    EXPECT_EQ(result.shed_fields, one.shed) << one.status << one.headers;
    EXPECT_EQ(result.message.empty(), one.rejected + one.shed == 0);
    EXPECT_EQ(server.seen().size(), 1u);
    if (one.status[0] == '4') {
      EXPECT_EQ(
          result.message,
          "sink prom: HTTP 400: refused 1 of 4 samples, 0 of 1 histograms, 0 of 1 exemplars: some are bad");
    }
  }
}

// Scenario: a 400 that says that nothing was written; and each status that matters.
// Guarantees: the 400 is a refusal of all, to be bisected; 429, 5xx and missing credentials are retried, 500
// too, and with the pause that the receiver asks for, whatever it claims to have written.
TEST_F(RemoteWriteSinkTest, ReadsEveryStatus) {
  std::string reply = taken_;
  HttpServer server([&](const SeenRequest&) { return std::optional(reply); });
  ASSERT_TRUE(Make(Config(server)).ok());
  Send(chunk_);
  reply = HttpServer::Reply("400 Bad Request", "bad", Written(0, 0, 0));
  EXPECT_EQ(Send(chunk_).kind, Kind::kRejected);
  const std::map<std::string, Kind> kinds = {{"429 Too Many", Kind::kRetry},
                                             {"500 Oops", Kind::kRetry},
                                             {"502 Bad Gateway", Kind::kRetry},
                                             {"503 Down", Kind::kRetry},
                                             {"507 Full", Kind::kRetry},
                                             {"401 Unauthorized", Kind::kRetry},
                                             {"404 Not Found", Kind::kUnsupported},
                                             {"413 Too Large", Kind::kTooLarge},
                                             {"422 No", Kind::kRejected}};
  for (const auto& [status, kind] : kinds) {
    reply =
        HttpServer::Reply(status, "why", "Retry-After: 7\r\n" + (status[0] == '5' ? Written(4, 1, 1) : ""));
    const SendResult result = Send(chunk_);
    EXPECT_EQ(result.kind, kind) << status;
    EXPECT_EQ(result.retry_after, 7s) << status;
    EXPECT_THAT(result.message, HasSubstr("why"));
  }
}

// Scenario: configurations that cannot work.
// Guarantees: refused with the key's name.
TEST_F(RemoteWriteSinkTest, ChecksItsConfiguration) {
  HttpServer server(By(taken_, taken_));
  SinkConfig config = Config(server);
  config.headers = {{"x-prometheus-remote-WRITE-version", "3"}};
  EXPECT_THAT(Make(config).message(), HasSubstr("is set by Braid"));
  config = Config(server);
  config.endpoint = "ftp://x";
  EXPECT_THAT(Make(config).message(), HasSubstr("endpoint"));
}

}  // namespace
}  // namespace braid::exporters
