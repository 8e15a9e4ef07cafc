#include <spdlog/spdlog.h>

#include "gateway/cli/commands.h"
#include "gateway/demo/demo.h"
#include "gateway/gateway.h"
#include "gateway/logging/logging.h"
#include "gateway/replay/replay.h"

namespace {

using namespace braid::gateway;

int RunGateway(const braid::config::Config& config, const cli::RunOptions& options) {
  SetUpLogging(config.log);
  Gateway gateway(config, options.config_sha256);
  if (const braid::Status status = gateway.Start(); !status.ok()) {
    spdlog::error("cannot start: {}", status.message());
    return cli::kExitFailure;
  }
  spdlog::info("ready");
  const int code = gateway.Run();
  spdlog::info("stopped");
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  return cli::RunCli(argc, argv, {.run = RunGateway, .demo = RunDemo, .replay = RunReplay});
}
