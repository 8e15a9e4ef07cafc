#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <condition_variable>
#include <future>
#include <thread>

#include "base/net/codec.h"
#include "base/net/http_client.h"
#include "base/wire.h"
#include "tests/unit/exporters/sinks/http_server.h"
#include "tests/unit/exporters/sinks/sink_test_base.h"
#include "tests/unit/exporters/sinks/test_certificate.h"

namespace braid::exporters {
namespace {

using namespace std::chrono_literals;
using test::HttpServer;
using test::SeenRequest;
using Kind = SendResult::Kind;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class HttpSinkTest : public test::SinkTestBase {
 protected:
  static SinkConfig Config(const std::string& endpoint) {
    SinkConfig config;
    config.name = "backend";
    config.type = SinkConfig::Type::kOtlpHttp;
    config.endpoint = endpoint;
    config.timeout = 10s;
    return config;
  }
  static std::optional<std::string> Ok(const SeenRequest&) {
    return HttpServer::Reply("200 OK", "", "Content-Type: application/x-protobuf\r\n");
  }
  static HttpServer::Answer Always(std::string reply) {
    return [reply = std::move(reply)](const SeenRequest&) { return std::optional(reply); };
  }
};

// Scenario: one chunk of each signal, one of them to an endpoint of its own, with headers and basic
// credentials. Guarantees: the right paths, types and bytes; one connection is used again and again.
TEST_F(HttpSinkTest, SendsAllSignals) {
  HttpServer server(Ok);
  HttpServer logs_server(Ok);
  SinkConfig config = Config(server.url() + "/otlp/");
  config.signal_endpoints[1] = logs_server.url() + "/my/logs?x=1";
  config.headers = {{"X-Tenant", "blue"}};
  config.basic_user = "me";
  config.basic_password = "s3cret";
  ASSERT_TRUE(Make(config).ok());
  const auto spans = test::SpanChunk(100, slabs_);
  const auto logs = test::LogChunk(10, slabs_);
  const auto metrics = test::MakeChunk(Signal::kMetrics, test::Request("shop", {"\x0a\x01m"}), slabs_);
  for (const auto& chunk : {spans, logs, metrics, spans}) {
    const SendResult result = Send(chunk);
    EXPECT_EQ(result.kind, Kind::kDelivered) << result.message;
  }
  const auto seen = server.seen();
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0].line, "POST /otlp/v1/traces HTTP/1.1");
  EXPECT_EQ(seen[1].line, "POST /otlp/v1/metrics HTTP/1.1");
  EXPECT_EQ(seen[0].body, spans->view());
  EXPECT_EQ(seen[0].headers.at("content-type"), "application/x-protobuf");
  EXPECT_EQ(seen[0].headers.at("x-tenant"), "blue");
  EXPECT_EQ(seen[0].headers.at("authorization"), "Basic bWU6czNjcmV0");
  EXPECT_EQ(seen[0].headers.at("host"), "127.0.0.1:" + std::to_string(server.port()));
  EXPECT_FALSE(seen[0].headers.contains("content-encoding"));
  EXPECT_EQ(seen[2].connection, 1);
  ASSERT_EQ(logs_server.seen().size(), 1u);
  EXPECT_EQ(logs_server.seen()[0].line, "POST /my/logs?x=1 HTTP/1.1");
  EXPECT_EQ(logs_server.seen()[0].body, logs->view());
}

