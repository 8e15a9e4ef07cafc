#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "config/config.h"

// The command line: what each command takes, and the seam behind which the engines of `run`, `demo` and
// `replay` live.
namespace braid::gateway::cli {

// Exit codes, after sysexits.h.
constexpr int kExitOk = 0;
constexpr int kExitFailure = 1;       // it was tried and went wrong
constexpr int kExitUsage = 64;        // the command line itself
constexpr int kExitUnavailable = 69;  // the other side does not answer
constexpr int kExitConfig = 78;       // the configuration

struct RunOptions {
  std::string config_file;  // as given; empty: the built-in defaults
};

struct DemoOptions {
  std::string endpoint = "http://127.0.0.1:4318";  // OTLP/HTTP, without /v1/...
  double rate = 20;                                // traces per second
  std::chrono::milliseconds duration{0};           // 0: until interrupted
  uint64_t seed = 1;                               // equal seeds make equal traffic
};

struct ReplayOptions {
  enum class Pace : uint8_t { kMax, kRealtime, kFactor };

  // How records of different files are put in order.
  enum class Order : uint8_t {
    kTime,       // by event time, as they happened
    kFile,       // as the files have them, one file after the other
    kLogsFirst,  // all logs, then all spans, then all metrics, each by event time
    kSpansFirst,
    kShuffle,  // by event time plus a random offset of at most shuffle_window
  };

  std::string endpoint = "http://127.0.0.1:4318";
  std::vector<std::string> files;  // at least one
  Pace pace = Pace::kMax;
  double factor = 1;  // kFactor: how much faster than event time
  Order order = Order::kTime;
  std::chrono::milliseconds shuffle_window{60'000};
  uint64_t seed = 1;
  bool progress = true;  // on standard error; only ever drawn on a terminal
};

// What other parts of the gateway do for a command; each returns the exit code. All are set.
struct Commands {
  std::function<int(const config::Config&, const RunOptions&)> run;
  std::function<int(const DemoOptions&)> demo;
  std::function<int(const ReplayOptions&)> replay;
};

// Parses the command line, does what it says, returns the exit code. Never throws, never exits. Results go to
// standard output, everything else to standard error.
int RunCli(int argc, char** argv, const Commands& engines);

}  // namespace braid::gateway::cli
