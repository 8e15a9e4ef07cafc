#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "ingest/http/http_server.h"
#include "ingest/http/rpc_status.h"
#include "tests/integration/hostile/wire_client.h"

namespace braid::hostile {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

// Waits for what another thread is about to make true.
template <typename Fn>
bool Eventually(Fn fn, milliseconds patience = kPatience) {
  const auto deadline = steady_clock::now() + patience;
  while (!fn()) {
    if (steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(1));
  }
  return true;
}

// Answers with what it was sent; some paths do more.
class EchoHandler : public ingest::Handler {
 public:
  std::optional<ingest::Response> Screen(ingest::Request& head) override {
    if (head.path() != "/refused") return std::nullopt;
    return ingest::ErrorResponse(head.reply_format(), InvalidArgument("refused at the door"));
  }

  void Handle(ingest::Request request, ingest::Responder responder) override {
    ++handled;
    if (request.path() == "/drop") return;
    if (request.path() == "/thread") {
      // A reply from a thread that is no core.
      std::lock_guard lock(mutex);
      threads.emplace_back(
          [r = std::move(request), to = std::move(responder)]() mutable { Answer(r, std::move(to)); });
      return;
    }
    if (request.path() == "/hold") {
      std::lock_guard lock(mutex);
      held.emplace_back(std::move(request), std::move(responder));
      return;
    }
    Answer(request, std::move(responder));
  }

  static constexpr size_t kPieceSize[] = {1, 300'000, 16'384, 7, 2'000'000};

  static void Answer(const ingest::Request& request, ingest::Responder responder) {
    if (request.grpc) return responder.Reply(ingest::GrpcOk(std::string(request.body.view())));
    ingest::Response response;
    response.content_type = "text/plain";
    if (request.path() == "/big") {
      response.body.assign(4u << 20, 'b');
    } else if (request.path() == "/pieces") {
      for (int i = 0; i < 5; ++i) response.pieces.emplace_back(kPieceSize[i], static_cast<char>('a' + i));
    } else if (request.path() == "/core") {
      response.body = std::to_string(request.core);
    } else {
      response.body = request.method + " " + request.target + " " + std::string(request.body.view());
    }
    responder.Reply(std::move(response));
  }

  // Answers everything that was held.
  void Release() {
    std::vector<std::pair<ingest::Request, ingest::Responder>> all;
    {
      std::lock_guard lock(mutex);
      all.swap(held);
    }
    for (auto& [request, responder] : all) Answer(request, std::move(responder));
  }
  size_t held_count() {
    std::lock_guard lock(mutex);
    return held.size();
  }

  std::atomic<int> handled{0};
  std::mutex mutex;
  std::vector<std::pair<ingest::Request, ingest::Responder>> held;
  std::vector<std::thread> threads;
};

// A server on cores of its own, listening on any port.
class TestServer {
 public:
  TestServer(ingest::Handler* handler, ingest::HttpServer::Options options, size_t cores = 1,
             size_t pool_bytes = 256u << 20)
      : pool({.max_bytes = pool_bytes}) {
    std::vector<boost::asio::io_context*> loops;
    for (size_t i = 0; i < cores; ++i) {
      ios_.push_back(std::make_unique<boost::asio::io_context>(1));
      work_.emplace_back(ios_.back()->get_executor());
      loops.push_back(ios_.back().get());
    }
    server = std::make_unique<ingest::HttpServer>(loops, pool, std::move(options), handler);
    for (auto& io : ios_) threads_.emplace_back([&io] { io->run(); });
    start = server->Start();
  }

  ~TestServer() {
    server->Stop(steady_clock::now());
    work_.clear();
    for (std::thread& thread : threads_) thread.join();
    server.reset();
  }

  uint16_t port() const { return server->port(); }
  ingest::HttpStats stats() const { return server->stats(); }

  SlabPool pool;
  Status start;
  std::unique_ptr<ingest::HttpServer> server;

 private:
  std::vector<std::unique_ptr<boost::asio::io_context>> ios_;
  std::vector<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_;
  std::vector<std::thread> threads_;
};

// A decent client beside the attack: one request after the other over both protocols, each checked.
class Bystander {
 public:
  explicit Bystander(uint16_t port) : thread_([this, port] { Run(port); }) {}
  ~Bystander() { Finish(); }

  // Stops it. Every request must have been answered well, and there must have been some.
  void Finish() {
    if (!thread_.joinable()) return;
    // It must be served during the attack, however short that was.
    const int before = served_;
    EXPECT_TRUE(Eventually([&] { return served_ >= before + 10 || failed_ > 0; })) << "other clients starve";
    stop_ = true;
    thread_.join();
    EXPECT_EQ(failed_, 0);
    EXPECT_LT(slowest_ms_, 2'000) << "other clients wait";
  }

 private:
  void Run(uint16_t port) {
    Http2Wire h2(port);
    if (!h2.Open()) ++failed_;
    Wire h1(port);
    const std::string body(50'000, 'y');
    while (!stop_ && failed_ == 0) {
      const auto begun = steady_clock::now();
      const auto reply = h2.Await(h2.GrpcCall("/echo", GrpcMessage(body)));
      if (reply.Get("grpc-status") != "0" || reply.body != GrpcMessage(body)) ++failed_;
      h2.replies().clear();
      const Http1Reply answer = Exchange(h1, Post("/echo", body));
      if (answer.status != 200 || answer.body != "POST /echo " + body) ++failed_;
      const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - begun).count();
      slowest_ms_ = std::max(slowest_ms_.load(), static_cast<int>(took));
      ++served_;
    }
  }

  std::atomic<bool> stop_{false};
  std::atomic<int> served_{0};
  std::atomic<int> failed_{0};
  std::atomic<int> slowest_ms_{0};
  std::thread thread_;
};

}  // namespace braid::hostile
