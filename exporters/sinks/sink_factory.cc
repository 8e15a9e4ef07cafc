#include "exporters/sinks/sink_factory.h"

#include "exporters/sinks/file_sink.h"
#include "exporters/sinks/http_sink.h"
#include "exporters/sinks/otlp_grpc.h"
#include "exporters/sinks/remote_write_sink.h"

namespace braid::exporters {
namespace {

Status Check(const SinkConfig& config) {
  if (config.name.empty()) return InvalidArgument("name: empty");
  if (!config.bearer_token.empty() && !config.basic_user.empty()) {
    return InvalidArgument("auth: either basic or bearer, not both");
  }
  if (config.timeout <= std::chrono::nanoseconds(0)) return InvalidArgument("timeout: must be more than 0");
  if (config.connect_timeout <= std::chrono::nanoseconds(0)) {
    return InvalidArgument("connect_timeout: must be more than 0");
  }
  const Lane::Options& queue = config.queue;
  if (queue.max_bytes == 0) return InvalidArgument("queue.max_bytes: must be more than 0");
  if (queue.max_in_flight == 0) return InvalidArgument("queue.max_in_flight: must be more than 0");
  if (queue.max_request_items == 0 || queue.max_request_bytes == 0) {
    return InvalidArgument("queue: a request must be allowed an item and a byte");
  }
  if (queue.backoff_min <= std::chrono::nanoseconds(0) || queue.backoff_max < queue.backoff_min) {
    return InvalidArgument("queue.backoff: expected 0 < min <= max");
  }
  return {};
}

Result<std::unique_ptr<SinkShared>> Make(const SinkConfig& config, SlabPool& slabs) {
  if (Status status = Check(config); !status.ok()) return status;
  std::unique_ptr<DeadLetter> dead_letter;
  if (!config.dead_letter_path.empty()) {
    auto opened = OpenDeadLetter(config.name, config.dead_letter_path, slabs);
    if (!opened.ok()) return opened.status();
    dead_letter = std::move(*opened);
  }
  switch (config.type) {
    case SinkConfig::Type::kOtlpGrpc: return MakeOtlpGrpc(config, std::move(dead_letter), slabs);
    case SinkConfig::Type::kOtlpHttp: return MakeOtlpHttp(config, std::move(dead_letter), slabs);
    case SinkConfig::Type::kLoki: return MakeLoki(config, std::move(dead_letter), slabs);
    case SinkConfig::Type::kRemoteWrite: return MakeRemoteWrite(config, std::move(dead_letter), slabs);
    case SinkConfig::Type::kFile: return MakeFile(config, std::move(dead_letter));
  }
  return InvalidArgument("type: unknown");
}

}  // namespace

SinkShared::SinkShared(SinkConfig config, std::unique_ptr<DeadLetter> dead_letter)
    : config_(std::move(config)), dead_letter_(std::move(dead_letter)) {}

std::unique_ptr<Lane> SinkShared::NewLane(boost::asio::io_context& io, const Lane::Ledgers& ledgers) {
  Lane::Ledgers taken = {};
  for (size_t i = 0; i < taken.size(); ++i) {
    if (config_.signals[i]) taken[i] = ledgers[i];
  }
  return std::make_unique<Lane>(io, config_.queue, NewSink(io), taken, dead_letter_.get());
}

Result<std::unique_ptr<SinkShared>> MakeSink(const SinkConfig& config, SlabPool& slabs) {
  Result<std::unique_ptr<SinkShared>> made = Make(config, slabs);
  if (!made.ok()) return made.status().Annotate("sink " + config.name);
  return made;
}

}  // namespace braid::exporters
