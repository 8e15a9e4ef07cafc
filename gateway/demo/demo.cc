#include "gateway/demo/demo.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <ctime>
#include <utility>

#include "gateway/demo/shop.h"
#include "gateway/otlp_client/otlp_client.h"
#include "gateway/otlp_client/stop_signal.h"

namespace braid::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kStep{50};
constexpr milliseconds kReportEvery{10'000};
constexpr milliseconds kFlushPatience{5'000};

uint64_t WallNow() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

std::string TimeOfDay() {
  const std::time_t now = std::time(nullptr);
  std::tm parts = {};
  localtime_r(&now, &parts);
  char text[16];
  std::strftime(text, sizeof text, "%H:%M:%S", &parts);
  return text;
}

// What became of the exports.
struct Delivery {
  uint64_t dropped_exports = 0;  // the gateway was away for too long
  uint64_t dropped_items = 0;
};

class Demo {
 public:
  Demo(const DemoOptions& options, uint64_t seed)
      : options_(options),
        seed_(seed),
        client_(ClientOptions(options)),
        start_ns_(WallNow()),
        shop_({.seed = seed, .rate = options.rate, .start_ns = start_ns_},
              [this](demo::Shop::Export made) { Send(std::move(made)); }),
        talk_(options.json ? stderr : stdout) {}

  int Run() {
    if (Status status = client_.Connect(options_.connect_for); !status.ok()) {
      std::fprintf(stderr, "braid demo: %s\n", status.message().c_str());
      return 1;
    }
    std::fprintf(talk_, "A made-up shop: %d services, %g requests/s, to %s (seed %llu). Ctrl-C ends it.\n",
                 demo::kServices, options_.rate, options_.endpoint.c_str(),
                 static_cast<unsigned long long>(seed_));
    std::fflush(talk_);

    start_ = steady_clock::now();
    auto next_report = start_ + kReportEvery;
    while (!StopSignal::requested().load() && !Over()) {
      // The shop's time goes by the monotonic clock, so that a step of the wall clock neither stops nor
      // floods it.
      uint64_t elapsed = Elapsed();
      if (options_.duration.count() > 0) elapsed = std::min(elapsed, Nanoseconds(options_.duration));
      shop_.Advance(start_ns_ + elapsed);
      client_.Poll(kStep);
      if (steady_clock::now() >= next_report) {
        Report();
        next_report += kReportEvery;
      }
    }
    if (options_.duration.count() > 0 && !StopSignal::requested().load()) {
      shop_.Advance(start_ns_ + Nanoseconds(options_.duration));
    }
    closing_ = true;
    shop_.Close();
    client_.Flush(kFlushPatience);
    Summarize();
    const OtlpClient::Counts& counts = client_.counts();
    return counts.accepted == counts.items && delivery_.dropped_items == 0 ? 0 : 1;
  }

 private:
  static OtlpClient::Options ClientOptions(const DemoOptions& options) {
    OtlpClient::Options client;
    client.endpoint = options.endpoint;
    client.in_flight = 64;
    client.retry_for = milliseconds(10'000);
    client.stop = &StopSignal::urgent();
    return client;
  }

  static uint64_t Nanoseconds(milliseconds time) { return static_cast<uint64_t>(time.count()) * 1'000'000; }

  uint64_t Elapsed() const {
    return static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(steady_clock::now() - start_).count());
  }

  bool Over() const { return options_.duration.count() > 0 && Elapsed() >= Nanoseconds(options_.duration); }

  void Send(demo::Shop::Export made) {
    if (!closing_ && !client_.HasRoom(made.request.size())) {
      // An SDK's queue is full some time, too.
      ++delivery_.dropped_exports;
      delivery_.dropped_items += made.items;
      return;
    }
    client_.Send(made.signal, std::move(made.request), made.items);
  }

  void Report() {
    const demo::Truth& truth = shop_.truth();
    std::fprintf(talk_, "%s  %llu requests (%llu failed), %llu spans, %llu logs", TimeOfDay().c_str(),
                 static_cast<unsigned long long>(truth.requests),
                 static_cast<unsigned long long>(truth.failed_requests),
                 static_cast<unsigned long long>(truth.spans), static_cast<unsigned long long>(truth.logs));
    const OtlpClient::Counts& counts = client_.counts();
    if (const uint64_t lost = counts.failed + delivery_.dropped_items; lost > 0) {
      std::fprintf(talk_, "; %llu items not delivered", static_cast<unsigned long long>(lost));
      if (!client_.first_failure().ok())
        std::fprintf(talk_, " (%s)", client_.first_failure().message().c_str());
    }
    if (shop_.failed_trace().valid()) {
      std::fprintf(talk_, "; a failed one: braid trace %s", ToHex(shop_.failed_trace()).c_str());
    }
    std::fprintf(talk_, "\n");
    std::fflush(talk_);
  }

  void Summarize() {
    Report();
    if (!options_.json) return;
    const OtlpClient::Counts& counts = client_.counts();
    boost::json::object delivery;
    delivery["requests"] = counts.requests + delivery_.dropped_exports;
    delivery["items"] = counts.items + delivery_.dropped_items;
    delivery["accepted"] = counts.accepted;
    delivery["rejected"] = counts.rejected;
    delivery["failed"] = counts.items - counts.accepted - counts.rejected;
    delivery["dropped"] = delivery_.dropped_items;
    delivery["retries"] = counts.retries;
    const double seconds = static_cast<double>(Elapsed()) / 1e9;
    const std::string failed = shop_.failed_trace().valid() ? ToHex(shop_.failed_trace()) : "";
    std::printf("{\"seed\":%llu,\"seconds\":%.3f,%s,\"failed_trace\":\"%s\",\"delivery\":%s}\n",
                static_cast<unsigned long long>(seed_), seconds, shop_.truth().ToJsonMembers().c_str(),
                failed.c_str(), boost::json::serialize(delivery).c_str());
    std::fflush(stdout);
  }

  const DemoOptions& options_;
  const uint64_t seed_;
  OtlpClient client_;
  Delivery delivery_;
  bool closing_ = false;  // then exports wait for room
  const uint64_t start_ns_;
  demo::Shop shop_;
  std::FILE* const talk_;
  steady_clock::time_point start_;
};

}  // namespace

int RunDemo(const DemoOptions& options) {
  const StopSignal signal;
  return Demo(options, options.seed.value_or(WallNow())).Run();
}

}  // namespace braid::gateway
