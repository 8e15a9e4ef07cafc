#include "gateway/demo/demo.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <csignal>
#include <thread>

#include "otlp.pb.h"
#include "tests/unit/gateway/otlp_client/scripted_otlp_server.h"

namespace braid::gateway {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using testing::ScriptedOtlpServer;

struct Played {
  int exit_code = 0;
  boost::json::object summary;
  std::string talk;
};

Played Play(const DemoOptions& options) {
  Played played;
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  played.exit_code = RunDemo(options);
  const std::string out = ::testing::internal::GetCapturedStdout();
  played.talk = ::testing::internal::GetCapturedStderr();
  if (!out.empty()) played.summary = boost::json::parse(out).as_object();
  return played;
}

uint64_t Number(const boost::json::object& object, const char* key) {
  return object.at(key).to_number<uint64_t>();
}

uint64_t SpansIn(const ScriptedOtlpServer& server) {
  uint64_t spans = 0;
  for (const auto& request : server.requests()) {
    if (request.signal != Signal::kTraces) continue;
    oracle::ExportTraceServiceRequest parsed;
    EXPECT_TRUE(parsed.ParseFromString(request.bytes));
    spans += static_cast<uint64_t>(parsed.resource_spans(0).scope_spans(0).spans_size());
  }
  return spans;
}

// Scenario: the demo plays for two seconds to a server that accepts everything.
// Guarantees: the server holds exactly the spans of the printed truth; the delivery adds up; the exit code is
// 0.
TEST(DemoTest, DeliversItsTruth) {
  ScriptedOtlpServer server;
  DemoOptions options;
  options.endpoint = "http://" + server.endpoint();
  options.rate = 100;
  options.seed = 3;
  options.duration = milliseconds(2'000);
  options.json = true;
  const Played played = Play(options);
  EXPECT_EQ(played.exit_code, 0) << played.talk;
  EXPECT_EQ(Number(played.summary, "spans"), SpansIn(server));
  EXPECT_GT(Number(played.summary, "requests"), 100u);
  const auto& delivery = played.summary.at("delivery").as_object();
  EXPECT_EQ(Number(delivery, "items"), Number(delivery, "accepted"));
  EXPECT_EQ(Number(played.summary, "seed"), 3u);
  EXPECT_THAT(played.talk, HasSubstr("(seed 3)"));
  EXPECT_THAT(played.talk, HasSubstr("braid trace "));
}

// Scenario: SIGTERM while the demo plays without an end.
// Guarantees: it closes the shop, delivers what was under way, and exits with 0.
TEST(DemoTest, ClosesOnSigterm) {
  ScriptedOtlpServer server;
  DemoOptions options;
  options.endpoint = server.endpoint();
  options.rate = 50;
  options.json = true;
  std::thread operator_([&] {
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (server.requests().size() < 3 && std::chrono::steady_clock::now() < patience) {
      std::this_thread::sleep_for(milliseconds(5));
    }
    std::raise(SIGTERM);
  });
  const Played played = Play(options);
  operator_.join();
  EXPECT_EQ(played.exit_code, 0) << played.talk;
  EXPECT_GE(server.requests().size(), 3u);
  EXPECT_EQ(Number(played.summary, "spans"), SpansIn(server));
}

// Scenario: a server that refuses every request for good.
// Guarantees: the summary counts the items as failed, and the exit code says so.
TEST(DemoTest, AdmitsFailure) {
  ScriptedOtlpServer server([](const auto&) { return ScriptedOtlpServer::Answer{3, "no", "", ""}; });
  DemoOptions options;
  options.endpoint = server.endpoint();
  options.rate = 50;
  options.duration = milliseconds(300);
  options.json = true;
  const Played played = Play(options);
  EXPECT_EQ(played.exit_code, 1);
  const auto& delivery = played.summary.at("delivery").as_object();
  EXPECT_EQ(Number(delivery, "accepted"), 0u);
  EXPECT_EQ(Number(delivery, "failed"), Number(delivery, "items"));
  EXPECT_THAT(played.talk, HasSubstr("items not delivered"));
}

// Scenario: there is no gateway.
// Guarantees: the demo says which address it tried and what to do, and exits with 1.
TEST(DemoTest, SaysThatThereIsNoGateway) {
  std::string endpoint;
  {
    const ScriptedOtlpServer gone;
    endpoint = gone.endpoint();
  }
  DemoOptions options;
  options.endpoint = endpoint;
  options.connect_for = milliseconds(100);
  const Played played = Play(options);
  EXPECT_EQ(played.exit_code, 1);
  EXPECT_THAT(played.talk, HasSubstr("braid demo: cannot reach " + endpoint + ": connection refused"));
}

}  // namespace
}  // namespace braid::gateway
