#include "gateway/replay/replay.h"

#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <utility>

#include "correlate/model/epoch.h"
#include "gateway/otlp_client/otlp_count.h"
#include "gateway/otlp_client/stop_signal.h"
#include "gateway/replay/record_file.h"

namespace braid::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kConnectPatience{5'000};
constexpr milliseconds kProgressEvery{200};

double SecondsSince(steady_clock::time_point start) {
  return std::chrono::duration<double>(steady_clock::now() - start).count();
}

// "1:02:03" or "2:03".
std::string Clock(double seconds) {
  const auto s = static_cast<uint64_t>(std::llround(std::max(seconds, 0.0)));
  char text[32];
  if (s >= 3600) {
    std::snprintf(text, sizeof text, "%llu:%02llu:%02llu", static_cast<unsigned long long>(s / 3600),
                  static_cast<unsigned long long>(s / 60 % 60), static_cast<unsigned long long>(s % 60));
  } else {
    std::snprintf(text, sizeof text, "%llu:%02llu", static_cast<unsigned long long>(s / 60),
                  static_cast<unsigned long long>(s % 60));
  }
  return text;
}

void ShowProgress(const ReplayProgress& p) {
  const double share =
      p.bytes_total == 0 ? 1 : static_cast<double>(p.bytes_sent) / static_cast<double>(p.bytes_total);
  const double left = share > 0 ? p.seconds / share - p.seconds : 0;
  std::fprintf(stderr, "\r\033[K%5.1f %%  %llu items  %.0f items/s  %s left", share * 100,
               static_cast<unsigned long long>(p.items),
               p.seconds > 0 ? static_cast<double>(p.items) / p.seconds : 0, Clock(left).c_str());
  std::fflush(stderr);
}

void PrintJson(const ReplaySummary& s) {
  boost::json::object out;
  out["requests"] = s.counts.requests;
  out["items"] = s.counts.items;
  out["bytes"] = s.counts.bytes;
  out["accepted_requests"] = s.counts.accepted_requests;
  out["accepted"] = s.counts.accepted;
  out["rejected"] = s.counts.rejected;
  out["failed_requests"] = s.counts.failed_requests;
  out["failed"] = s.counts.failed;
  out["retries"] = s.counts.retries;
  out["seconds"] = s.seconds;
  out["complete"] = s.complete();
  if (!s.status.ok()) out["error"] = s.status.message();
  if (!s.first_failure.ok()) out["first_failure"] = s.first_failure.ToString();
  if (!s.first_rejection.empty()) out["first_rejection"] = s.first_rejection;
  std::printf("%s\n", boost::json::serialize(out).c_str());
}

void PrintText(const ReplaySummary& s) {
  const auto n = [](uint64_t v) { return static_cast<unsigned long long>(v); };
  std::printf(
      "%llu requests with %llu items in %.1f s (%.0f items/s): %llu accepted, %llu rejected, %llu failed\n",
      n(s.counts.requests), n(s.counts.items), s.seconds,
      s.seconds > 0 ? static_cast<double>(s.counts.items) / s.seconds : 0, n(s.counts.accepted),
      n(s.counts.rejected), n(s.counts.failed));
  if (s.counts.retries > 0) std::printf("sent again %llu times\n", n(s.counts.retries));
  if (!s.first_rejection.empty()) std::printf("first rejection: %s\n", s.first_rejection.c_str());
  if (!s.first_failure.ok()) std::printf("first failure: %s\n", s.first_failure.ToString().c_str());
  if (!s.status.ok()) std::fprintf(stderr, "braid replay: %s\n", s.status.message().c_str());
}

// The state of one Replay().
class Run {
 public:
  Run(const ReplayOptions& options, const std::atomic<bool>& stop,
      const std::function<void(const ReplayProgress&)>& progress)
      : options_(options), stop_(stop), progress_(progress), client_(ClientOptions(options, stop)) {}

  ReplaySummary Go() {
    ReplaySummary summary;
    summary.status = SendAll();
    // What was sent before an error in a file is settled all the same; a gateway that is away is not waited
    // for again.
    while (client_.counts().given_up_requests == 0 && !client_.Flush(kProgressEvery)) Report();
    if (summary.status.ok() && client_.counts().given_up_requests > 0)
      summary.status = client_.first_failure();
    if (summary.status.ok() && stop_.load()) summary.status = {Code::kCancelled, "stopped before the end"};
    summary.counts = client_.counts();
    summary.seconds = SecondsSince(start_);
    summary.first_failure = client_.first_failure();
    summary.first_rejection = client_.first_rejection();
    return summary;
  }

 private:
  static OtlpClient::Options ClientOptions(const ReplayOptions& options, const std::atomic<bool>& stop) {
    OtlpClient::Options client;
    client.endpoint = options.endpoint;
    client.in_flight = options.in_flight;
    client.stop = &stop;
    return client;
  }

  // One record of one file, and when it is its turn.
  struct Turn {
    uint64_t due_ns;
    uint32_t rank;  // of its signal, where signals are kept apart
    uint32_t file;
    const RecordEntry* entry;
  };

