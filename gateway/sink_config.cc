#include "gateway/sink_config.h"

#include <algorithm>

namespace braid::gateway {

exporters::SinkConfig SinkConfigOf(const config::Sink& sink, size_t cores) {
  using Type = exporters::SinkConfig::Type;
  using Compression = exporters::SinkConfig::Compression;
  using RemoteWrite = exporters::SinkConfig::RemoteWrite;
  exporters::SinkConfig out;
  out.name = sink.name;
  switch (sink.type) {
    case config::Sink::Type::kOtlpGrpc: out.type = Type::kOtlpGrpc; break;
    case config::Sink::Type::kOtlpHttp: out.type = Type::kOtlpHttp; break;
    case config::Sink::Type::kLoki: out.type = Type::kLoki; break;
    case config::Sink::Type::kPrometheusRemoteWrite: out.type = Type::kRemoteWrite; break;
    case config::Sink::Type::kFile: out.type = Type::kFile; break;
    case config::Sink::Type::kStdout: out.type = Type::kFile; break;
  }
  out.signals = {sink.signals.traces, sink.signals.logs, sink.signals.metrics};
  if (out.type == Type::kLoki) out.signals = {false, sink.signals.logs, false};
  if (out.type == Type::kRemoteWrite) out.signals = {false, false, true};
  out.endpoint = sink.endpoint;
  for (const auto& [name, value] : sink.headers) out.headers.emplace_back(name, value.Reveal());
  if (sink.auth.basic) {
    out.basic_user = sink.auth.basic->username;
    out.basic_password = sink.auth.basic->password.Reveal();
  }
  out.bearer_token = sink.auth.bearer.Reveal();
  out.tls.ca_file = sink.tls.ca_file;
  out.tls.cert_file = sink.tls.cert_file;
  out.tls.key_file = sink.tls.key_file;
  out.tls.server_name = sink.tls.server_name;
  out.tls.insecure_skip_verify = sink.tls.insecure_skip_verify;
  switch (sink.compression) {
    case config::Sink::Compression::kNone: out.compression = Compression::kNone; break;
    case config::Sink::Compression::kGzip: out.compression = Compression::kGzip; break;
    case config::Sink::Compression::kZstd: out.compression = Compression::kZstd; break;
  }
  out.timeout = sink.timeout;
  if (out.type == Type::kLoki) {
    out.loki_tenant = sink.tenant;
    if (!sink.labels.empty()) {
      out.loki_labels.clear();
      for (const auto& [label, attribute] : sink.labels) out.loki_labels.push_back({attribute, label});
    }
  } else if (!sink.tenant.empty()) {
    out.headers.emplace_back(out.type == Type::kOtlpGrpc ? "x-scope-orgid" : "X-Scope-OrgID", sink.tenant);
  }
  switch (sink.remote_write.protocol) {
    case config::RemoteWrite::Protocol::kAuto: out.remote_write = RemoteWrite::kAuto; break;
    case config::RemoteWrite::Protocol::kV1: out.remote_write = RemoteWrite::kV1; break;
    case config::RemoteWrite::Protocol::kV2: out.remote_write = RemoteWrite::kV2; break;
  }
  out.path = sink.type == config::Sink::Type::kStdout ? "-" : sink.path;
  // Its one lane is on one core.
  if (out.type == Type::kRemoteWrite) cores = 1;
  out.queue.max_bytes = std::max<size_t>(sink.queue.max_bytes / cores, 1 << 20);
  out.queue.on_full = sink.queue.on_full == config::Queue::OnFull::kRefuse
                          ? exporters::Lane::OnFull::kRefuse
                          : exporters::Lane::OnFull::kDropOldest;
  out.queue.backoff_min = sink.retry.initial;
  out.queue.backoff_max = sink.retry.max;
  out.dead_letter_path = sink.dead_letter;
  return out;
}

}  // namespace braid::gateway
