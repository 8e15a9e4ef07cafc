#include "gateway/cli/trace_command.h"

#include <optional>
#include <ostream>

#include "base/ids.h"
#include "base/net/fetch.h"
#include "gateway/cli/commands.h"
#include "gateway/cli/trace_view.h"

namespace braid::gateway::cli {
namespace {

// A trace of 100,000 spans is about 60 MB of JSON.
constexpr size_t kMaxAnswer = 256 << 20;

void TellUnknown(const TraceOptions& options, const std::string& id, std::ostream& err) {
  err << "trace " << id << " is not known to " << options.url << ".\n"
      << "Either\n"
      << "  - it has not arrived: is the sender's OTEL_EXPORTER_OTLP_ENDPOINT this Braid? " << options.url
      << "/api/v1/status counts what came in;\n"
      << "  - it is too old: recent traces are kept within store.max_bytes; /metrics says how far back that "
         "is;\n"
      << "  - its items were dropped by a filter rule, or by head sampling at the sender;\n"
      << "  - the ID is another trace's, or a span's (16 digits).\n";
}

}  // namespace

int ShowTrace(const TraceOptions& options, std::ostream& out, std::ostream& err) {
  const std::optional<TraceId> id = ParseTraceId(options.id);
  if (!id) {
    err << "'" << options.id.substr(0, 80)
        << "' is not a trace ID: expected up to 32 hex digits, not all zero\n";
    return kExitUsage;
  }
  const Result<net::HttpUrl> server = net::ParseHttpUrl(options.url);
  if (!server.ok() || server->tls) {
    err << "--url: "
        << (server.ok() ? "https is not supported here: use Braid's own address" : server.status().message())
        << '\n';
    return kExitUsage;
  }

  std::string base = server->target;
  while (base.ends_with('/')) base.pop_back();
  const std::string hex = ToHex(*id);
  const Result<net::HttpClient::Response> answer = net::Fetch(*server, base + "/api/v1/traces/" + hex,
                                                              {.headers = {{"Accept", "application/json"}},
                                                               .body = {},
                                                               .timeout = options.timeout,
                                                               .max_response_bytes = kMaxAnswer,
                                                               .tls = nullptr});
  if (!answer.ok()) {
    err << "no answer from " << options.url << ": " << answer.status().message()
        << "\nIs Braid running, and is this its web.listen address? `braid run` starts it; --url says where "
           "it is.\n";
    return kExitUnavailable;
  }
  if (answer->status == 404) {
    TellUnknown(options, hex, err);
    return kExitFailure;
  }
  if (answer->status != 200 || answer->truncated) {
    err << options.url << " answered with status " << answer->status
        << (answer->truncated ? ", and more than 256 MiB" : "") << '\n';
    return kExitFailure;
  }
  if (options.json) {
    out << answer->body << (answer->body.ends_with('\n') ? "" : "\n");
    return kExitOk;
  }
  const Result<std::string> view = RenderTrace(
      answer->body, {.width = options.width, .color = options.color, .attributes = options.attributes});
  if (!view.ok()) {
    err << options.url << ": " << view.status().message() << '\n';
    return kExitFailure;
  }
  out << *view;
  return kExitOk;
}

}  // namespace braid::gateway::cli
