#include "gateway/otlp_client/otlp_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "tests/unit/gateway/otlp_client/scripted_otlp_server.h"

namespace braid::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::ElementsAre;
using ::testing::Gt;
using ::testing::HasSubstr;
using testing::PartialSuccess;
using testing::RetryInfo;
using testing::ScriptedOtlpServer;

using Answer = ScriptedOtlpServer::Answer;

constexpr int kInvalid = 3;
constexpr int kResourceExhausted = 8;
constexpr int kUnavailable = 14;
constexpr milliseconds kPatience{20'000};

// A port of the loopback on which nobody listens while it lives: bound, but not listening.
class DeadPort {
 public:
  DeadPort() : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    socklen_t size = sizeof address;
    getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    endpoint_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  }
  ~DeadPort() { close(socket_); }
  const std::string& endpoint() const { return endpoint_; }

 private:
  int socket_;
  std::string endpoint_;
};

OtlpClient::Options To(const std::string& endpoint, int in_flight = 4) {
  OtlpClient::Options options;
  options.endpoint = endpoint;
  options.in_flight = in_flight;
  options.initial_backoff = milliseconds(1);
  options.max_backoff = milliseconds(5);
  return options;
}

std::vector<std::string> BytesOf(const ScriptedOtlpServer& server) {
  std::vector<std::string> bytes;
  for (const auto& request : server.requests()) bytes.push_back(request.bytes);
  return bytes;
}

// Scenario: one request of each signal to a server that accepts everything.
// Guarantees: each arrives at its own service with its bytes untouched, and its items count as accepted.
TEST(OtlpClientTest, DeliversEachSignal) {
  ScriptedOtlpServer server;
  OtlpClient client(To("http://" + server.endpoint(), 1));
  ASSERT_TRUE(client.Connect(kPatience).ok());
  client.Send(Signal::kTraces, "spans", 3);
  client.Send(Signal::kLogs, std::string("lo\0gs", 5), 2);
  client.Send(Signal::kMetrics, "", 0);
  ASSERT_TRUE(client.Flush(kPatience));

  const auto requests = server.requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[0].signal, Signal::kTraces);
  EXPECT_EQ(requests[0].bytes, "spans");
  EXPECT_EQ(requests[1].signal, Signal::kLogs);
  EXPECT_EQ(requests[1].bytes, std::string("lo\0gs", 5));
  EXPECT_EQ(requests[2].signal, Signal::kMetrics);
  EXPECT_EQ(client.counts().accepted, 5u);
  EXPECT_EQ(client.counts().accepted_requests, 3u);
  EXPECT_TRUE(client.first_failure().ok());
}

// Scenario: the second of five requests is refused twice with UNAVAILABLE, one request at a time.
// Guarantees: it is sent again until accepted, and none overtakes it.
TEST(OtlpClientTest, RetriesWithoutChangingTheOrder) {
  int refusals = 0;
  ScriptedOtlpServer server([&](const auto& request) {
    return request.bytes == "1" && ++refusals <= 2 ? Answer{kUnavailable, "busy", "", ""} : Answer{};
  });
  OtlpClient client(To(server.endpoint(), 1));
  for (int i = 0; i < 5; ++i) client.Send(Signal::kTraces, std::to_string(i), 1);
  ASSERT_TRUE(client.Flush(kPatience));
  EXPECT_THAT(BytesOf(server), ElementsAre("0", "1", "1", "1", "2", "3", "4"));
  EXPECT_EQ(client.counts().accepted, 5u);
  EXPECT_EQ(client.counts().retries, 2u);
  EXPECT_EQ(client.counts().failed_requests, 0u);
}

// Scenario: refusals that say when to come back: UNAVAILABLE, and RESOURCE_EXHAUSTED which is only then
// retryable. Guarantees: the client waits at least that long, and then succeeds.
TEST(OtlpClientTest, HonoursRetryInfo) {
  for (const int code : {kUnavailable, kResourceExhausted}) {
    int calls = 0;
    ScriptedOtlpServer server([&](const auto&) {
      return ++calls == 1 ? Answer{code, "later", RetryInfo(0, 150'000'000), ""} : Answer{};
    });
    OtlpClient client(To(server.endpoint()));
    ASSERT_TRUE(client.Connect(kPatience).ok());
    const auto start = steady_clock::now();
    client.Send(Signal::kLogs, "x", 1);
    ASSERT_TRUE(client.Flush(kPatience));
    EXPECT_GE(steady_clock::now() - start, milliseconds(150)) << code;
    EXPECT_EQ(client.counts().accepted, 1u) << code;
  }
}

// Scenario: RESOURCE_EXHAUSTED without RetryInfo, and INVALID_ARGUMENT.
// Guarantees: neither is sent again; the items count as failed and the first message is kept.
TEST(OtlpClientTest, GivesUpOnPermanentErrors) {
  ScriptedOtlpServer server([&](const auto& request) {
    return request.bytes == "a" ? Answer{kResourceExhausted, "too large", "", ""}
                                : Answer{kInvalid, "nonsense", "", ""};
  });
  OtlpClient client(To(server.endpoint(), 1));
  client.Send(Signal::kTraces, "a", 7);
  client.Send(Signal::kTraces, "b", 5);
  ASSERT_TRUE(client.Flush(kPatience));
  EXPECT_THAT(BytesOf(server), ElementsAre("a", "b"));
  EXPECT_EQ(client.counts().failed, 12u);
  EXPECT_EQ(client.counts().given_up_requests, 0u);
  EXPECT_EQ(client.first_failure().code(), Code::kResourceExhausted);
  EXPECT_THAT(client.first_failure().message(), HasSubstr("too large"));
}

