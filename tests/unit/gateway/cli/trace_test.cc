#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <thread>

#include "gateway/cli/commands.h"
#include "gateway/cli/trace_command.h"
#include "gateway/cli/trace_view.h"

namespace braid::gateway::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kTrace = R"({
 "traceId":"4bf92f3577b34da6a3ce929d0e0e4736","state":"decided","verdict":"keep","notes":["one note"],
 "spans":[
  {"spanId":"00000000000000b2","parentSpanId":"00000000000000a1","service":"cart","name":"add","kind":"internal",
   "status":"error","statusMessage":"sold out","startUnixNano":"1700000000250000000","durationNano":"500000000",
   "attributes":{"item":7},"events":[],
   "logs":[{"timeUnixNano":"1700000000300000000","severityText":"ERROR","body":"no stock","attributes":{},
            "join":{"state":"span","reason":"the span came 2.1 s later"}}]},
  {"spanId":"00000000000000a1","parentSpanId":"","service":"shop","name":"GET /","kind":"server","status":"ok",
   "startUnixNano":"1700000000000000000","durationNano":"1000000000","attributes":{},"logs":[]},
  {"spanId":"00000000000000c3","parentSpanId":"00000000000000ff","service":"mail","name":"send","kind":"client",
   "status":"unset","startUnixNano":"1700000000900000000","durationNano":"1000","attributes":{},"logs":[]}],
 "logs":[{"timeUnixNano":"1700000000100000000","severity":"info","body":"lost","service":"cart",
          "join":{"state":"orphan","reason":"no span within 10 s"}}]})";

// Answers one request with `response` on a port of its own.
class OneAnswer {
 public:
  explicit OneAnswer(std::string response) {
    socket_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(socket_, 1), 0);
    EXPECT_EQ(getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    url_ = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    thread_ = std::thread([this, response = std::move(response)] {
      const int peer = accept(socket_, nullptr, nullptr);
      char buffer[4096];
      while (request_.find("\r\n\r\n") == std::string::npos) {
        const ssize_t got = read(peer, buffer, sizeof buffer);
        if (got <= 0) break;
        request_.append(buffer, static_cast<size_t>(got));
      }
      EXPECT_EQ(write(peer, response.data(), response.size()), static_cast<ssize_t>(response.size()));
      close(peer);
    });
  }
  ~OneAnswer() {
    shutdown(socket_, SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    close(socket_);
  }
  const std::string& url() const { return url_; }
  std::string Request() {
    thread_.join();
    return request_;
  }

 private:
  int socket_ = -1;
  std::string url_, request_;
  std::thread thread_;
};

std::string Response(int status, const std::string& body) {
  return "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\nConnection: close\r\n\r\n" + body;
}

// Scenario: a trace with a failed child, a span without parent, a joined and an unjoined log.
// Guarantees: children stand under parents in order of time, logs under spans, each with its reason; nothing
// is left out.
TEST(TraceViewTest, ShowsATree) {
  const Result<std::string> view = RenderTrace(kTrace, {.width = 100});
  ASSERT_TRUE(view.ok()) << view.status().ToString();
  EXPECT_THAT(*view, testing::StartsWith(
                         "Trace 4bf92f3577b34da6a3ce929d0e0e4736  decided, keep\n"
                         "2023-11-14 22:13:20.000 UTC · 1.00 s · 3 spans in 3 services, 2 logs, 1 error\n"));
  std::vector<size_t> places;
  for (const char* text : {"\nshop  GET / (server)", "\n  ✗ cart  add", "\n    status: sold out",
                           "\n    • ERROR  +300.0 ms  no stock", "\n      span: the span came 2.1 s later",
                           "\nmail  send (client)", "\n  (its parent is not here: 00000000000000ff)",
                           "\nLogs that no span here has:", "\n  • INFO   +100.0 ms  cart  lost",
                           "\n    orphan: no span within 10 s", "\nnote: one note"}) {
    places.push_back(view->find(text));
    EXPECT_NE(places.back(), std::string::npos) << text << "\n" << *view;
  }
  EXPECT_TRUE(std::is_sorted(places.begin(), places.end())) << *view;
  EXPECT_THAT(*view, Not(HasSubstr("\x1b")));
  EXPECT_THAT(*view, Not(HasSubstr("item = 7")));
  EXPECT_THAT(*RenderTrace(kTrace, {.attributes = true}), HasSubstr("item = 7"));
  EXPECT_THAT(*RenderTrace(kTrace, {.color = true}), HasSubstr("\x1b[31m"));
}

// Scenario: senders wrote terminal escapes and line breaks into every text.
// Guarantees: none reaches the terminal.
TEST(TraceViewTest, PayloadCannotDriveTheTerminal) {
  const std::string evil = "\\u001b[2J\\n\\u009b\\u202e";
  const std::string body = R"({"traceId":"a)" + evil + R"(","state":")" + evil +
                           R"(","spans":[{"spanId":"1","service":")" + evil + R"(","name":")" + evil +
                           R"(","status":"error","statusMessage":")" + evil + R"(","attributes":{")" + evil +
                           R"(":")" + evil + R"("},"logs":[{"body":")" + evil + R"("}]}]})";
  const std::string view = *RenderTrace(body, {.attributes = true});
  for (const char* bad : {"\x1b", "\xc2\x9b", "\xe2\x80\xae", "[2J\n\n"})
    EXPECT_THAT(view, Not(HasSubstr(bad)));
}