// Scenario: gzip and zstd.
// Guarantees: the body inflates to the chunk, and says how.
TEST_F(HttpSinkTest, Compresses) {
  for (const auto& [compression, encoding] :
       {std::pair{SinkConfig::Compression::kGzip, net::Encoding::kGzip},
        std::pair{SinkConfig::Compression::kZstd, net::Encoding::kZstd}}) {
    HttpServer server(Ok);
    SinkConfig config = Config(server.url());
    config.compression = compression;
    ASSERT_TRUE(Make(config).ok());
    const auto chunk = test::SpanChunk(1'000, slabs_);
    EXPECT_EQ(Send(chunk).kind, Kind::kDelivered);
    const SeenRequest seen = server.seen()[0];
    EXPECT_EQ(seen.headers.at("content-encoding"), net::EncodingName(encoding));
    EXPECT_LT(seen.body.size(), chunk->bytes.size() / 2);
    auto inflated = net::Decompress(encoding, seen.body, 64 << 20, slabs_);
    ASSERT_TRUE(inflated.ok());
    EXPECT_EQ(inflated->view(), chunk->view());
  }
}

// Scenario: the server answers each status that matters, with and without bodies.
// Guarantees: only 429, 502, 503, 504 and the like, and missing credentials, are retried; messages quote the
// server.
TEST_F(HttpSinkTest, ReadsEveryStatus) {
  std::string reply;
  HttpServer server([&](const SeenRequest&) { return reply; });
  ASSERT_TRUE(Make(Config(server.url())).ok());
  const auto chunk = test::SpanChunk(3, slabs_);
  const std::map<std::string, Kind> kinds = {{"200 OK", Kind::kDelivered},
                                             {"202 Accepted", Kind::kDelivered},
                                             {"204 No Content", Kind::kDelivered},
                                             {"301 Moved", Kind::kUnsupported},
                                             {"400 Bad Request", Kind::kRejected},
                                             {"401 Unauthorized", Kind::kRetry},
                                             {"403 Forbidden", Kind::kRetry},
                                             {"404 Not Found", Kind::kUnsupported},
                                             {"408 Timeout", Kind::kRetry},
                                             {"413 Too Large", Kind::kTooLarge},
                                             {"415 Type", Kind::kUnsupported},
                                             {"422 Unprocessable", Kind::kRejected},
                                             {"429 Too Many", Kind::kRetry},
                                             {"500 Internal", Kind::kFailed},
                                             {"501 Not Implemented", Kind::kUnsupported},
                                             {"502 Bad Gateway", Kind::kRetry},
                                             {"503 Unavailable", Kind::kRetry},
                                             {"504 Timeout", Kind::kRetry},
                                             {"505 Version", Kind::kFailed}};
  for (const auto& [status, kind] : kinds) {
    reply = status.starts_with("204") ? "HTTP/1.1 204 No Content\r\n\r\n"
                                      : HttpServer::Reply(status, "it says so");
    const SendResult result = Send(chunk);
    EXPECT_EQ(result.kind, kind) << status;
    if (kind != Kind::kDelivered) {
      EXPECT_THAT(result.message,
                  AllOf(HasSubstr("sink backend: HTTP " + status.substr(0, 3)), HasSubstr("it says so")));
    }
  }
}

// Scenario: Retry-After in seconds, as a date, as nonsense; RetryInfo in a google.rpc.Status body.
// Guarantees: the pause is passed on; nonsense is none.
TEST_F(HttpSinkTest, ReadsRetryAfter) {
  std::string reply;
  HttpServer server([&](const SeenRequest&) { return reply; });
  ASSERT_TRUE(Make(Config(server.url())).ok());
  const auto chunk = test::SpanChunk(1, slabs_);
  reply = HttpServer::Reply("429 Too Many", "", "Retry-After: 17\r\n");
  EXPECT_EQ(Send(chunk).retry_after, 17s);
  reply = HttpServer::Reply("503 Busy", "", "Retry-After: Fri, 31 Dec 2100 23:59:59 GMT\r\n");
  EXPECT_GT(Send(chunk).retry_after.value_or(0s), 24h);
  reply = HttpServer::Reply("503 Busy", "", "Retry-After: soon\r\n");
  EXPECT_FALSE(Send(chunk).retry_after.has_value());
  std::string status;
  wire::Writer w(&status);
  w.Bytes(2, "busy here");
  const size_t any = w.Begin(3);
  w.Bytes(1, "type.googleapis.com/google.rpc.RetryInfo");
  const size_t info = w.Begin(2);
  const size_t duration = w.Begin(1);
  w.Varint(1, 3);
  w.End(duration);
  w.End(info);
  w.End(any);
  reply = HttpServer::Reply("503 Busy", status, "Content-Type: application/x-protobuf\r\n");
  const SendResult result = Send(chunk);
  EXPECT_EQ(result.retry_after, 3s);
  EXPECT_EQ(result.message, "sink backend: HTTP 503: busy here");
}

// Scenario: 200 with partial_success; 200 with HTML.
// Guarantees: refused items are counted; anything else is a plain success.
TEST_F(HttpSinkTest, ReadsPartialSuccess) {
  std::string body;
  wire::Writer w(&body);
  const size_t at = w.Begin(1);
  w.Varint(1, 2);
  w.Bytes(2, "too old");
  w.End(at);
  std::string reply = HttpServer::Reply("200 OK", body, "Content-Type: application/x-protobuf\r\n");
  HttpServer server([&](const SeenRequest&) { return reply; });
  ASSERT_TRUE(Make(Config(server.url())).ok());
  const SendResult partial = Send(test::SpanChunk(3, slabs_));
  EXPECT_EQ(partial.kind, Kind::kDelivered);
  EXPECT_EQ(partial.rejected, 2u);
  EXPECT_THAT(partial.message, HasSubstr("too old"));
  reply = HttpServer::Reply("200 OK", "<html>welcome</html>", "Content-Type: text/html\r\n");
  EXPECT_EQ(Send(test::SpanChunk(3, slabs_)).rejected, 0u);
}

// Scenario: nobody listens; a host that does not exist; an address that does not answer within the connect
// timeout. Guarantees: to be retried, and the message locates: sink, what was tried, where, why.
TEST_F(HttpSinkTest, LocatesConnectionErrors) {
  std::string port;
  {
    HttpServer gone(Ok);
    port = std::to_string(gone.port());
  }
  ASSERT_TRUE(Make(Config("http://127.0.0.1:" + port)).ok());
  const SendResult refused = Send(test::SpanChunk(1, slabs_));
  EXPECT_EQ(refused.kind, Kind::kRetry);
  EXPECT_EQ(refused.message, "sink backend: connect 127.0.0.1:" + port + ": Connection refused");
  ASSERT_TRUE(Make(Config("http://no-such-host.invalid:4318")).ok());
  const SendResult unknown = Send(test::SpanChunk(1, slabs_));
  EXPECT_EQ(unknown.kind, Kind::kRetry);
  EXPECT_THAT(unknown.message, HasSubstr("no-such-host.invalid:4318"));
}

// Scenario: the server reads the request and hangs; cancels; the sink is destroyed meanwhile.
// Guarantees: the timeout and CancelAll() end requests, destruction calls nobody.
TEST_F(HttpSinkTest, EndsWhatHangs) {
  std::mutex mutex;
  std::condition_variable condition;
  bool over = false;
  HttpServer server([&](const SeenRequest&) -> std::optional<std::string> {
    std::unique_lock lock(mutex);
    condition.wait(lock, [&] { return over; });
    return std::nullopt;
  });
  SinkConfig config = Config(server.url());
  config.timeout = 100ms;
  ASSERT_TRUE(Make(config).ok());
  const auto chunk = test::SpanChunk(1, slabs_);
  const SendResult late = Send(chunk);
  EXPECT_EQ(late.kind, Kind::kRetry);
  EXPECT_THAT(late.message, HasSubstr("no answer from 127.0.0.1"));

  config.timeout = 1h;
  ASSERT_TRUE(Make(config).ok());
  std::optional<SendResult> cancelled;
  sink_->Send({chunk, 0, 1}, [&](SendResult result) { cancelled = std::move(result); });
  RunUntil([&] { return server.seen().size() == 2; });
  sink_->CancelAll();
  RunUntil([&] { return cancelled.has_value(); });
  EXPECT_EQ(cancelled->kind, Kind::kRetry);

  bool called = false;
  sink_->Send({chunk, 0, 1}, [&](const SendResult&) { called = true; });
  RunUntil([&] { return server.seen().size() == 3; });
  sink_.reset();
  io_.restart();
  io_.poll();
  EXPECT_FALSE(called);
  const std::lock_guard lock(mutex);
  over = true;
  condition.notify_all();
}

// Scenario: the server closes after reading the request, in the middle of the answer's header, in the middle
// of its body, or answers something that is not HTTP. Guarantees: each is to be retried, with a message; the
// next request works on a fresh connection.
TEST_F(HttpSinkTest, SurvivesBadAnswers) {
  std::optional<std::string> reply;
  HttpServer server([&](const SeenRequest&) { return reply; });
  ASSERT_TRUE(Make(Config(server.url())).ok());
  const auto chunk = test::SpanChunk(1, slabs_);
  for (const std::optional<std::string>& bad :
       {std::optional<std::string>(),
        std::optional<std::string>("HTTP/1.1 200 OK\r\nContent-Le Connection: close"),
        std::optional<std::string>("HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nhalf"),
        std::optional<std::string>("\x16\x03\x01 garbage \xff\xff\r\n\r\nConnection: close"),
        std::optional<std::string>("HTTP/1.1 101 Switching\r\nConnection: close\r\n\r\n"),
        std::optional<std::string>("HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x') +
                                   "\r\nConnection: close\r\n\r\n")}) {
    reply = bad;
    const SendResult result = Send(chunk);
    EXPECT_EQ(result.kind, Kind::kRetry);
    EXPECT_THAT(result.message, HasSubstr("sink backend: "));
    EXPECT_THAT(result.message, HasSubstr("127.0.0.1"));
    reply = HttpServer::Reply("200 OK");
    EXPECT_EQ(Send(chunk).kind, Kind::kDelivered);
  }
  reply = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + HttpServer::Reply("200 OK");
  EXPECT_EQ(Send(chunk).kind, Kind::kDelivered);
}

// Scenario: an answer of 1 GiB, with its length and without.
// Guarantees: what is read stays within the cap, the connection is given up, the status still counts.
TEST_F(HttpSinkTest, CapsTheAnswer) {
  for (const std::string header : {"Content-Length: 1073741824\r\n", "Connection: close\r\n"}) {
    HttpServer server([&](const SeenRequest&) {
      // 64 MiB of it is more than the sockets' buffers hold.
      return std::optional("HTTP/1.1 400 Bad\r\n" + header + "\r\n" + std::string(64 << 20, 'x'));
    });
    ASSERT_TRUE(Make(Config(server.url())).ok());
    const SendResult result = Send(test::SpanChunk(1, slabs_));
    EXPECT_EQ(result.kind, Kind::kRejected);
    EXPECT_LT(result.message.size(), 400u);
    sink_.reset();
  }
}

// Scenario: the server refuses by the header alone: it answers 413 and closes before it has read the body.
// Guarantees: the refusal is seen, not mistaken for a broken connection.
TEST_F(HttpSinkTest, SeesARefusalBeforeTheBodyIsWritten) {
  boost::asio::io_context io;
  boost::asio::ip::tcp::acceptor acceptor(io, {boost::asio::ip::address_v4::loopback(), 0});
  std::promise<void> over;
  std::thread server([&] {
    auto socket = acceptor.accept();
    std::array<char, 100> head;
    boost::asio::read(socket, boost::asio::buffer(head));
    boost::asio::write(socket, boost::asio::buffer(HttpServer::Reply("413 Too Large", "no")));
    // Reads no further, and does not close before the client is through: the body never fits the sockets'
    // buffers.
    over.get_future().wait();
  });
  SinkConfig config = Config("http://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()));
  ASSERT_TRUE(Make(config).ok());
  const auto chunk = test::MakeChunk(
      Signal::kTraces,
      test::Traces("shop", {{.trace = {1, 1}, .span = 1, .name = std::string(64 << 20, 'x')}}), slabs_);
  EXPECT_EQ(Send(chunk).kind, Kind::kTooLarge);
  over.set_value();
  server.join();
}

// Scenario: the server closes the connection between two requests, as keep-alive timeouts do.
// Guarantees: the next request goes out on a new connection without an error in between.
TEST_F(HttpSinkTest, ReplacesIdleConnections) {
  HttpServer server([&](const SeenRequest&) {
    // Announces keep-alive and closes all the same.
    return std::optional<std::string>(HttpServer::Reply("200 OK", "", "X-Note: Connection: close\r\n"));
  });
  ASSERT_TRUE(Make(Config(server.url())).ok());
  const auto chunk = test::SpanChunk(1, slabs_);
  for (int i = 0; i < 20; ++i) {
    const SendResult result = Send(chunk);
    EXPECT_EQ(result.kind, Kind::kDelivered) << result.message;
  }
  EXPECT_EQ(server.seen().size(), 20u);
}

// Scenario: https with the right CA, by address and by name; the wrong CA; a wrong name; no verification; a
// server that speaks no TLS. Guarantees: only trusted servers get data, unless verification is turned off;
// errors say what failed.
TEST_F(HttpSinkTest, VerifiesTls) {
  const test::TestCertificate certificate("DNS:collector.test,IP:127.0.0.1");
  const test::TestCertificate other("DNS:collector.test,IP:127.0.0.1");
  boost::asio::ssl::context tls(boost::asio::ssl::context::tls_server);
  tls.use_certificate_chain(boost::asio::buffer(certificate.certificate));
  tls.use_private_key(boost::asio::buffer(certificate.key), boost::asio::ssl::context::pem);
  HttpServer server(Ok, &tls);
  const auto chunk = test::SpanChunk(2'000, slabs_);

  SinkConfig config = Config(server.url("https"));
  config.tls.ca_file = Write("ca.pem", certificate.certificate);
  ASSERT_TRUE(Make(config).ok());
  EXPECT_EQ(Send(chunk).kind, Kind::kDelivered);
  EXPECT_EQ(Send(chunk).kind, Kind::kDelivered);
  EXPECT_EQ(server.seen()[1].connection, 1);
  EXPECT_EQ(server.seen()[1].body, chunk->view());

  SinkConfig by_name = config;
  by_name.tls.server_name = "collector.test";
  ASSERT_TRUE(Make(by_name).ok());
  EXPECT_EQ(Send(chunk).kind, Kind::kDelivered);
  const size_t good = server.seen().size();

  SinkConfig wrong_name = config;
  wrong_name.tls.server_name = "elsewhere.test";
  ASSERT_TRUE(Make(wrong_name).ok());
  EXPECT_THAT(Send(chunk).message, HasSubstr("TLS handshake with 127.0.0.1"));

  SinkConfig wrong_ca = config;
  wrong_ca.tls.ca_file = Write("other.pem", other.certificate);
  ASSERT_TRUE(Make(wrong_ca).ok());
  const SendResult distrusted = Send(chunk);
  EXPECT_EQ(distrusted.kind, Kind::kRetry);
  EXPECT_THAT(distrusted.message, HasSubstr("certificate"));
  EXPECT_EQ(server.seen().size(), good);

  SinkConfig unverified = wrong_ca;
  unverified.tls.insecure_skip_verify = true;
  ASSERT_TRUE(Make(unverified).ok());
  EXPECT_EQ(Send(chunk).kind, Kind::kDelivered);

  HttpServer plain(Ok);
  SinkConfig no_tls = config;
  no_tls.endpoint = plain.url("https");
  no_tls.timeout = 500ms;
  ASSERT_TRUE(Make(no_tls).ok());
  EXPECT_EQ(Send(chunk).kind, Kind::kRetry);
}

// Scenario: logs go to a Loki sink with a tenant; Loki takes them, refuses them, blocks the tenant; one line
// is too long, another chunk holds nothing else. Guarantees: path, tenant and type as Loki wants them; 204 is
// success, 260 is not; what cannot be sent is counted without a request.
TEST_F(HttpSinkTest, PushesToLoki) {
  std::string reply = "HTTP/1.1 204 No Content\r\n\r\n";
  HttpServer server([&](const SeenRequest&) { return reply; });
  SinkConfig config = Config(server.url());
  config.type = SinkConfig::Type::kLoki;
  config.loki_tenant = "team-a";
  config.loki_max_line_bytes = 100;
  ASSERT_TRUE(Make(config).ok());
  EXPECT_TRUE(sink_->ordered());
  EXPECT_TRUE(shared_->takes(Signal::kLogs));
  EXPECT_FALSE(shared_->takes(Signal::kTraces));
  const auto chunk = test::LogChunk(5, slabs_);
  EXPECT_EQ(Send(chunk).kind, Kind::kDelivered);
  const SeenRequest seen = server.seen()[0];
  EXPECT_EQ(seen.line, "POST /loki/api/v1/push HTTP/1.1");
  EXPECT_EQ(seen.headers.at("x-scope-orgid"), "team-a");
  EXPECT_EQ(seen.headers.at("content-type"), "application/x-protobuf");

  reply = HttpServer::Reply("400 Bad Request", "entry too far behind");
  EXPECT_EQ(Send(chunk).kind, Kind::kRejected);
  reply = HttpServer::Reply("260 Blocked", "blocked by policy");
  EXPECT_EQ(Send(chunk).kind, Kind::kRetry);
  reply = HttpServer::Reply("429 Too Many Requests", "", "Retry-After: 5\r\n");
  EXPECT_EQ(Send(chunk).retry_after, 5s);

  const size_t requests = server.seen().size();
  const auto long_line =
      test::MakeChunk(Signal::kLogs, test::Logs("shop", {{.body = std::string(101, 'x')}}), slabs_);
  const SendResult none = Send(long_line);
  EXPECT_EQ(none.kind, Kind::kDelivered);
  EXPECT_EQ(none.too_large, 1u);
  EXPECT_EQ(server.seen().size(), requests);
}

// Scenario: configurations that cannot work.
// Guarantees: each is refused at the start, naming sink and key, without repeating a secret.
TEST_F(HttpSinkTest, RefusesBadConfigurations) {
  const auto error = [&](const std::function<void(SinkConfig&)>& change) {
    SinkConfig config = Config("http://127.0.0.1:4318");
    change(config);
    const Status status = Make(config);
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(status.message(), HasSubstr("sink backend: "));
    EXPECT_THAT(status.message(), Not(HasSubstr("s3cret")));
    return status.message();
  };
  EXPECT_THAT(error([](SinkConfig& c) { c.endpoint = "127.0.0.1:4318"; }), HasSubstr("endpoint"));
  EXPECT_THAT(error([](SinkConfig& c) { c.endpoint = "ftp://host"; }), HasSubstr("http"));
  EXPECT_THAT(error([](SinkConfig& c) { c.endpoint = "http://me:s3cret@host"; }), HasSubstr("user name"));
  EXPECT_THAT(error([](SinkConfig& c) { c.endpoint = "http://host:99999"; }), HasSubstr("endpoint"));
  EXPECT_THAT(error([](SinkConfig& c) { c.headers = {{"X-A", "s3cret\r\nX-B: 1"}}; }), HasSubstr("X-A"));
  EXPECT_THAT(error([](SinkConfig& c) { c.headers = {{"Content-Length", "5"}}; }), HasSubstr("set by Braid"));
  EXPECT_THAT(error([](SinkConfig& c) { c.bearer_token = "s3cret\n"; }), HasSubstr("credentials"));
  EXPECT_THAT(error([](SinkConfig& c) { c.signals = {false, false, false}; }), HasSubstr("signals"));
  EXPECT_THAT(error([&](SinkConfig& c) {
                c.endpoint = "https://127.0.0.1:4318";
                c.tls.ca_file = Write("bad.pem", "s3cret");
              }),
              HasSubstr("CA certificates"));
  EXPECT_THAT(error([](SinkConfig& c) {
                c.type = SinkConfig::Type::kLoki;
                c.loki_labels = {{"a", "not-a-label"}};
              }),
              HasSubstr("not-a-label"));
}

// Scenario: URLs of many shapes.
// Guarantees: host, port, target and authority come apart right.
TEST(HttpUrlTest, Parses) {
  const auto url = net::ParseHttpUrl("https://[::1]:8443/a/b?c=d");
  ASSERT_TRUE(url.ok());
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->host, "::1");
  EXPECT_EQ(url->port, "8443");
  EXPECT_EQ(url->authority, "[::1]:8443");
  EXPECT_EQ(url->target, "/a/b?c=d");
  EXPECT_EQ(net::ParseHttpUrl("http://host")->port, "80");
  EXPECT_EQ(net::ParseHttpUrl("https://host")->port, "443");
  EXPECT_EQ(net::ParseHttpUrl("http://host?x")->target, "/?x");
  for (const char* bad :
       {"", "host", "http://", "http:///path", "http://host:0/", "http://ho st/", "http://host/#f"}) {
    EXPECT_FALSE(net::ParseHttpUrl(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace braid::exporters