// Scenario: the server accepts a request but for three of its ten items.
// Guarantees: seven count as accepted, three as rejected, and the reason is kept.
TEST(OtlpClientTest, CountsPartialSuccess) {
  ScriptedOtlpServer server(
      [](const auto&) { return Answer{0, "", "", PartialSuccess(3, "span 4: no name")}; });
  OtlpClient client(To(server.endpoint()));
  client.Send(Signal::kTraces, "x", 10);
  ASSERT_TRUE(client.Flush(kPatience));
  EXPECT_EQ(client.counts().accepted, 7u);
  EXPECT_EQ(client.counts().rejected, 3u);
  EXPECT_EQ(client.first_rejection(), "span 4: no name");
}

// Scenario: nobody listens.
// Guarantees: Connect() names the endpoint, the cause and the remedy.
TEST(OtlpClientTest, SaysThatNobodyListens) {
  const DeadPort nobody;
  OtlpClient client(To(nobody.endpoint()));
  const Status status = client.Connect(milliseconds(200));
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_EQ(status.message(),
            "cannot reach " + nobody.endpoint() + ": connection refused; is `braid run` running?");
}

// Scenario: nobody listens, and a request was sent all the same.
// Guarantees: it is tried until `retry_for` is over, then counts as given up.
TEST(OtlpClientTest, GivesUpInTheEnd) {
  const DeadPort nobody;
  OtlpClient::Options options = To(nobody.endpoint());
  options.retry_for = milliseconds(200);
  OtlpClient client(options);
  client.Send(Signal::kTraces, "x", 4);
  ASSERT_TRUE(client.Flush(kPatience));
  EXPECT_EQ(client.counts().given_up_requests, 1u);
  EXPECT_EQ(client.counts().failed, 4u);
  EXPECT_THAT(client.counts().retries, Gt(0u));
}

// Scenario: more requests than may be under way, the bytes of two together over the bound.
// Guarantees: HasRoom() says so, and Send() waits instead of exceeding it; all arrive.
TEST(OtlpClientTest, BoundsWhatIsUnderWay) {
  ScriptedOtlpServer server;
  OtlpClient::Options options = To(server.endpoint(), 8);
  options.max_bytes = 1'000;
  OtlpClient client(options);
  ASSERT_TRUE(client.HasRoom(5'000));  // alone, anything goes
  client.Send(Signal::kTraces, std::string(600, 'a'), 1);
  EXPECT_FALSE(client.HasRoom(600));
  EXPECT_TRUE(client.HasRoom(400));
  for (int i = 0; i < 20; ++i) client.Send(Signal::kTraces, std::string(600, 'a'), 1);
  EXPECT_GE(client.counts().accepted, 20u);
  ASSERT_TRUE(client.Flush(kPatience));
  EXPECT_EQ(client.counts().accepted, 21u);
}

// Scenario: `stop` is set while a request waits to be sent again after a minute.
// Guarantees: Flush() returns soon, with the request failed.
TEST(OtlpClientTest, StopsAtOnce) {
  ScriptedOtlpServer server([](const auto&) { return Answer{kUnavailable, "busy", RetryInfo(20, 0), ""}; });
  std::atomic<bool> stop{false};
  OtlpClient::Options options = To(server.endpoint());
  options.stop = &stop;
  OtlpClient client(options);
  client.Send(Signal::kTraces, "x", 1);
  while (client.counts().retries == 0) client.Poll(milliseconds(10));
  std::thread other([&] { stop.store(true); });
  const auto start = steady_clock::now();
  EXPECT_TRUE(client.Flush(kPatience));
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(10));
  EXPECT_EQ(client.counts().failed, 1u);
  other.join();
}

// Scenario: the client goes away with requests under way and waiting.
// Guarantees: its destructor returns (and touches nothing freed: the sanitizers' part).
TEST(OtlpClientTest, CanBeDestroyedAtAnyTime) {
  ScriptedOtlpServer server([](const auto& request) {
    return request.bytes == "wait" ? Answer{kUnavailable, "busy", RetryInfo(20, 0), ""} : Answer{};
  });
  OtlpClient client(To(server.endpoint()));
  client.Send(Signal::kTraces, "wait", 1);
  while (client.counts().retries == 0) client.Poll(milliseconds(10));
  client.Send(Signal::kTraces, "go", 1);
}

// Scenario: details without RetryInfo, with a zero, and with an absurd delay.
// Guarantees: none is told apart from zero; an absurd one does not make the client wait.
TEST(OtlpClientTest, ReadsRetryDelays) {
  EXPECT_EQ(RetryDelayOf(""), milliseconds(-1));
  EXPECT_EQ(RetryDelayOf("not protobuf at all"), milliseconds(-1));
  EXPECT_EQ(RetryDelayOf(RetryInfo(0, 0)), milliseconds(0));
  EXPECT_EQ(RetryDelayOf(RetryInfo(3, 500'000'000)), milliseconds(3'500));
  EXPECT_EQ(RetryDelayOf(RetryInfo(-1, 0)), milliseconds(0));
  EXPECT_EQ(RetryDelayOf(RetryInfo(1'000'000, 0)), milliseconds(0));
}

}  // namespace
}  // namespace braid::gateway
