#include "gateway/api/api.h"

#include <boost/json.hpp>
#include <charconv>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "exporters/encode/exposition_negotiation.h"
#include "gateway/api/gateway_readings.h"
#include "gateway/api/series_view.h"
#include "gateway/api/trace_view.h"
#include "gateway/version.h"

namespace braid::gateway {
namespace {

using ingest::Request;
using ingest::Responder;
using ingest::Response;

constexpr std::string_view kTracePrefix = "/api/v1/traces/";

Response Text(int status, std::string body) {
  Response response;
  response.status = status;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::move(body);
  return response;
}

Response Json(int status, std::string body) {
  Response response;
  response.status = status;
  response.content_type = "application/json";
  response.headers.emplace_back("cache-control", "no-store");
  response.body = std::move(body);
  return response;
}

Response JsonError(int status, const std::string& message) {
  return Json(status, boost::json::serialize(boost::json::object{{"error", message}}));
}

constexpr std::string_view kIndex =
    "Braid, a correlation gateway for traces, logs and metrics.\n"
    "\n"
    "  /metrics                 derived, ingested and own metrics (?only=derived,ingested,self)\n"
    "  /api/v1/status           the account: what came, what is held, what was delivered\n"
    "  /api/v1/traces/{id}      a trace with its joined logs, as JSON (braid trace <id> draws it)\n"
    "  /api/v1/metrics/cardinality   who makes series: services and labels, most first (?top=20)\n"
    "  /api/v1/metrics/names    span names that metrics.names puts together, or would (dry_run)\n"
    "  /livez  /readyz          health\n";

// The parts of a comma-separated `only`; nothing if one is unknown.
std::optional<correlate::Selection> ParseOnly(std::string_view only) {
  correlate::Selection selection{false, false, false};
  while (!only.empty()) {
    const size_t comma = only.find(',');
    const std::string_view word = only.substr(0, comma);
    only = comma == std::string_view::npos ? std::string_view() : only.substr(comma + 1);
    if (word == "derived") {
      selection.derived = true;
    } else if (word == "ingested") {
      selection.ingested = true;
    } else if (word == "self") {
      selection.self = true;
    } else {
      return std::nullopt;
    }
  }
  return selection;
}

uint64_t UnixNow() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

}  // namespace

Api::Api(Backend& backend)
    : backend_(backend),
      telemetry_({.version = std::string(kVersion), .compiler = __VERSION__, .start_unix_ns = UnixNow()}) {}

Api::~Api() = default;

std::optional<Response> Api::Screen(Request& head) {
  if (head.method != "GET" && head.method != "HEAD") {
    Response response = JsonError(405, "only GET is served here");
    response.headers.emplace_back("allow", "GET, HEAD");
    return response;
  }
  return std::nullopt;
}

void Api::Handle(Request request, Responder responder) {
  const std::string_view path = request.path();
  if (path == "/metrics") {
    Metrics(request, std::move(responder));
  } else if (path == "/livez") {
    responder.Reply(Text(200, "ok\n"));
  } else if (path == "/readyz") {
    if (backend_.draining()) {
      responder.Reply(Text(503, "draining\n"));
    } else {
      responder.Reply(backend_.ready() ? Text(200, "ok\n") : Text(503, "starting\n"));
    }
  } else if (path == "/api/v1/status") {
    Status(std::move(responder));
  } else if (path == "/api/v1/metrics/cardinality") {
    Cardinality(request, std::move(responder));
  } else if (path == "/api/v1/metrics/names") {
    MergedNames(std::move(responder));
  } else if (path.starts_with(kTracePrefix)) {
    Trace(path.substr(kTracePrefix.size()), std::move(responder));
  } else if (path == "/") {
    responder.Reply(Text(200, std::string(kIndex)));
  } else {
    responder.Reply(JsonError(404, "nothing is served at this path; GET / lists what is"));
  }
}

void Api::Write(const correlate::Selection& selection, const GatewaySnapshot* snapshot,
                ExpositionWriter& writer) const {
  if (selection.derived) backend_.series().Write(writer);
  if (selection.self) {
    telemetry_.Write(writer, AccountOf(*snapshot),
                     [&](Readings& readings) { ReadGateway(*snapshot, readings); });
  }
  if (selection.ingested) backend_.ingested().Write(writer);
}

void Api::Metrics(const Request& request, Responder responder) {
  correlate::Selection selection;
  if (const auto only = request.QueryParameter("only")) {
    const auto parsed = ParseOnly(*only);
    if (!parsed) {
      responder.Reply(Text(400, "only: expected some of derived, ingested, self, separated by commas\n"));
      return;
    }
    selection = *parsed;
  }
  const exporters::NegotiatedExposition format =
      exporters::NegotiateExposition(request.headers.Get("accept"));
  // (std::function wants something copyable.)
  auto reply = std::make_shared<Responder>(std::move(responder));
  const auto write = [this, selection, format,
                      reply](const std::shared_ptr<const GatewaySnapshot>& snapshot) {
    // A page of more than a quarter of all memory is cut, and what is missing from it counted.
    auto writer = exporters::PageWriter::New(format.format,
                                             {.max_bytes = static_cast<size_t>(snapshot->memory_budget / 4)});
    Write(selection, snapshot.get(), *writer);
    writer->Finish();
    telemetry_.CountPage(writer->stats());
    Response response;
    response.content_type = std::string(format.content_type);
    response.pieces =
        writer->TakeChunks();  // A page of a million series is some gigabytes: not put together.
    reply->Reply(std::move(response));
  };
  backend_.Snapshot(Backend::Thread::kPages, write);
}

void Api::Status(Responder responder) {
  auto reply = std::make_shared<Responder>(std::move(responder));
  backend_.Snapshot(Backend::Thread::kQueries,
                    [reply](const std::shared_ptr<const GatewaySnapshot>& snapshot) {
                      reply->Reply(Json(200, RenderStatus(*snapshot)));
                    });
}

void Api::Cardinality(const Request& request, Responder responder) {
  size_t top = 20;
  if (const auto text = request.QueryParameter("top")) {
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), top);
    if (error != std::errc() || end != text->data() + text->size() || top == 0 || top > 10'000) {
      responder.Reply(JsonError(400, "top: expected a number from 1 to 10000"));
      return;
    }
  }
  // All series are looked at, under their owner's lock: in turn with pages.
  auto reply = std::make_shared<Responder>(std::move(responder));
  backend_.Snapshot(Backend::Thread::kPages,
                    [this, reply, top](const std::shared_ptr<const GatewaySnapshot>&) {
                      reply->Reply(Json(200, RenderCardinality(backend_.series().WhoMakesSeries(top))));
                    });
}

void Api::MergedNames(Responder responder) {
  auto reply = std::make_shared<Responder>(std::move(responder));
  backend_.Snapshot(Backend::Thread::kPages, [this, reply](const std::shared_ptr<const GatewaySnapshot>&) {
    reply->Reply(Json(200, RenderMergedNames(backend_.series().MergedNames())));
  });
}

void Api::Trace(std::string_view text, Responder responder) {
  const auto id = ParseTraceId(text);
  if (!id) {
    responder.Reply(JsonError(400, "a trace ID is 1 to 32 hex digits, not all zero"));
    return;
  }
  auto reply = std::make_shared<Responder>(std::move(responder));
  backend_.FetchTrace(*id, [id = *id, reply](const std::shared_ptr<const TraceMaterial>& material) {
    std::string body = RenderTrace(id, *material, kMaxTraceItems);
    if (!body.empty()) {
      reply->Reply(Json(200, std::move(body)));
    } else if (material->open.known) {
      reply->Reply(
          JsonError(404, "the trace was seen, but its items have left the store (see store.max_bytes)"));
    } else {
      reply->Reply(JsonError(404, "no item of this trace is in the window or the store"));
    }
  });
}

}  // namespace braid::gateway