// Scenario: parents in a circle, a span that is its own parent, the same ID twice, a chain of 100,000.
// Guarantees: every span is shown once, and it ends.
TEST(TraceViewTest, OddParents) {
  const std::string view = *RenderTrace(
      R"({"traceId":"a","spans":[{"spanId":"1","parentSpanId":"2","name":"n-a"},{"spanId":"2","parentSpanId":"1","name":"n-b"},
          {"spanId":"3","parentSpanId":"3","name":"n-c"},{"spanId":"4","name":"n-d"},{"spanId":"4","name":"n-e"}]})",
      {});
  for (const char* name : {"n-a", "n-b", "n-c", "n-d", "n-e"}) {
    EXPECT_NE(view.find(name), std::string::npos) << name;
    EXPECT_EQ(view.find(name), view.rfind(name)) << name;
  }
  EXPECT_THAT(view, AllOf(HasSubstr("parents go in a circle"), HasSubstr("names itself as its parent")));

  std::string chain = R"({"traceId":"a","spans":[{"spanId":"0","name":"n"})";
  for (int i = 1; i < 100'000; ++i) {
    chain += R"(,{"spanId":")" + std::to_string(i) + R"(","parentSpanId":")" + std::to_string(i - 1) +
             R"(","name":"n"})";
  }
  const std::string deep = *RenderTrace(chain + "]}", {});
  EXPECT_EQ(std::count(deep.begin(), deep.end(), '\n'), 3 + 100'000);
}

// Scenario: answers that are not traces.
// Guarantees: an error that says so.
TEST(TraceViewTest, RefusesWhatIsNoTrace) {
  for (const char* body : {"", "<html>", "[]", "{}", "{\"traceId\":7}"})
    EXPECT_FALSE(RenderTrace(body, {}).ok()) << body;
}

// Scenario: the trace is fetched from a server that has it, does not have it, fails, or is not there.
// Guarantees: the path asked for, the exit code, and words that help.
TEST(TraceCommandTest, Fetches) {
  std::ostringstream out, err;
  {
    OneAnswer server(Response(200, kTrace));
    EXPECT_EQ(ShowTrace({.id = "4BF92F3577B34DA6A3CE929D0E0E4736", .url = server.url() + "/base/"}, out, err),
              kExitOk);
    EXPECT_THAT(server.Request(),
                testing::StartsWith("GET /base/api/v1/traces/4bf92f3577b34da6a3ce929d0e0e4736 HTTP/1.1\r\n"));
    EXPECT_THAT(out.str(), HasSubstr("cart  add"));
  }
  {
    OneAnswer server(Response(404, "{}"));
    EXPECT_EQ(ShowTrace({.id = "1", .url = server.url()}, out, err), kExitFailure);
    EXPECT_THAT(err.str(), AllOf(HasSubstr("is not known to"), HasSubstr("store.max_bytes")));
  }
  {
    OneAnswer server(Response(500, ""));
    EXPECT_EQ(ShowTrace({.id = "1", .url = server.url()}, out, err), kExitFailure);
  }
  EXPECT_EQ(ShowTrace({.id = "1", .url = "http://127.0.0.1:1"}, out, err), kExitUnavailable);
  EXPECT_THAT(err.str(), HasSubstr("Is Braid running"));
}

}  // namespace
}  // namespace braid::gateway::cli
