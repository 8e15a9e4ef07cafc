#include "ingest/receivers/otlp_receiver.h"

#include <utility>

#include "base/net/codec.h"
#include "base/wire.h"

namespace braid::ingest {
namespace {

// What a sender is told about its bad items; the located message of the first is enough.
constexpr size_t kMaxMessage = 1'024;

void Bump(std::atomic<uint64_t>& counter, uint64_t n = 1) { counter.fetch_add(n, std::memory_order_relaxed); }

// Messages may be cut only between characters; decode writes ASCII around at most a quoted key.
std::string_view Shorten(std::string_view message) {
  if (message.size() <= kMaxMessage) return message;
  size_t end = kMaxMessage;
  while (end > 0 && (static_cast<uint8_t>(message[end]) & 0xc0) == 0x80) --end;
  return message.substr(0, end);
}

Response ExportResponse(ReplyFormat format, Signal signal, uint64_t rejected, std::string_view message) {
  if (format == ReplyFormat::kGrpc) return GrpcOk(ExportResponseProto(rejected, message));
  Response response;
  if (format == ReplyFormat::kJson) {
    response.content_type = "application/json";
    response.body = ExportResponseJson(signal, rejected, message);
  } else {
    response.content_type = "application/x-protobuf";
    response.body = ExportResponseProto(rejected, message);
  }
  return response;
}

}  // namespace

ReceiveOutcome OutcomeOf(const Status& status) {
  switch (status.code()) {
    case Code::kOk: return ReceiveOutcome::kAccepted;
    case Code::kResourceExhausted: return ReceiveOutcome::kTooLarge;
    case Code::kUnimplemented: return ReceiveOutcome::kUnsupported;
    case Code::kUnauthenticated:
    case Code::kPermissionDenied: return ReceiveOutcome::kUnauthorized;
    case Code::kCancelled:
    case Code::kDeadlineExceeded:
    case Code::kAborted:
    case Code::kOutOfRange:
    case Code::kInternal:
    case Code::kUnknown:
    case Code::kDataLoss:
    case Code::kUnavailable: return ReceiveOutcome::kRefused;
    case Code::kInvalidArgument:
    case Code::kNotFound:
    case Code::kAlreadyExists:
    case Code::kFailedPrecondition: return ReceiveOutcome::kBadData;
  }
  return ReceiveOutcome::kRefused;
}

std::optional<Signal> SignalOfPath(std::string_view path, bool grpc) {
  if (grpc) {
    if (path == "/opentelemetry.proto.collector.trace.v1.TraceService/Export") return Signal::kTraces;
    if (path == "/opentelemetry.proto.collector.logs.v1.LogsService/Export") return Signal::kLogs;
    if (path == "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export") return Signal::kMetrics;
    return std::nullopt;
  }
  if (path == "/v1/traces") return Signal::kTraces;
  if (path == "/v1/logs") return Signal::kLogs;
  if (path == "/v1/metrics") return Signal::kMetrics;
  return std::nullopt;
}

std::string ExportResponseProto(uint64_t rejected, std::string_view message) {
  std::string out;
  if (rejected == 0) return out;
  std::string partial;
  wire::Writer inner(&partial);
  inner.Varint(1, rejected);
  inner.Bytes(2, message);
  wire::Writer(&out).Bytes(1, partial);
  return out;
}

std::string ExportResponseJson(Signal signal, uint64_t rejected, std::string_view message) {
  if (rejected == 0) return "{}";
  const std::string_view name = signal == Signal::kTraces ? "rejectedSpans"
                                : signal == Signal::kLogs ? "rejectedLogRecords"
                                                          : "rejectedDataPoints";
  // 64-bit integers are strings in JSON protobuf.
  return "{\"partialSuccess\":{\"" + std::string(name) + "\":\"" + std::to_string(rejected) +
         "\",\"errorMessage\":" + JsonQuote(message) + "}}";
}

struct OtlpReceiver::Pending {
  Responder responder;
  ReplyFormat format;
  OtlpTransport transport;
  Signal signal;
  size_t core;
  uint64_t rejected;
  std::string first_error;
};

OtlpReceiver::OtlpReceiver(std::vector<Decoder*> decoders, Sequencer& sequencer, SlabPool& pool,
                           Options options)
    : decoders_(std::move(decoders)),
      sequencer_(sequencer),
      pool_(pool),
      options_(std::move(options)),
      counters_(decoders_.size()) {}

void OtlpReceiver::CountOutcome(size_t core, OtlpTransport transport, Signal signal, ReceiveOutcome outcome) {
  Bump(counters_[core].requests[static_cast<size_t>(transport)][static_cast<size_t>(signal)]
                               [static_cast<size_t>(outcome)]);
}

RetryDelay OtlpReceiver::RetryDelayFor(size_t core, const Status& status) {
  if (status.code() != Code::kUnavailable) return std::nullopt;
  // A Weyl sequence: two senders refused in a row are told well-spread times.
  const uint64_t mixed =
      counters_[core].random.fetch_add(0x9e3779b97f4a7c15u, std::memory_order_relaxed) >> 33;
  const auto base = static_cast<uint64_t>(options_.retry_after.count());
  return std::chrono::milliseconds(base + mixed % (base + 1));
}

Response OtlpReceiver::Refusal(const Request& head, OtlpTransport transport, Signal signal,
                               const Status& status, int http_status, ReceiveOutcome outcome) {
  CountOutcome(head.core, transport, signal, outcome);
  return ErrorResponse(head.reply_format(), status, RetryDelayFor(head.core, status), http_status);
}

std::optional<Response> OtlpReceiver::Screen(Request& head) {
  const OtlpTransport transport = head.grpc ? OtlpTransport::kGrpc : OtlpTransport::kHttp;
  const std::optional<Signal> signal = SignalOfPath(head.path(), head.grpc);
  if (!signal) {
    Bump(counters_[head.core].unknown_path);
    if (head.grpc)
      return ErrorResponse(ReplyFormat::kGrpc, Unimplemented("unknown method " + std::string(head.path())));
    return ErrorResponse(head.reply_format(),
                         NotFound("no such path; OTLP is taken at /v1/traces, /v1/logs and /v1/metrics"));
  }
  const auto refuse = [&](const Status& status, int http_status, ReceiveOutcome outcome) {
    return Refusal(head, transport, *signal, status, http_status, outcome);
  };

  const std::string type = head.content_type();
  if (head.grpc) {
    if (type != "application/grpc" && type != "application/grpc+proto") {
      return refuse(
          Unimplemented("content-type \"" + type.substr(0, 64) + "\"; only protobuf messages are supported"),
          0, ReceiveOutcome::kUnsupported);
    }
    if (const auto encoding = net::ParseEncoding(head.headers.Get("grpc-encoding")); !encoding.ok()) {
      return refuse(Unimplemented("grpc-encoding: " + encoding.status().message()), 0,
                    ReceiveOutcome::kUnsupported);
    }
  } else {
    if (head.method != "POST") {
      Response response = refuse(Unimplemented("OTLP is sent by POST"), 405, ReceiveOutcome::kUnsupported);
      response.headers.emplace_back("allow", "POST");
      return response;
    }
    if (type != "application/x-protobuf" && type != "application/json" && type != "application/protobuf") {
      return refuse(InvalidArgument("content-type \"" + type.substr(0, 64) +
                                    "\"; supported are application/x-protobuf and application/json"),
                    415, ReceiveOutcome::kUnsupported);
    }
    if (const auto encoding = net::ParseEncoding(head.headers.Get("content-encoding")); !encoding.ok()) {
      return refuse(encoding.status().Annotate("content-encoding"), 400, ReceiveOutcome::kUnsupported);
    }
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

Result<Submission> OtlpReceiver::Decode(Request* request, Signal signal, OtlpTransport transport) {
  Slab body = std::move(request->body);
  CoreCounters& counters = counters_[request->core];
  Bump(counters.bytes[static_cast<size_t>(transport)][static_cast<size_t>(signal)], body.size());

  net::Encoding encoding = net::Encoding::kIdentity;
  if (!request->grpc || request->grpc_compressed) {
    const auto parsed =
        net::ParseEncoding(request->headers.Get(request->grpc ? "grpc-encoding" : "content-encoding"));
    if (!parsed.ok()) return parsed.status();
    encoding = *parsed;
    if (request->grpc && encoding == net::Encoding::kIdentity) {
      // gRPC's compression specification prescribes the code.
      return Internal("grpc: the message is flagged as compressed, but grpc-encoding names no compression");
    }
  }
  // An HTTP body of no bytes is an empty request, whatever its Content-Encoding says: some senders compress
  // nothing to nothing.
  if (encoding != net::Encoding::kIdentity && body.size() > 0) {
    Result<Slab> plain = net::Decompress(encoding, body.view(), options_.max_decompressed_bytes, pool_);
    if (!plain.ok()) return plain.status();
    body = std::move(plain).value();
  }
  Bump(counters.decompressed_bytes[static_cast<size_t>(transport)][static_cast<size_t>(signal)], body.size());

  Decoder& decoder = *decoders_[request->core];
  if (request->reply_format() == ReplyFormat::kJson) {
    Result<Slab> transcoded = decoder.TranscodeJson(signal, body);
    if (!transcoded.ok()) return transcoded.status();
    body = std::move(transcoded).value();
  }
  return decoder.Decode(signal, std::move(body), request->tenant);
}

void OtlpReceiver::Handle(Request request, Responder responder) {
  const OtlpTransport transport = request.grpc ? OtlpTransport::kGrpc : OtlpTransport::kHttp;
  const Signal signal =
      SignalOfPath(request.path(), request.grpc).value_or(Signal::kTraces);  // Screen() has seen it
  const ReplyFormat format = request.reply_format();

  if (const Status status = sequencer_.Screen(signal); !status.ok()) {
    return responder.Reply(Refusal(request, transport, signal, status, 0, OutcomeOf(status)));
  }
  Result<Submission> decoded = Decode(&request, signal, transport);
  if (!decoded.ok()) {
    const Status& status = decoded.status();
    if (status.code() != Code::kUnavailable) sequencer_.CountUndecodable(signal);
    // Nothing of the sender's makes the gateway fail; a fault that is not temporary is the data's.
    const ReceiveOutcome outcome =
        status.code() == Code::kInternal ? ReceiveOutcome::kBadData : OutcomeOf(status);
    return responder.Reply(Refusal(request, transport, signal, status, 0, outcome));
  }

  Submission submission = std::move(decoded).value();
  const auto pending = std::make_shared<Pending>(Pending{std::move(responder), format, transport, signal,
                                                         request.core, submission.rejected_for_sender(),
                                                         std::string(Shorten(submission.first_error))});
  sequencer_.Submit(std::move(submission), [this, pending](const Status& status) {
    if (!status.ok()) {
      CountOutcome(pending->core, pending->transport, pending->signal, OutcomeOf(status));
      return pending->responder.Reply(
          ErrorResponse(pending->format, status, RetryDelayFor(pending->core, status)));
    }
    CountOutcome(pending->core, pending->transport, pending->signal,
                 pending->rejected > 0 ? ReceiveOutcome::kPartial : ReceiveOutcome::kAccepted);
    pending->responder.Reply(
        ExportResponse(pending->format, pending->signal, pending->rejected, pending->first_error));
  });
}

OtlpReceiver::Stats OtlpReceiver::stats() const {
  Stats sum;
  const auto get = [](const std::atomic<uint64_t>& n) { return n.load(std::memory_order_relaxed); };
  for (const CoreCounters& core : counters_) {
    for (size_t t = 0; t < kOtlpTransports; ++t) {
      for (size_t s = 0; s < kSignals; ++s) {
        for (size_t o = 0; o < kReceiveOutcomes; ++o) sum.requests[t][s][o] += get(core.requests[t][s][o]);
        sum.bytes[t][s] += get(core.bytes[t][s]);
        sum.decompressed_bytes[t][s] += get(core.decompressed_bytes[t][s]);
      }
    }
    sum.unknown_path += get(core.unknown_path);
  }
  return sum;
}

}  // namespace braid::ingest
