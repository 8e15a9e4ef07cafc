#include "ingest/receivers/remote_write_receiver.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/net/codec.h"

namespace braid::ingest {
namespace {

void Bump(std::atomic<uint64_t>& counter, uint64_t n = 1) { counter.fetch_add(n, std::memory_order_relaxed); }

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool EqualsIgnoringCase(std::string_view a, std::string_view lower) {
  return std::equal(a.begin(), a.end(), lower.begin(), lower.end(),
                    [](char x, char y) { return (x >= 'A' && x <= 'Z' ? x + 32 : x) == y; });
}

void AddWritten(Response* response, RemoteWriteVersion version, uint64_t samples, uint64_t histograms,
                uint64_t exemplars) {
  if (version != RemoteWriteVersion::k2) return;
  const auto add = [response](std::string_view what, uint64_t n) {
    response->headers.emplace_back("x-prometheus-remote-write-" + std::string(what) + "-written",
                                   std::to_string(n));
  };
  add("samples", samples);
  add("histograms", histograms);
  add("exemplars", exemplars);
}

// The account knows fewer reasons than the receiver: its items are data points of any origin.
RejectReason AccountReason(size_t fault) {
  return fault == static_cast<size_t>(SeriesFault::kBadUtf8) ? RejectReason::kBadUtf8
                                                             : RejectReason::kBadSeries;
}

}  // namespace

std::optional<RemoteWriteVersion> RemoteWriteVersionOf(std::string_view content_type) {
  if (content_type.empty()) return RemoteWriteVersion::k1;
  const size_t semicolon = content_type.find(';');
  if (!EqualsIgnoringCase(Trim(content_type.substr(0, semicolon)), "application/x-protobuf"))
    return std::nullopt;
  RemoteWriteVersion version = RemoteWriteVersion::k1;
  for (size_t at = semicolon; at != std::string_view::npos;) {
    const size_t next = content_type.find(';', at + 1);
    const std::string_view parameter = Trim(
        content_type.substr(at + 1, next == std::string_view::npos ? std::string_view::npos : next - at - 1));
    at = next;
    const size_t equals = parameter.find('=');
    if (equals == std::string_view::npos || !EqualsIgnoringCase(Trim(parameter.substr(0, equals)), "proto"))
      continue;
    std::string_view value = Trim(parameter.substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
      value = value.substr(1, value.size() - 2);
    if (value == "prometheus.WriteRequest") {
      version = RemoteWriteVersion::k1;
    } else if (value == "io.prometheus.write.v2.Request") {
      version = RemoteWriteVersion::k2;
    } else {
      return std::nullopt;
    }
  }
  return version;
}

struct RemoteWriteReceiver::Pending {
  Responder responder;
  RemoteWriteVersion version;
  size_t core;
  RemoteWriteTranslation translation;  // without its OTLP
};

RemoteWriteReceiver::RemoteWriteReceiver(std::vector<Decoder*> decoders, Sequencer& sequencer, SlabPool& pool,
                                         Options options)
    : decoders_(std::move(decoders)),
      sequencer_(sequencer),
      pool_(pool),
      options_(std::move(options)),
      families_(options_.families),
      counters_(decoders_.size()) {
  RemoteWriteTranslator::Options translator;
  translator.max_output =
      std::min<size_t>(options_.max_decompressed_bytes, RemoteWriteTranslator::kMaxOutput);
  translator.max_tables = options_.max_decompressed_bytes * 2;
  translator.seed = options_.seed;
  for (size_t i = 0; i < decoders_.size(); ++i) {
    translators_.push_back(std::make_unique<RemoteWriteTranslator>(families_, pool_, translator));
  }
}

RemoteWriteReceiver::~RemoteWriteReceiver() = default;

Response RemoteWriteReceiver::Refusal(size_t core, RemoteWriteVersion version, const Status& status,
                                      int http_status, ReceiveOutcome outcome) {
  CoreCounters& counters = counters_[core];
  Bump(counters.requests[static_cast<size_t>(version)][static_cast<size_t>(outcome)]);
  RetryDelay retry;
  if (status.code() == Code::kUnavailable) {
    // A Weyl sequence: two senders refused in a row are told well-spread times.
    const uint64_t mixed = counters.random.fetch_add(0x9e3779b97f4a7c15u, std::memory_order_relaxed) >> 33;
    const auto base = static_cast<uint64_t>(options_.retry_after.count());
    retry = std::chrono::milliseconds(base + mixed % (base + 1));
  }
  Response response = ErrorResponse(ReplyFormat::kText, status, retry, http_status);
  AddWritten(&response, version, 0, 0, 0);
  return response;
}

std::optional<Response> RemoteWriteReceiver::Screen(Request& head) {
  if (head.grpc) {
    Bump(counters_[head.core].unknown_path);
    return ErrorResponse(ReplyFormat::kGrpc,
                         Unimplemented("no gRPC here; this is for Prometheus remote write"));
  }
  if (head.path() != "/api/v1/write" && head.path() != "/api/v1/push") {
    Bump(counters_[head.core].unknown_path);
    return ErrorResponse(ReplyFormat::kText,
                         NotFound("no such path; remote write is taken at /api/v1/write and /api/v1/push"));
  }
  const std::string_view type = head.headers.Get("content-type");
  const std::optional<RemoteWriteVersion> version = RemoteWriteVersionOf(type);
  const auto refuse = [&](const Status& status, int http_status, ReceiveOutcome outcome) {
    return Refusal(head.core, version.value_or(RemoteWriteVersion::k1), status, http_status, outcome);
  };
  if (head.method != "POST") {
    Response response =
        refuse(Unimplemented("remote write is sent by POST"), 405, ReceiveOutcome::kUnsupported);
    response.headers.emplace_back("allow", "POST");
    return response;
  }
  if (!version) {
    return refuse(InvalidArgument("content-type; supported are application/x-protobuf, with "
                                  "proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request"),
                  415, ReceiveOutcome::kUnsupported);
  }
  const std::string_view encoding = head.headers.Get("content-encoding");
  if (!encoding.empty() && !EqualsIgnoringCase(encoding, "snappy")) {
    return refuse(InvalidArgument("content-encoding; supported is snappy, in its block format"), 415,
                  ReceiveOutcome::kUnsupported);
  }
  if (options_.authenticate) {
    Result<uint32_t> tenant = options_.authenticate(head);
    if (!tenant.ok()) {
      Response response = refuse(tenant.status(), 0, OutcomeOf(tenant.status()));
      if (response.status == 401) response.headers.emplace_back("www-authenticate", "Bearer, Basic");
      return response;
    }
    head.tenant = *tenant;
  }
  return std::nullopt;
}

Result<RemoteWriteTranslation> RemoteWriteReceiver::Translate(Request* request, RemoteWriteVersion version) {
  Slab body = std::move(request->body);
  CoreCounters& counters = counters_[request->core];
  Bump(counters.bytes[static_cast<size_t>(version)], body.size());
  Result<Slab> plain = net::DecompressSnappy(body.view(), options_.max_decompressed_bytes, pool_);
  if (!plain.ok()) return plain.status();
  body.Reset();
  Bump(counters.decompressed_bytes[static_cast<size_t>(version)], plain->size());
  return translators_[request->core]->Translate(version, plain->view(), request->tenant,
                                                options_.now_seconds());
}

void RemoteWriteReceiver::Handle(Request request, Responder responder) {
  const RemoteWriteVersion version = RemoteWriteVersionOf(request.headers.Get("content-type"))
                                         .value_or(RemoteWriteVersion::k1);  // Screen() has seen it
  const size_t core = request.core;
  if (const Status status = sequencer_.Screen(Signal::kMetrics); !status.ok()) {
    return responder.Reply(Refusal(core, version, status, 0, OutcomeOf(status)));
  }
  Result<RemoteWriteTranslation> translated = Translate(&request, version);
  if (!translated.ok()) {
    const Status& status = translated.status();
    if (status.code() != Code::kUnavailable) sequencer_.CountUndecodable(Signal::kMetrics);
    return responder.Reply(Refusal(core, version, status, 0, OutcomeOf(status)));
  }
  RemoteWriteTranslation translation = std::move(translated).value();
  Result<Submission> decoded =
      decoders_[core]->Decode(Signal::kMetrics, std::move(translation.otlp), request.tenant);
  if (!decoded.ok()) {
    const Status& status = decoded.status();
    if (status.code() != Code::kUnavailable) sequencer_.CountUndecodable(Signal::kMetrics);
    return responder.Reply(Refusal(core, version, status, 0, OutcomeOf(status)));
  }
  Submission submission = std::move(decoded).value();
  for (size_t fault = 0; fault < kSeriesFaults; ++fault) {
    submission.rejected[static_cast<size_t>(AccountReason(fault))] +=
        translation.rejected_samples[fault] + translation.rejected_histograms[fault];
  }
  const auto pending =
      std::make_shared<Pending>(Pending{std::move(responder), version, core, std::move(translation)});
  sequencer_.Submit(std::move(submission),
                    [this, pending](const Status& status) { Finish(*pending, status); });
}

void RemoteWriteReceiver::Finish(Pending& pending, const Status& status) {
  if (!status.ok()) {
    return pending.responder.Reply(Refusal(pending.core, pending.version, status, 0, OutcomeOf(status)));
  }
  const RemoteWriteTranslation& t = pending.translation;
  const uint64_t samples = t.samples - t.rejected_samples_total();
  const uint64_t histograms = t.histograms - t.rejected_histograms_total();
  const uint64_t exemplars = t.exemplars - t.exemplars_dropped;
  CoreCounters& counters = counters_[pending.core];
  Bump(counters.samples_written, samples);
  Bump(counters.histograms_written, histograms);
  Bump(counters.exemplars_written, exemplars);
  Bump(counters.exemplars_dropped, t.exemplars_dropped);
  Bump(counters.assembled_samples, t.assembled_samples);
  Bump(counters.loose_samples, t.loose_samples);
  for (size_t i = 0; i < kSeriesFaults; ++i) {
    if (t.rejected_series[i] == 0) continue;
    Bump(counters.rejected_samples[i], t.rejected_samples[i]);
    Bump(counters.rejected_histograms[i], t.rejected_histograms[i]);
    Bump(counters.rejected_series[i], t.rejected_series[i]);
  }
  const ReceiveOutcome outcome = t.partial() ? ReceiveOutcome::kPartial : ReceiveOutcome::kAccepted;
  Bump(counters.requests[static_cast<size_t>(pending.version)][static_cast<size_t>(outcome)]);
  Response response;
  response.status = 204;
  if (t.partial()) {
    response.status = 400;
    response.content_type = "text/plain; charset=utf-8";
    response.body = std::to_string(samples) + " of " + std::to_string(t.samples) + " samples and " +
                    std::to_string(histograms) + " of " + std::to_string(t.histograms) +
                    " histograms were written; rejected for good:\n" + t.errors;
  }
  AddWritten(&response, pending.version, samples, histograms, exemplars);
  pending.responder.Reply(std::move(response));
}

RemoteWriteReceiver::Stats RemoteWriteReceiver::stats() const {
  Stats sum;
  const auto add = [](uint64_t* to, const std::atomic<uint64_t>& n) {
    *to += n.load(std::memory_order_relaxed);
  };
  for (const CoreCounters& core : counters_) {
    for (size_t v = 0; v < kRemoteWriteVersions; ++v) {
      for (size_t o = 0; o < kReceiveOutcomes; ++o) add(&sum.requests[v][o], core.requests[v][o]);
      add(&sum.bytes[v], core.bytes[v]);
      add(&sum.decompressed_bytes[v], core.decompressed_bytes[v]);
    }
    add(&sum.unknown_path, core.unknown_path);
    add(&sum.samples_written, core.samples_written);
    add(&sum.histograms_written, core.histograms_written);
    add(&sum.exemplars_written, core.exemplars_written);
    add(&sum.exemplars_dropped, core.exemplars_dropped);
    add(&sum.assembled_samples, core.assembled_samples);
    add(&sum.loose_samples, core.loose_samples);
    for (size_t i = 0; i < kSeriesFaults; ++i) {
      add(&sum.rejected_samples[i], core.rejected_samples[i]);
      add(&sum.rejected_histograms[i], core.rejected_histograms[i]);
      add(&sum.rejected_series[i], core.rejected_series[i]);
    }
  }
  sum.families = families_.stats();
  return sum;
}

}  // namespace braid::ingest
