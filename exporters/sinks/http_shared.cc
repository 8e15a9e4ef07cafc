#include "exporters/sinks/http_shared.h"

#include <algorithm>
#include <chrono>

#include "base/net/backoff.h"
#include "exporters/sinks/credentials.h"

namespace braid::exporters {
SendResult NotAnswered(std::string_view sink, const Status& status) {
  SendResult result;
  // Garbage instead of HTTP may be a proxy's bad minute as well as a wrong port.
  result.kind = SendResult::Kind::kRetry;
  result.message = "sink " + std::string(sink) + ": " + QuoteReply(status.message());
  return result;
}

SendResult NotTaken(std::string_view sink, const net::HttpClient::Response& response) {
  std::string text = response.body;
  auto retry_after = net::ParseRetryAfter(response.retry_after, std::chrono::system_clock::now());
  if (response.content_type.starts_with("application/x-protobuf")) {
    RpcStatus status = ReadRpcStatus(response.body);
    text = std::move(status.message);
    if (!retry_after) retry_after = status.retry_delay;
  }
  return ReadHttpError(sink, response.status, text, retry_after);
}

namespace {

// Joins "/base/" and "/v1/traces"; keeps a query.
std::string Join(std::string target, std::string_view path) {
  std::string query;
  if (const size_t at = target.find('?'); at != std::string::npos) {
    query = target.substr(at);
    target.resize(at);
  }
  while (target.ends_with('/')) target.pop_back();
  if (!target.ends_with(path)) target += path;
  return target + query;
}

}  // namespace

Result<CheckedHttp> CheckHttp(const SinkConfig& config, std::string_view (*path)(Signal)) {
  CheckedHttp out;
  bool needs_tls = false;
  for (size_t i = 0; i < kSignals; ++i) {
    if (!config.signals[i]) continue;
    const bool own = !config.signal_endpoints[i].empty();
    Result<net::HttpUrl> url = net::ParseHttpUrl(own ? config.signal_endpoints[i] : config.endpoint);
    if (!url.ok()) return url.status().Annotate(own ? "signal_endpoints" : "endpoint");
    if (config.tls.enabled && !url->tls) {
      return InvalidArgument("tls is enabled but the endpoint says http://; write https://");
    }
    const std::string_view more = path(static_cast<Signal>(i));
    if (!own && !more.empty()) url->target = Join(url->target, more);
    needs_tls = needs_tls || url->tls;
    size_t client = 0;
    while (client < out.servers.size() &&
           (out.servers[client].authority != url->authority || out.servers[client].tls != url->tls)) {
      ++client;
    }
    if (client == out.servers.size()) out.servers.push_back(*url);
    out.targets[i] = HttpTarget{std::move(*url), client};
  }
  if (out.servers.empty()) return InvalidArgument("signals: none is on");

  if (needs_tls) {
    Result<TlsFiles> files = ReadTlsFiles(config.tls);
    if (!files.ok()) return files.status();
    auto tls = net::TlsClientContext::Make({.ca_pem = std::move(files->ca),
                                            .certificate_pem = std::move(files->certificate),
                                            .key_pem = std::move(files->key),
                                            .skip_verify = config.tls.insecure_skip_verify});
    if (!tls.ok()) return tls.status().Annotate("tls");
    out.tls = std::move(*tls);
  }

  out.headers.emplace_back("User-Agent", "braid");
  for (const auto& [name, value] : config.headers) {
    if (!net::ValidHttpHeader(name, value)) {
      return InvalidArgument("headers: '" + QuoteReply(name) + "' has characters that a header cannot hold");
    }
    std::string lower = name;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    constexpr std::array<std::string_view, 6> kOurs = {"host",       "content-length",   "content-type",
                                                       "connection", "content-encoding", "transfer-encoding"};
    if (std::find(kOurs.begin(), kOurs.end(), lower) != kOurs.end()) {
      return InvalidArgument("headers: '" + name + "' is set by Braid");
    }
    out.headers.emplace_back(name, value);
  }
  if (std::string authorization = AuthorizationHeader(config); !authorization.empty()) {
    if (!net::ValidHttpHeader("Authorization", authorization)) {
      return InvalidArgument("auth: the credentials have characters that a header cannot hold");
    }
    out.headers.emplace_back("Authorization", std::move(authorization));
  }
  return out;
}

}  // namespace braid::exporters