  std::vector<Turn> Arrange() const {
    std::vector<Turn> turns;
    const uint64_t window = static_cast<uint64_t>(options_.shuffle_window.count()) * 1'000'000;
    uint64_t random = options_.seed;
    for (uint32_t i = 0; i < files_.size(); ++i) {
      for (const RecordEntry& entry : files_[i].entries()) {
        Turn turn{entry.event_ns, 0, i, &entry};
        switch (options_.order) {
          case ReplayOrder::kFile:
          case ReplayOrder::kTime: break;
          case ReplayOrder::kLogsFirst:
            turn.rank = entry.signal == Signal::kLogs ? 0 : entry.signal == Signal::kTraces ? 1 : 2;
            break;
          case ReplayOrder::kSpansFirst: turn.rank = static_cast<uint32_t>(entry.signal); break;
          case ReplayOrder::kShuffle:
            // Shifted by `window` as a whole, so that nothing falls below zero.
            random += 0x9e3779b97f4a7c15u;
            turn.due_ns += Mix64(random) % (2 * window + 1);
            break;
        }
        turns.push_back(turn);
      }
    }
    if (options_.order != ReplayOrder::kFile) {
      std::stable_sort(turns.begin(), turns.end(), [](const Turn& a, const Turn& b) {
        return a.rank != b.rank ? a.rank < b.rank : a.due_ns < b.due_ns;
      });
    }
    return turns;
  }

  Status SendAll() {
    for (const std::string& path : options_.files) {
      Result<RecordFile> file = RecordFile::Open(path);
      if (!file.ok()) return file.status();
      files_.push_back(std::move(*file));
    }
    const std::vector<Turn> turns = Arrange();
    for (const Turn& turn : turns) at_.bytes_total += turn.entry->length;
    if (Status status = client_.Connect(kConnectPatience); !status.ok()) return status;
    start_ = steady_clock::now();
    for (const Turn& turn : turns) {
      WaitFor(turn.due_ns);
      if (stop_.load()) return {};
      const RecordFile& file = files_[turn.file];
      Result<std::string> payload = file.Read(*turn.entry);
      if (!payload.ok()) return payload.status();
      const Result<uint64_t> items = CountItems(turn.entry->signal, *payload);
      if (!items.ok()) return file.Bad(*turn.entry, items.status().message());
      client_.Send(turn.entry->signal, std::move(*payload), *items);
      if (client_.counts().given_up_requests > 0) return client_.first_failure();
      at_.items += *items;
      at_.bytes_sent += turn.entry->length;
      Report();
    }
    return {};
  }

  // Until it is due. What is older than the first record is sent at once.
  void WaitFor(uint64_t due_ns) {
    if (options_.pace.factor <= 0) return;
    if (!has_first_) {
      has_first_ = true;
      first_ns_ = due_ns;
    }
    if (due_ns <= first_ns_) return;
    const double seconds = static_cast<double>(due_ns - first_ns_) / 1e9 / options_.pace.factor;
    while (!stop_.load()) {
      const double left = seconds - SecondsSince(start_);
      if (left <= 0) return;
      client_.Poll(left < 0.2 ? milliseconds(static_cast<int64_t>(left * 1e3) + 1) : kProgressEvery);
      Report();
    }
  }

  void Report() {
    const auto now = steady_clock::now();
    if (!progress_ || now - last_report_ < kProgressEvery) return;
    last_report_ = now;
    at_.seconds = SecondsSince(start_);
    progress_(at_);
  }

  const ReplayOptions& options_;
  const std::atomic<bool>& stop_;
  const std::function<void(const ReplayProgress&)>& progress_;
  OtlpClient client_;
  std::vector<RecordFile> files_;
  ReplayProgress at_;
  steady_clock::time_point start_ = steady_clock::now();
  steady_clock::time_point last_report_;
  bool has_first_ = false;
  uint64_t first_ns_ = 0;
};

}  // namespace

Result<ReplayPace> ParsePace(std::string_view text) {
  if (text == "max") return ReplayPace{0};
  if (text == "realtime") return ReplayPace{1};
  double factor = 0;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto parsed = std::from_chars(begin, end, factor, std::chars_format::fixed);
  const bool ok = parsed.ec == std::errc() &&
                  std::string_view(parsed.ptr, static_cast<size_t>(end - parsed.ptr)) == "x" &&
                  factor >= 1e-3 && factor <= 1e6;
  if (!ok) {
    std::string message = "pace \"";
    message += text;
    return InvalidArgument(message + "\" is none of max, realtime, or a factor from 0.001x to 1000000x");
  }
  return ReplayPace{factor};
}

ReplaySummary Replay(const ReplayOptions& options, const std::atomic<bool>& stop,
                     const std::function<void(const ReplayProgress&)>& progress) {
  return Run(options, stop, progress).Go();
}

int RunReplay(const ReplayOptions& options) {
  const StopSignal signal;
  std::function<void(const ReplayProgress&)> progress;
  const bool terminal = options.progress && isatty(STDERR_FILENO) == 1;
  if (terminal) progress = ShowProgress;
  const ReplaySummary summary = Replay(options, StopSignal::requested(), progress);
  if (terminal) std::fprintf(stderr, "\r\033[K");
  if (options.json) {
    PrintJson(summary);
  } else {
    PrintText(summary);
  }
  return summary.complete() ? 0 : 1;
}

}  // namespace braid::gateway
