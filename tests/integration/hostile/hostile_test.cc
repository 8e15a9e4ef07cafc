// Senders that lie, stall, flood and never listen. Each test asserts what the sender is told, that memory
// stays bounded, and that another client beside it is served all the while.

#include "tests/integration/hostile/test_server.h"

namespace braid::hostile {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

constexpr uint32_t kEnhanceYourCalm = 11;

// Growth that any attack here may cause, with slack for the test's own buffers and the allocator's.
// Most attacks here would take gigabytes if they were let.
[[maybe_unused]] constexpr size_t kAllowedGrowth = 64u << 20;

class HostileTest : public testing::Test {
 protected:
  void Start(ingest::HttpServer::Options options = {}, size_t pool_bytes = 64u << 20) {
    server_ = std::make_unique<TestServer>(&handler_, std::move(options), 1, pool_bytes);
    ASSERT_TRUE(server_->start.ok()) << server_->start.ToString();
    bystander_ = std::make_unique<Bystander>(server_->port());
    ASSERT_TRUE(Eventually([&] { return handler_.handled >= 4; }));
    WatchMemory();
  }

  // Every few milliseconds from now on: an attack must not even pass through a peak.
  void WatchMemory() {
    rss_before_ = Rss();
    watch_ = true;
    watcher_ = std::thread([this] {
      while (watch_) {
        rss_peak_ = std::max(rss_peak_.load(), Rss());
        pool_peak_ = std::max(pool_peak_.load(), server_->pool.used_bytes());
        std::this_thread::sleep_for(milliseconds(3));
      }
    });
  }

  void StopWatching() {
    watch_ = false;
    if (watcher_.joinable()) watcher_.join();
    EXPECT_LE(pool_peak_, server_->pool.max_bytes());
#if !defined(BRAID_SANITIZED)
    EXPECT_LT(rss_peak_, rss_before_ + kAllowedGrowth);
#endif
  }

  void TearDown() override {
    if (!server_) return;
    if (bystander_) bystander_->Finish();
    StopWatching();
    handler_.Release();
    server_->server->Stop(steady_clock::now());
    EXPECT_TRUE(Eventually([&] { return server_->pool.used_bytes() == 0; }))
        << "an attack's memory was not given back";
  }

