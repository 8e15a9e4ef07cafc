#pragma once

#include <functional>
#include <iosfwd>
#include <string>

#include "config/config.h"
#include "gateway/demo/demo.h"
#include "gateway/replay/replay.h"

// The command line, and the seam behind which the engines of `run`, `demo` and `replay` live.
namespace braid::gateway::cli {

// Exit codes, after sysexits.h.
constexpr int kExitOk = 0;
constexpr int kExitFailure = 1;       // it was tried and went wrong
constexpr int kExitUsage = 64;        // the command line itself
constexpr int kExitUnavailable = 69;  // the other side does not answer
constexpr int kExitConfig = 78;       // the configuration

struct RunOptions {
  std::string config_file;    // as given; empty: the built-in defaults
  std::string config_sha256;  // of what `print-config` prints, origins left out; secrets are in it as ***
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

// The same with other streams, for tests. The engines print where they like.
int RunCli(int argc, const char* const* argv, const Commands& engines, std::ostream& out, std::ostream& err);

}  // namespace braid::gateway::cli
