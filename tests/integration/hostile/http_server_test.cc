// HTTP/1.1, HTTP/2 and unary gRPC as ordinary clients use them, over real sockets.

#include "tests/integration/hostile/test_server.h"

namespace braid::hostile {
namespace {

using testing::HasSubstr;

class HttpServerTest : public testing::Test {
 protected:
  void Start(ingest::HttpServer::Options options = {}, size_t cores = 1, size_t pool_bytes = 256u << 20) {
    server_ = std::make_unique<TestServer>(&handler_, std::move(options), cores, pool_bytes);
    ASSERT_TRUE(server_->start.ok()) << server_->start.ToString();
  }
  void TearDown() override {
    for (std::thread& thread : handler_.threads) thread.join();
    handler_.Release();
    if (!server_) return;
    server_->server->Stop(steady_clock::now());
    EXPECT_EQ(server_->stats().connections_open, 0u);
    EXPECT_TRUE(Eventually([&] { return server_->pool.used_bytes() == 0; })) << "a body was not given back";
  }

  EchoHandler handler_;
  std::unique_ptr<TestServer> server_;
};

// Scenario: requests one after the other on one HTTP/1.1 connection, bodies of all sizes.
// Guarantees: each answered in full on the same connection.
TEST_F(HttpServerTest, Http1KeepAlive) {
  Start();
  Wire wire(server_->port());
  for (const size_t size : {0u, 1u, 4'096u, 65'536u, 250'000u, 3'000'000u}) {
    const std::string body(size, 'x');
    const Http1Reply reply = Exchange(wire, Post("/echo?a=1", body));
    EXPECT_EQ(reply.status, 200);
    EXPECT_EQ(reply.body, "POST /echo?a=1 " + body);
    EXPECT_TRUE(reply.headers.contains("date"));
  }
  EXPECT_EQ(server_->stats().connections_accepted, 1u);
  EXPECT_EQ(server_->stats().requests, 6u);
}

// Scenario: twenty requests written at once, some answered from another thread.
// Guarantees: answers in the order of the requests.
TEST_F(HttpServerTest, Http1PipeliningKeepsOrder) {
  Start();
  Wire wire(server_->port());
  std::string all;
  for (int i = 0; i < 20; ++i)
    all += Post(i % 3 == 0 ? "/thread" : "/echo", std::to_string(i) + std::string(5'000, '.'));
  ASSERT_TRUE(wire.Send(all));
  std::string text;
  for (int i = 0; i < 20; ++i) {
    std::optional<Http1Reply> reply;
    ASSERT_TRUE(Eventually([&] {
      if ((reply = TakeReply(&text))) return true;
      text += wire.Read(milliseconds(100));
      return false;
    }));
    EXPECT_THAT(reply->body, HasSubstr(" " + std::to_string(i) + ".")) << i;
  }
}

// Scenario: a chunked body, its chunks, sizes, extensions and trailers cut at every byte.
// Guarantees: the same body, however it was cut.
TEST_F(HttpServerTest, Http1ChunkedHoweverCut) {
  Start();
  const std::string request =
      "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n5;ext=1\r\ndefgh\r\n0\r\nx-trailer: 1\r\n\r\n";
  for (size_t cut = 1; cut < request.size(); ++cut) {
    Wire wire(server_->port());
    ASSERT_TRUE(wire.Send(request.substr(0, cut)));
    const Http1Reply reply = Exchange(wire, request.substr(cut));
    EXPECT_EQ(reply.status, 200) << cut;
    EXPECT_EQ(reply.body, "POST /echo abcdefgh") << cut;
  }
}

// Scenario: Expect: 100-continue, HTTP/1.0, HEAD, a half-closed sender, an absolute target.
// Guarantees: what RFC 9110 and 9112 ask for.
TEST_F(HttpServerTest, Http1Manners) {
  Start();
  {
    Wire wire(server_->port());
    ASSERT_TRUE(
        wire.Send("POST /echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"));
    EXPECT_THAT(wire.ReadUntil("\r\n\r\n"), HasSubstr("100 Continue"));
    EXPECT_EQ(Exchange(wire, "ok").body, "POST /echo ok");
  }
  {
    Wire wire(server_->port());
    ASSERT_TRUE(wire.Send("GET /echo HTTP/1.0\r\n\r\n"));
    const std::string all = wire.ReadToEnd();
    EXPECT_THAT(all, HasSubstr("connection: close"));
    EXPECT_TRUE(wire.closed());
  }
  {
    Wire wire(server_->port());
    ASSERT_TRUE(wire.Send("HEAD /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
    const std::string all = wire.ReadToEnd();
    EXPECT_THAT(all, HasSubstr("content-length: 11\r\n"));
    EXPECT_TRUE(all.ends_with("\r\n\r\n"));
  }
  {
    Wire wire(server_->port());
    ASSERT_TRUE(wire.Send(Post("/echo", "half")));
    wire.HalfClose();
    EXPECT_THAT(wire.ReadToEnd(), HasSubstr("POST /echo half"));
  }
  {
    Wire wire(server_->port());
    EXPECT_EQ(Exchange(wire, "GET http://other:1/echo?q HTTP/1.1\r\nhost: x\r\n\r\n").body, "GET /echo?q ");
  }
}

// Scenario: a refusal before the body, short and long.
// Guarantees: the answer arrives; after a short body the connection goes on, after a long one it closes.
TEST_F(HttpServerTest, Http1RefusalsKeepOrClose) {
  Start();
  Wire wire(server_->port());
  EXPECT_EQ(Exchange(wire, Post("/refused", std::string(100'000, 'x'))).status, 400);
  EXPECT_EQ(Exchange(wire, Post("/echo", "after")).body, "POST /echo after");

  const Http1Reply reply = Exchange(wire, Post("/refused", std::string(2'000'000, 'x')));
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.headers.at("connection"), "close");
  EXPECT_EQ(wire.ReadToEnd(), "");
  EXPECT_TRUE(wire.closed());
}

// Scenario: many requests at once on one HTTP/2 connection, on the port that also serves HTTP/1.1.
// Guarantees: each stream gets its own answer.
TEST_F(HttpServerTest, Http2Streams) {
  Start();
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  std::vector<std::pair<uint32_t, std::string>> calls;
  for (int i = 0; i < 50; ++i) {
    const std::string body = std::to_string(i) + std::string(static_cast<size_t>(i) * 3'000, 'z');
    calls.emplace_back(
        h2.Call("POST", i % 5 == 0 ? "/thread" : "/echo", {{"content-type", "text/plain"}}, body), body);
  }
  for (const auto& [stream, body] : calls) {
    const auto reply = h2.Await(stream);
    EXPECT_EQ(reply.Get(":status"), "200");
    EXPECT_TRUE(reply.body.ends_with(" " + body));
  }
  Wire h1(server_->port());
  EXPECT_EQ(Exchange(h1, Post("/echo", "same port")).status, 200);
}

// Scenario: a body and a reply larger than every window.
// Guarantees: windows are reopened as bytes are taken; the reply is whole.
TEST_F(HttpServerTest, Http2FlowControl) {
  Start();
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  const std::string body(9'000'000, 'w');
  const auto reply = h2.Await(h2.Call("POST", "/echo", {}, body));
  EXPECT_EQ(reply.body.size(), body.size() + 11);
}

// Scenario: a reply in pieces, small and large, on both protocols, for GET and HEAD.
// Guarantees: it is as if it were one, its length announced; the connection goes on.
TEST_F(HttpServerTest, RepliesInPieces) {
  Start();
  std::string whole;
  for (int i = 0; i < 5; ++i) whole.append(EchoHandler::kPieceSize[i], static_cast<char>('a' + i));
  Wire h1(server_->port());
  for (int i = 0; i < 2; ++i) {
    const Http1Reply reply = Exchange(h1, "GET /pieces HTTP/1.1\r\nhost: x\r\n\r\n");
    EXPECT_EQ(reply.headers.at("content-length"), std::to_string(whole.size()));
    EXPECT_TRUE(reply.body == whole);
  }
  Wire head(server_->port());
  ASSERT_TRUE(head.Send("HEAD /pieces HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
  const std::string all = head.ReadToEnd();
  EXPECT_THAT(all, HasSubstr("content-length: " + std::to_string(whole.size()) + "\r\n"));
  EXPECT_TRUE(all.ends_with("\r\n\r\n"));

  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  for (int i = 0; i < 2; ++i) {
    const auto reply = h2.Await(h2.Call("GET", "/pieces", {}, ""));
    EXPECT_EQ(reply.Get("content-length"), std::to_string(whole.size()));
    EXPECT_TRUE(reply.ended);
    EXPECT_TRUE(reply.body == whole);
  }
}

// Scenario: a gRPC call and its message in several DATA frames.
// Guarantees: headers, message, trailers; two header blocks; the prefix restored.
TEST_F(HttpServerTest, GrpcUnary) {
  Start();
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  const std::string message(100'000, 'm');
  const std::string wire = GrpcMessage(message);
  const uint32_t stream = h2.Headers({{":method", "POST"},
                                      {":scheme", "http"},
                                      {":path", "/a.B/C"},
                                      {":authority", "x"},
                                      {"content-type", "application/grpc+proto"}},
                                     false);
  ASSERT_TRUE(h2.Data(stream, wire.substr(0, 3), false));
  ASSERT_TRUE(h2.Data(stream, wire.substr(3, 20'000), false));
  ASSERT_TRUE(h2.Data(stream, wire.substr(20'003), false));
  ASSERT_TRUE(h2.Send(frames::Make(frames::kData, frames::kEndStream, stream)));
  const auto reply = h2.Await(stream);
  EXPECT_EQ(reply.Get(":status"), "200");
  EXPECT_EQ(reply.Get("content-type"), "application/grpc");
  EXPECT_EQ(reply.Get("grpc-status"), "0");
  EXPECT_EQ(reply.Get("grpc-accept-encoding"), "identity, gzip, zstd");
  EXPECT_EQ(reply.header_blocks, 2);
  EXPECT_EQ(reply.body, wire);
}

// Scenario: gRPC framing faults.
// Guarantees: the documented code in a trailers-only reply, with HTTP status 200.
TEST_F(HttpServerTest, GrpcFramingFaults) {
  Start({.max_body_bytes = 1u << 20});
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  const std::vector<std::pair<std::string, std::string>> faults = {
      {"", "12"},                                         // no message
      {std::string("\0\0\0", 3), "3"},                    // cut prefix
      {GrpcMessage("hello").substr(0, 7), "3"},           // cut message
      {std::string("\0\0\0\0\x09", 5) + "short", "3"},    // lying prefix: longer
      {GrpcMessage("hello") + "x", "12"},                 // lying prefix: shorter
      {GrpcMessage("one") + GrpcMessage("two"), "12"},    // two messages
      {std::string("\x05\0\0\0\x01x", 6), "3"},           // flag
      {std::string("\0\xff\xff\xff\xff", 5) + "x", "8"},  // 4 GiB
      {std::string("\0\0\x10\0\x01", 5) + "x", "8"},      // one over the limit
  };
  for (const auto& [bytes, status] : faults) {
    const auto reply = h2.Await(h2.GrpcCall("/a.B/C", bytes));
    EXPECT_EQ(reply.Get("grpc-status"), status) << testing::PrintToString(bytes);
    EXPECT_EQ(reply.Get(":status"), "200");
    EXPECT_FALSE(reply.Get("grpc-message").empty());
    EXPECT_EQ(reply.header_blocks, 1);
    EXPECT_EQ(reply.body, "");
  }
  EXPECT_EQ(handler_.handled, 0);
  EXPECT_EQ(h2.Await(h2.GrpcCall("/a.B/C", GrpcMessage(""))).Get("grpc-status"), "0")
      << "the connection goes on";
}

// Scenario: calls with a grpc-timeout that passes, that suffices, and that is malformed.
// Guarantees: DEADLINE_EXCEEDED from the server; a late answer is dropped.
TEST_F(HttpServerTest, GrpcTimeout) {
  Start();
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  EXPECT_EQ(h2.Await(h2.GrpcCall("/hold", GrpcMessage("x"), {{"grpc-timeout", "50m"}})).Get("grpc-status"),
            "4");
  handler_.Release();
  EXPECT_EQ(h2.Await(h2.GrpcCall("/echo", GrpcMessage("x"), {{"grpc-timeout", "10S"}})).Get("grpc-status"),
            "0");
  EXPECT_EQ(h2.Await(h2.GrpcCall("/echo", GrpcMessage("x"), {{"grpc-timeout", "1d"}})).Get("grpc-status"),
            "3");
  EXPECT_EQ(server_->stats().deadlines_passed, 1u);
}

// Scenario: a handler that forgets its Responder.
// Guarantees: 500 or INTERNAL, not silence.
TEST_F(HttpServerTest, ForgottenRequestsAreAnswered) {
  Start();
  Wire h1(server_->port());
  EXPECT_EQ(Exchange(h1, Post("/drop", "x")).status, 500);
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  EXPECT_EQ(h2.Await(h2.Call("POST", "/drop", {}, "x")).Get(":status"), "500");
  EXPECT_EQ(h2.Await(h2.GrpcCall("/drop", GrpcMessage("x"))).Get("grpc-status"), "13");
}

// Scenario: a client goes away while its requests are being answered.
// Guarantees: late answers are dropped, nothing leaks.
TEST_F(HttpServerTest, AnswersToTheGone) {
  Start();
  {
    Http2Wire h2(server_->port());
    ASSERT_TRUE(h2.Open());
    for (int i = 0; i < 10; ++i) h2.Call("POST", "/hold", {}, std::string(100'000, 'x'));
    Wire h1(server_->port());
    ASSERT_TRUE(h1.Send(Post("/hold", std::string(100'000, 'x'))));
    ASSERT_TRUE(Eventually([&] { return handler_.held_count() == 11; }));
  }
  ASSERT_TRUE(Eventually([&] { return server_->stats().connections_open <= 1; }));
  handler_.Release();
  Wire next(server_->port());
  EXPECT_EQ(Exchange(next, Post("/echo", "x")).status, 200);
}

// Scenario: Stop() while requests are under way on both protocols.
// Guarantees: GOAWAY twice (2^31-1, then the last stream), Connection: close, the requests are finished, Stop
// returns.
TEST_F(HttpServerTest, GracefulStop) {
  Start({}, 2);
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  Wire idle(server_->port());
  ASSERT_EQ(Exchange(idle, Post("/echo", "x")).status, 200);
  Wire h1(server_->port());
  const uint32_t stream = h2.GrpcCall("/hold", GrpcMessage("in flight"));
  ASSERT_TRUE(h1.Send(Post("/hold", "in flight")));
  ASSERT_TRUE(Eventually([&] { return handler_.held_count() == 2; }));

  std::thread stopper([&] { server_->server->Stop(steady_clock::now() + seconds(30)); });
  ASSERT_TRUE(Eventually([&] {
    h2.Pump(milliseconds(20));
    return h2.goaways().size() == 2;
  }));
  EXPECT_EQ(h2.goaways()[0], std::pair(0x7fffffffu, 0u));
  EXPECT_EQ(h2.goaways()[1], std::pair(stream, 0u));
  EXPECT_EQ(idle.ReadToEnd(), "") << "an idle connection is closed";
  handler_.Release();
  EXPECT_EQ(h2.Await(stream).Get("grpc-status"), "0");
  const std::string answer = h1.ReadUntil("in flight");
  EXPECT_THAT(answer, HasSubstr("200 OK"));
  EXPECT_THAT(answer, HasSubstr("connection: close"));
  h1.HalfClose();
  EXPECT_EQ(h1.ReadToEnd(), "");
  while (h2.Pump(milliseconds(50))) {
  }
  stopper.join();
  EXPECT_EQ(server_->stats().connections_open, 0u);
  server_->server->Stop(steady_clock::now());  // idempotent
  Wire late(server_->port());
  late.Send("x");
  EXPECT_EQ(late.Read(milliseconds(500)), "");
}

// Scenario: Stop() with a request that is never answered.
// Guarantees: cut at the deadline.
TEST_F(HttpServerTest, StopKeepsItsDeadline) {
  Start();
  Wire h1(server_->port());
  ASSERT_TRUE(h1.Send(Post("/hold", "x")));
  ASSERT_TRUE(Eventually([&] { return handler_.held_count() == 1; }));
  const auto begun = steady_clock::now();
  server_->server->Stop(begun + milliseconds(200));
  EXPECT_LT(steady_clock::now() - begun, seconds(5));
  EXPECT_EQ(h1.ReadToEnd(), "");
}

// Scenario: Stop() without Start(), and Start() where it cannot be.
// Guarantees: harmless; a located error.
TEST_F(HttpServerTest, StartAndStopEdges) {
  Start();
  ingest::HttpServer::Options taken;
  taken.port = server_->port();
  TestServer second(&handler_, taken);
  EXPECT_EQ(second.start.code(), Code::kUnavailable);
  EXPECT_THAT(second.start.message(), HasSubstr("listen 127.0.0.1:" + std::to_string(taken.port)));
  TestServer wrong(&handler_, {.address = "localhost"});
  EXPECT_EQ(wrong.start.code(), Code::kInvalidArgument);
  TestServer no_key(&handler_, {.tls = ingest::HttpServer::Tls{"/nonexistent.pem", "/nonexistent.key", ""}});
  EXPECT_THAT(no_key.start.message(), HasSubstr("/nonexistent.pem"));
}

// Scenario: connections without traffic, then one that carries much.
// Guarantees: equal spread first; afterwards newcomers go to the other core.
TEST_F(HttpServerTest, ConnectionsGoToTheQuietCore) {
  Start({}, 2);
  std::vector<std::unique_ptr<Wire>> wires;
  std::map<std::string, int> spread;
  for (int i = 0; i < 10; ++i) {
    wires.push_back(std::make_unique<Wire>(server_->port()));
    ++spread[Exchange(*wires.back(), "GET /core HTTP/1.1\r\nhost: x\r\n\r\n").body];
  }
  EXPECT_EQ(spread["0"], 5);
  EXPECT_EQ(spread["1"], 5);

  Wire busy(server_->port());
  const std::string busy_core = Exchange(busy, "GET /core HTTP/1.1\r\nhost: x\r\n\r\n").body;
  std::atomic<bool> stop{false};
  std::thread load([&] {
    while (!stop) Exchange(busy, Post("/drop", std::string(200'000, 'x')));
  });
  // The averages need two looks at the traffic.
  std::map<std::string, int> late;
  ASSERT_TRUE(Eventually([&] {
    Wire wire(server_->port());
    ++late[Exchange(wire, "GET /core HTTP/1.1\r\nhost: x\r\n\r\n").body];
    return late[busy_core == "0" ? "1" : "0"] >= late[busy_core] + 5;
  }));
  stop = true;
  load.join();
}

// Scenario: more connections than allowed.
// Guarantees: the excess is refused and counted; the others live.
TEST_F(HttpServerTest, ConnectionLimit) {
  Start({.max_connections = 5});
  std::vector<std::unique_ptr<Wire>> wires;
  for (int i = 0; i < 5; ++i) {
    wires.push_back(std::make_unique<Wire>(server_->port()));
    ASSERT_EQ(Exchange(*wires.back(), Post("/echo", "x")).status, 200);
  }
  Wire excess(server_->port());
  EXPECT_EQ(excess.ReadToEnd(), "");
  EXPECT_EQ(server_->stats().connections_refused, 1u);
  EXPECT_EQ(Exchange(*wires[0], Post("/echo", "x")).status, 200);
  wires.pop_back();
  ASSERT_TRUE(Eventually([&] { return server_->stats().connections_open == 4; }));
  Wire again(server_->port());
  EXPECT_EQ(Exchange(again, Post("/echo", "x")).status, 200);
}

// Scenario: browsers, with CORS off and on.
// Guarantees: off by default; preflight and replies name only allowed origins.
TEST_F(HttpServerTest, Cors) {
  Start();
  const std::string preflight =
      "OPTIONS /echo HTTP/1.1\r\nhost: x\r\norigin: "
      "https://app.example.com\r\naccess-control-request-method: "
      "POST\r\n\r\n";
  {
    Wire wire(server_->port());
    EXPECT_FALSE(Exchange(wire, preflight).headers.contains("access-control-allow-origin"));
  }
  ingest::HttpServer::Options options;
  options.cors_allowed_origins = {"https://*.example.com"};
  options.cors_allowed_headers = {"x-token"};
  TestServer open(&handler_, options);
  Wire wire(open.port());
  const Http1Reply allowed = Exchange(wire, preflight);
  EXPECT_EQ(allowed.status, 204);
  EXPECT_EQ(allowed.headers.at("access-control-allow-origin"), "https://app.example.com");
  EXPECT_THAT(allowed.headers.at("access-control-allow-headers"), HasSubstr("x-token"));
  const Http1Reply other = Exchange(wire, Post("/echo", "x", {{"origin", "https://evil.example"}}));
  EXPECT_EQ(other.status, 200);
  EXPECT_FALSE(other.headers.contains("access-control-allow-origin"));
}

// Scenario: an HTTP/2 client resets streams now and then, pings, and updates its settings: ordinary life.
// Guarantees: PINGs are answered, nobody is called a flood.
TEST_F(HttpServerTest, OrdinaryHttp2LifeIsNoFlood) {
  Start();
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  for (int i = 0; i < 3'000; ++i) {
    // As grpc-go does while it estimates bandwidth: a PING and WINDOW_UPDATEs with each request.
    ASSERT_TRUE(h2.Send(frames::Make(frames::kPing, 0, 0, "pingpong")));
    const auto reply = h2.Await(h2.GrpcCall("/echo", GrpcMessage("small")));
    ASSERT_EQ(reply.Get("grpc-status"), "0") << i;
    if (i % 10 == 0) {
      const uint32_t cancelled = h2.GrpcCall("/hold", GrpcMessage("x"));
      h2.Send(frames::Make(frames::kReset, 0, cancelled, frames::Word(8)));
    }
  }
  EXPECT_TRUE(h2.goaways().empty());
  EXPECT_EQ(server_->stats().floods, 0u);
}

}  // namespace
}  // namespace braid::hostile