  // Sends `piece` again and again, reading nothing or everything, until the server ends the connection.
  // Returns the GOAWAY's error if one arrived.
  std::optional<uint32_t> Flood(Http2Wire& h2, const std::function<std::string(int)>& piece,
                                bool listen = true) {
    for (int i = 0; i < 1'000'000; ++i) {
      if (!h2.Send(piece(i), milliseconds(2'000))) break;
      if (listen && i % 16 == 0) h2.Pump(milliseconds(0));
      if (!h2.goaways().empty()) break;
    }
    return h2.AwaitGoaway();
  }

  void ExpectCalm(const std::optional<uint32_t>& goaway) {
    // The GOAWAY may be lost to a reset if the attacker goes on sending; the count is not.
    if (goaway) {
      EXPECT_EQ(*goaway, kEnhanceYourCalm);
    }
    EXPECT_TRUE(Eventually([&] { return server_->stats().floods == 1; }));
  }

  static std::string RequestBlock() {
    return frames::Block({{":method", "POST"},
                          {":scheme", "http"},
                          {":path", "/hold"},
                          {":authority", "x"},
                          {"content-type", "application/grpc"}});
  }

  EchoHandler handler_;
  std::unique_ptr<TestServer> server_;
  std::unique_ptr<Bystander> bystander_;
  size_t rss_before_ = 0;
  std::atomic<size_t> rss_peak_{0};
  std::atomic<size_t> pool_peak_{0};
  std::atomic<bool> watch_{false};
  std::thread watcher_;
};

// Scenario: HEADERS and RST_STREAM over and over (CVE-2023-44487).
// Guarantees: GOAWAY(ENHANCE_YOUR_CALM) within some thousand streams.
TEST_F(HostileTest, RapidReset) {
  Start();
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  const std::string block = RequestBlock();
  ExpectCalm(Flood(h2, [&](int i) {
    const auto stream = static_cast<uint32_t>(i) * 2 + 1;
    return frames::Make(frames::kHeaders, frames::kEndHeaders, stream, block) +
           frames::Make(frames::kReset, 0, stream, frames::Word(8));
  }));
  EXPECT_LT(server_->stats().requests, 20'000u);
}

// Scenario: resets provoked from the server, by HEADERS with an illegal field each (MadeYouReset).
// Guarantees: the end, either as a flood or for having more streams open than allowed, whichever comes first.
TEST_F(HostileTest, ProvokedResets) {
  Start();
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  const std::string block = RequestBlock() + frames::Literal("Upper-Case", "x");
  Flood(h2, [&](int i) {
    return frames::Make(frames::kHeaders, frames::kEndHeaders, static_cast<uint32_t>(i) * 2 + 1, block);
  });
  EXPECT_TRUE(Eventually([&] { return server_->stats().floods + server_->stats().protocol_errors == 1; }));
  EXPECT_LT(server_->stats().requests, 20'000u);
}

// Scenario: a header block that never ends, in CONTINUATION frames (CVE-2024-28182).
// Guarantees: closed after a handful of frames.
TEST_F(HostileTest, ContinuationFlood) {
  Start();
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  ASSERT_TRUE(h2.Send(frames::Make(frames::kHeaders, 0, 1, RequestBlock())));
  const std::string field = frames::Literal("x-filler", std::string(1'000, 'f'));
  ExpectCalm(Flood(h2, [&](int) { return frames::Make(frames::kContinuation, 0, 1, field); }));
}

// Scenario: SETTINGS, PING, empty DATA, PRIORITY, WINDOW_UPDATE and unknown frames, without pause, answers
// read. Guarantees: each ends in ENHANCE_YOUR_CALM.
TEST_F(HostileTest, ControlFrameFloods) {
  const std::vector<std::pair<std::string, std::string>> floods = {
      {"SETTINGS", frames::Make(frames::kSettings, 0, 0, std::string("\0\x03\0\0\0\x64", 6))},
      {"empty SETTINGS", frames::Make(frames::kSettings, 0, 0)},
      {"PING", frames::Make(frames::kPing, 0, 0, "pingpong")},
      {"empty DATA", frames::Make(frames::kData, 0, 1)},
      {"PRIORITY", frames::Make(frames::kPriority, 0, 5, std::string("\0\0\0\0\x01", 5))},
      {"unknown", frames::Make(0xbe, 0, 0, "??")},
      {"one-byte DATA", frames::Make(frames::kData, 0, 1, "x")},
  };
  for (const auto& [name, frame] : floods) {
    SCOPED_TRACE(name);
    if (server_) StopWatching();
    bystander_.reset();
    server_.reset();
    Start();
    Http2Wire h2(server_->port());
    ASSERT_TRUE(h2.Open());
    ASSERT_TRUE(h2.Send(frames::Make(
        frames::kHeaders, frames::kEndHeaders, 1,
        frames::Block({{":method", "POST"}, {":scheme", "http"}, {":path", "/hold"}, {":authority", "x"}}))));
    ExpectCalm(Flood(h2, [&](int) { return frame; }));
    bystander_->Finish();
  }
}

// Scenario: PINGs from a peer that never reads the answers.
// Guarantees: what is queued for it is bounded, and it is sent away.
TEST_F(HostileTest, PingsWithoutReading) {
  Start();
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  const std::string pings = [] {
    std::string all;
    for (int i = 0; i < 100; ++i) all += frames::Make(frames::kPing, 0, 0, "pingpong");
    return all;
  }();
  ExpectCalm(Flood(h2, [&](int) { return pings; }, false));
}

// Scenario: a small header block that refers to one large table entry thousands of times (HPACK bomb).
// Guarantees: closed while it inflates; nothing of it is kept.
TEST_F(HostileTest, HpackBomb) {
  Start();
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  // Literal with incremental indexing: enters the dynamic table as index 62.
  std::string entry = frames::Literal("x-bomb", std::string(3'000, 'b'));
  entry[0] = 0x40;
  const std::string block = RequestBlock() + entry + std::string(12'000, '\xbe');
  ASSERT_TRUE(h2.Send(frames::Make(frames::kHeaders, frames::kEndHeaders, 1, block)));
  EXPECT_EQ(h2.AwaitGoaway(), kEnhanceYourCalm);
  EXPECT_EQ(server_->stats().floods, 1u);
}

// Scenario: request heads over the limits, on both protocols.
// Guarantees: 431, or RESOURCE_EXHAUSTED for gRPC; on HTTP/2 the connection goes on.
TEST_F(HostileTest, OversizeHeaders) {
  Start();
  const std::string big(20'000, 'h');
  {
    Wire wire(server_->port());
    EXPECT_EQ(Exchange(wire, Post("/echo", "x", {{"x-big", big}})).status, 431);
    Wire endless(server_->port());
    ASSERT_TRUE(endless.Send("GET /echo HTTP/1.1\r\nx-endless: " + big));
    EXPECT_THAT(endless.ReadToEnd(), HasSubstr("431"));
    Wire target(server_->port());
    EXPECT_EQ(Exchange(target, "GET /" + big + " HTTP/1.1\r\nhost: x\r\n\r\n").status, 431);
    Fields many;
    for (int i = 0; i < 200; ++i) many.emplace_back("x" + std::to_string(i), "1");
    Wire fields(server_->port());
    EXPECT_EQ(Exchange(fields, Post("/echo", "x", many)).status, 431);
  }
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  // Frames of up to 16 KiB need no CONTINUATION.
  Fields large = {{"x-a", std::string(8'000, 'a')}, {"x-b", std::string(8'300, 'b')}};
  EXPECT_EQ(h2.Await(h2.Call("POST", "/echo", large, "x")).Get(":status"), "431");
  EXPECT_EQ(h2.Await(h2.GrpcCall("/echo", GrpcMessage("x"), large)).Get("grpc-status"), "8");
  EXPECT_EQ(h2.Await(h2.GrpcCall("/echo", GrpcMessage("x"))).Get("grpc-status"), "0");
}

// Scenario: heads that arrive a byte at a time, and never to the end, on both protocols and before the
// protocol is known. Guarantees: 408 or the end at the header time-out; counted.
TEST_F(HostileTest, SlowHeaders) {
  Start({.header_timeout = milliseconds(400)});
  Wire h1(server_->port());
  Wire undecided(server_->port());
  Wire silent(server_->port());
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  ASSERT_TRUE(undecided.Send("PRI * HT"));
  ASSERT_TRUE(h2.Send(frames::Make(frames::kHeaders, 0, 1, RequestBlock())));
  const std::string head = "GET /echo HTTP/1.1\r\nx-slow: ";
  const auto begun = steady_clock::now();
  std::string answer;
  size_t at = 0;
  ASSERT_TRUE(Eventually([&] {
    h1.Send(at < head.size() ? std::string_view(head).substr(at++, 1) : "a");
    answer += h1.Read(milliseconds(20));
    return h1.closed() || answer.find("\r\n\r\n") != std::string::npos;
  }));
  EXPECT_THAT(answer, HasSubstr("408"));
  EXPECT_LT(steady_clock::now() - begun, seconds(5));
  undecided.ReadToEnd();
  EXPECT_TRUE(undecided.closed());
  EXPECT_NE(h2.AwaitGoaway(), std::nullopt);
  EXPECT_GE(server_->stats().header_timeouts, 3u);
}

// Scenario: bodies that trickle, on both protocols; one that is slow but steady.
// Guarantees: 408 or DEADLINE_EXCEEDED below the minimum rate; above it, patience.
TEST_F(HostileTest, SlowBodies) {
  Start({.body_interval = milliseconds(300), .min_body_rate = 1'000});
  Wire h1(server_->port());
  ASSERT_TRUE(h1.Send("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n"));
  Wire chunked(server_->port());
  ASSERT_TRUE(chunked.Send("POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"));
  Wire steady(server_->port());
  ASSERT_TRUE(steady.Send("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 30000\r\n\r\n"));
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  const Fields head = {{":method", "POST"}, {":scheme", "http"}, {":path", "/echo"}, {":authority", "x"}};
  Fields grpc_head = head;
  grpc_head.emplace_back("content-type", "application/grpc");
  const uint32_t plain = h2.Headers(head, false);
  const uint32_t grpc = h2.Headers(grpc_head, false);

  std::string first;
  std::string second;
  for (int i = 0; i < 30; ++i) {
    h1.Send("x");
    chunked.Send("1\r\nx\r\n");
    steady.Send(std::string(1'000, 's'));
    first += h1.Read(milliseconds(10));
    second += chunked.Read(milliseconds(10));
    h2.Pump(milliseconds(10));
  }
  EXPECT_THAT(first, HasSubstr("408"));
  EXPECT_THAT(second, HasSubstr("408"));
  EXPECT_EQ(h2.Await(plain).Get(":status"), "408");
  EXPECT_EQ(h2.Await(grpc).Get("grpc-status"), "4");
  EXPECT_THAT(steady.ReadUntil("sss"), HasSubstr("200 OK"));
  EXPECT_EQ(server_->stats().body_timeouts, 4u);
}

// Scenario: Content-Length that is not true, doubled, negative, huge or paired with chunked; requests cut
// short. Guarantees: 400 or 413, or nothing is handed on; never a wait for bytes that were not leased for.
TEST_F(HostileTest, LyingContentLength) {
  Start();
  bystander_->Finish();
  const int handled = handler_.handled;
  const std::vector<std::pair<std::string, std::string>> heads = {
      {"content-length: 5\r\ncontent-length: 6\r\n", "400"},
      {"content-length: -1\r\n", "400"},
      {"content-length: 5x\r\n", "400"},
      {"content-length: 18446744073709551616\r\n", "400"},
      {"content-length: 18446744073709551615\r\n", "413"},
      {"content-length: 67108865\r\n", "413"},
      {"content-length: 5\r\ntransfer-encoding: chunked\r\n", "400"},
      {"transfer-encoding: chunked\r\ncontent-length: 5\r\n", "400"},
      {"transfer-encoding: gzip, chunked\r\n", "400"},
      {"transfer-encoding: xchunked\r\n", "400"},
      {"transfer-encoding: chunked\r\n", "400"},  // and then "hello" as a chunk size
      {"x-bad header: 1\r\n", "400"},
  };
  for (const auto& [fields, status] : heads) {
    Wire wire(server_->port());
    ASSERT_TRUE(wire.Send("POST /echo HTTP/1.1\r\nhost: x\r\n" + fields + "\r\nhello\r\n"));
    EXPECT_THAT(wire.ReadUntil("\r\n\r\n"), HasSubstr("HTTP/1.1 " + status)) << fields;
  }
  {
    Wire wire(server_->port());
    ASSERT_TRUE(wire.Send("POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nshort"));
    wire.HalfClose();
    EXPECT_EQ(wire.ReadToEnd(), "");
  }
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  EXPECT_EQ(h2.Await(h2.Call("POST", "/echo", {{"content-length", "9"}}, "four")).reset, 1u)
      << "PROTOCOL_ERROR";
  EXPECT_EQ(h2.Await(h2.Call("POST", "/echo", {{"content-length", "2"}}, "four")).reset, 1u);
  EXPECT_EQ(h2.Await(h2.Headers({{":method", "POST"},
                                 {":scheme", "http"},
                                 {":path", "/echo"},
                                 {":authority", "x"},
                                 {"content-length", "67108865"}},
                                false))
                .Get(":status"),
            "413");
  EXPECT_EQ(handler_.handled, handled) << "an incomplete request was handed on";
  EXPECT_EQ(h2.Await(h2.Call("POST", "/echo", {{"content-length", "4"}}, "four")).Get(":status"), "200");
}

// Scenario: bodies over the limit, announced or not.
// Guarantees: 413 / RESOURCE_EXHAUSTED, on HTTP/2 without harm to other streams.
TEST_F(HostileTest, BodiesOverTheLimit) {
  Start({.max_body_bytes = 1u << 20});
  const std::string big((1u << 20) + 1, 'x');
  Wire h1(server_->port());
  EXPECT_EQ(Exchange(h1, Post("/echo", big)).status, 413);
  Wire chunked(server_->port());
  EXPECT_EQ(
      Exchange(chunked, "POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n100001\r\n" +
                            big + "\r\n0\r\n\r\n")
          .status,
      413);
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  const uint32_t held = h2.Call("POST", "/hold", {}, "x");
  EXPECT_EQ(h2.Await(h2.Call("POST", "/echo", {}, big)).Get(":status"), "413");
  const auto grpc = h2.Await(h2.GrpcCall("/echo", GrpcMessage(big)));
  EXPECT_EQ(grpc.Get("grpc-status"), "8");
  EXPECT_EQ(grpc.Get("grpc-status-details-bin"), "") << "RetryInfo would make the sender try again";
  ASSERT_TRUE(Eventually([&] { return handler_.held_count() == 1; }));
  handler_.Release();
  EXPECT_EQ(h2.Await(held).Get(":status"), "200");
  EXPECT_EQ(server_->stats().refused_too_large, 4u);
}

// Scenario: a hundred streams each announce 60 MiB and send some of it, into a budget of 4 MiB.
// Guarantees: announcements lease next to nothing; when the pool is full, UNAVAILABLE with RetryInfo or 503
// with Retry-After; all of it is free again afterwards.
TEST_F(HostileTest, StreamsCannotReserveWhatTheBudgetLacks) {
  server_ = std::make_unique<TestServer>(&handler_, ingest::HttpServer::Options(), 1, 4u << 20);
  ASSERT_TRUE(server_->start.ok());
  WatchMemory();
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  std::vector<uint32_t> streams;
  for (int i = 0; i < 100; ++i) {
    const uint32_t stream = h2.Headers({{":method", "POST"},
                                        {":scheme", "http"},
                                        {":path", "/echo"},
                                        {":authority", "x"},
                                        {"content-type", "application/grpc"}},
                                       false);
    streams.push_back(stream);
    h2.Data(stream, std::string("\0\x03\xc0\0\0", 5) + std::string(30'000, 'x'), false);
  }
  int refused = 0;
  ASSERT_TRUE(Eventually([&] {
    h2.Pump(milliseconds(20));
    refused = 0;
    for (const uint32_t stream : streams) {
      const auto& reply = h2.replies()[stream];
      if (!reply.ended) continue;
      EXPECT_EQ(reply.headers.at("grpc-status"), "14");
      EXPECT_FALSE(reply.headers.at("grpc-status-details-bin").empty());
      ++refused;
    }
    return refused >= 80;
  }));
  EXPECT_LE(server_->pool.used_bytes(), 4u << 20);
  EXPECT_LT(refused, 100);

  Wire h1(server_->port());
  const Http1Reply reply = Exchange(h1, Post("/echo", std::string(2'000'000, 'x')));
  EXPECT_EQ(reply.status, 503);
  EXPECT_THAT(std::stoi(reply.headers.at("retry-after")), AnyOf(1, 2));

  for (const uint32_t stream : streams) h2.Send(frames::Make(frames::kReset, 0, stream, frames::Word(8)));
  ASSERT_TRUE(Eventually([&] { return server_->pool.used_bytes() == 0; }));
  Wire after(server_->port());
  EXPECT_EQ(Exchange(after, Post("/echo", std::string(1'000'000, 'x'))).status, 200);
  EXPECT_GE(server_->stats().refused_no_memory, 81u);
}

// Scenario: requests for large replies that are never read: by HTTP/1 pipelining, by HTTP/2 with and without
// window. Guarantees: output is bounded, the connection or stream is cut at the write time-out, counted.
TEST_F(HostileTest, RepliesThatAreNeverRead) {
  Start({.max_output_bytes = 16u << 20, .write_timeout = milliseconds(500)});
  Wire h1(server_->port());
  std::string pipeline;
  for (int i = 0; i < 1'000; ++i) pipeline += "GET /big HTTP/1.1\r\nhost: x\r\n\r\n";
  ASSERT_TRUE(h1.Send(pipeline));

  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  for (int i = 0; i < 50; ++i) h2.Call("GET", "/big", {}, "");
  ASSERT_TRUE(Eventually([&] { return server_->stats().write_timeouts >= 40; }));
  ASSERT_TRUE(Eventually([&] { return server_->stats().connections_open <= 3; }))
      << "the silent reader is cut";
}

// Scenario: five hundred idle connections, and some that were used once.
// Guarantees: little memory each; closed at the idle time-out.
TEST_F(HostileTest, IdleConnections) {
  Start({.header_timeout = milliseconds(1'500), .idle_timeout = milliseconds(1'500)});
  std::vector<std::unique_ptr<Wire>> idle;
  for (int i = 0; i < 500; ++i) {
    idle.push_back(std::make_unique<Wire>(server_->port()));
    if (i % 2 == 0) {
      ASSERT_EQ(Exchange(*idle.back(), Post("/echo", "x")).status, 200);
    }
  }
  EXPECT_GE(server_->stats().connections_open, 400u);
  EXPECT_TRUE(Eventually([&] { return server_->stats().connections_open <= 2; }));
  EXPECT_GE(server_->stats().idle_timeouts, 250u);
}

// Scenario: bytes that are no HTTP at all, a broken preface, frames larger than allowed, frames on stream 0.
// Guarantees: refused and counted; the server stands.
TEST_F(HostileTest, Garbage) {
  Start();
  const std::vector<std::string> openings = {
      std::string(1'000, '\0'),
      "\x16\x03\x01\x02\x00",
      "GET\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
      "GET / HTTP/9.9\r\n\r\n",
      std::string(kPreface) + "garbage garbage garbage",
      std::string(kPreface) + frames::Make(frames::kSettings, 0, 0) + frames::Make(frames::kData, 0, 0, "x"),
      std::string(kPreface) + frames::Make(frames::kSettings, 0, 0, "12345"),
      std::string(kPreface) + frames::Make(frames::kSettings, 0, 0) +
          std::string("\xff\xff\xff\0\0\0\0\0\x01", 9),
      std::string(kPreface) + frames::Make(frames::kSettings, 0, 0) +
          frames::Make(frames::kHeaders, frames::kEndHeaders, 1, "\xff\xff\xff\xff\xff\xff\xff\xff"),
      std::string(kPreface) + frames::Make(frames::kSettings, 0, 0) +
          frames::Make(frames::kWindow, 0, 0, frames::Word(0)),
  };
  for (const std::string& opening : openings) {
    Wire wire(server_->port());
    wire.Send(opening);
    wire.HalfClose();
    wire.ReadToEnd();
    EXPECT_TRUE(wire.closed()) << testing::PrintToString(opening.substr(0, 60));
  }
  EXPECT_EQ(server_->stats().floods, 0u);
}

// Scenario: every prefix of a good HTTP/2 conversation, then the connection is cut.
// Guarantees: nothing is left behind.
TEST_F(HostileTest, CutAnywhere) {
  Start();
  const std::string talk = std::string(kPreface) + frames::Make(frames::kSettings, 0, 0) +
                           frames::Make(frames::kHeaders, frames::kEndHeaders, 1,
                                        frames::Block({{":method", "POST"},
                                                       {":scheme", "http"},
                                                       {":path", "/echo"},
                                                       {":authority", "x"},
                                                       {"content-type", "application/grpc"}})) +
                           frames::Make(frames::kData, frames::kEndStream, 1, GrpcMessage("hello"));
  for (size_t size = 1; size <= talk.size(); ++size) {
    Wire wire(server_->port());
    ASSERT_TRUE(wire.Send(std::string_view(talk).substr(0, size)));
  }
  EXPECT_TRUE(Eventually([&] { return server_->stats().connections_open <= 2; }));
}

// Scenario: a peer that shrinks its window to nothing and asks for large replies.
// Guarantees: streams are reset at the write time-out; held output is bounded.
TEST_F(HostileTest, ZeroWindow) {
  Start({.max_output_bytes = 16u << 20, .write_timeout = milliseconds(500)});
  Http2Wire h2(server_->port());
  ASSERT_TRUE(h2.Open());
  // SETTINGS_INITIAL_WINDOW_SIZE 0
  ASSERT_TRUE(h2.Send(frames::Make(frames::kSettings, 0, 0, std::string("\0\x04\0\0\0\0", 6))));
  std::vector<uint32_t> streams;
  for (int i = 0; i < 20; ++i) streams.push_back(h2.Call("GET", "/big", {}, ""));
  for (const uint32_t stream : streams) EXPECT_EQ(h2.Await(stream).reset, 8u);
  EXPECT_EQ(server_->stats().write_timeouts, 20u);
}

}  // namespace
}  // namespace braid::hostile
