#include "gateway/otlp_client/otlp_client.h"

#include <grpcpp/alarm.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <list>
#include <utility>
#include <vector>

#include "base/wire.h"
#include "correlate/model/epoch.h"

namespace braid::gateway {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How long a stop request may go unnoticed.
constexpr milliseconds kGlance{50};

constexpr int kMaxResponseBytes = 64 << 10;

const std::string& Method(Signal signal) {
  static const std::string kMethods[kSignals] = {
      "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
      "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
      "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
  };
  return kMethods[static_cast<size_t>(signal)];
}

// The OTLP specification's list; RESOURCE_EXHAUSTED only with RetryInfo.
bool Retryable(grpc::StatusCode code, bool has_retry_info) {
  switch (code) {
    case grpc::StatusCode::CANCELLED:
    case grpc::StatusCode::DEADLINE_EXCEEDED:
    case grpc::StatusCode::ABORTED:
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::DATA_LOSS: return true;
    case grpc::StatusCode::RESOURCE_EXHAUSTED: return has_retry_info;
    default: return false;
  }
}

std::string Unreachable(const std::string& endpoint, std::string_view why) {
  std::string message = "cannot reach " + endpoint + ": ";
  message += why;
  return message + "; is `braid run` running?";
}

// grpc's connection errors run over several lines and name its internals; the cause is in there.
std::string Readable(const std::string& endpoint, const grpc::Status& status) {
  const std::string& text = status.error_message();
  const auto says = [&](const char* what) { return text.find(what) != std::string::npos; };
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    if (says("Connection refused")) return Unreachable(endpoint, "connection refused");
    if (says("DNS resolution failed")) return Unreachable(endpoint, "the host name does not resolve");
    if (says("failed to connect")) return Unreachable(endpoint, "no connection");
    if (says("Socket closed") || says("Connection reset")) return endpoint + ": the connection was lost";
  }
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) return endpoint + ": no answer in time";
  return endpoint + ": " + text;
}

std::string Flatten(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string out;
  if (!buffer.Dump(&slices).ok()) return out;
  for (const grpc::Slice& slice : slices)
    out.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return out;
}

// Export*ServiceResponse.partial_success: rejected_* and error_message.
void ReadPartialSuccess(std::string_view response, uint64_t* rejected, std::string* message) {
  for (wire::Cursor outer(response); outer.Next();) {
    if (outer.field().number != 1 || outer.field().type != wire::Type::kBytes) continue;
    for (wire::Cursor inner(outer.field().bytes); inner.Next();) {
      const wire::Field& field = inner.field();
      if (field.number == 1 && field.type == wire::Type::kVarint) *rejected = field.scalar;
      if (field.number == 2 && field.type == wire::Type::kBytes) *message = field.bytes;
    }
  }
}

}  // namespace

milliseconds RetryDelayOf(std::string_view status_details) {
  constexpr std::string_view kRetryInfo = "type.googleapis.com/google.rpc.RetryInfo";
  constexpr uint64_t kMaxSeconds = 86'400;
  for (wire::Cursor status(status_details); status.Next();) {
    if (status.field().number != 3 || status.field().type != wire::Type::kBytes) continue;
    std::string_view type;
    std::string_view value;
    for (wire::Cursor any(status.field().bytes); any.Next();) {
      if (any.field().type != wire::Type::kBytes) continue;
      if (any.field().number == 1) type = any.field().bytes;
      if (any.field().number == 2) value = any.field().bytes;
    }
    if (type != kRetryInfo) continue;
    uint64_t seconds = 0;
    uint64_t nanos = 0;
    for (wire::Cursor info(value); info.Next();) {
      if (info.field().number != 1 || info.field().type != wire::Type::kBytes) continue;
      for (wire::Cursor duration(info.field().bytes); duration.Next();) {
        if (duration.field().type != wire::Type::kVarint) continue;
        if (duration.field().number == 1) seconds = duration.field().scalar;
        if (duration.field().number == 2) nanos = duration.field().scalar;
      }
    }
    // Negative values arrive as huge ones; neither is a wait.
    if (seconds > kMaxSeconds || nanos >= 1'000'000'000) return milliseconds(0);
    return milliseconds(static_cast<int64_t>(seconds * 1'000 + nanos / 1'000'000));
  }
  return milliseconds(-1);
}

struct OtlpClient::Call {
  Signal signal;
  std::shared_ptr<const std::string> request;
  uint64_t items = 0;
  steady_clock::time_point first_attempt;
  int attempts = 0;
  bool backing_off = false;

  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<grpc::ClientAsyncResponseReader<grpc::ByteBuffer>> reader;
  grpc::ByteBuffer response;
  grpc::Status status;
  std::unique_ptr<grpc::Alarm> alarm;
  std::list<Call>::iterator self;
};

struct OtlpClient::Transport {
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<grpc::GenericStub> stub;
  grpc::CompletionQueue queue;
  std::list<Call> calls;
};

OtlpClient::OtlpClient(Options options)
    : options_(std::move(options)), transport_(std::make_unique<Transport>()) {
  constexpr std::string_view kScheme = "http://";  // as SDKs write it for OTLP/gRPC without TLS
  if (options_.endpoint.compare(0, kScheme.size(), kScheme) == 0) options_.endpoint.erase(0, kScheme.size());
  grpc::ChannelArguments args;
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 100);
  args.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
  args.SetMaxReceiveMessageSize(kMaxResponseBytes);
  args.SetMaxSendMessageSize(-1);
  transport_->channel =
      grpc::CreateCustomChannel(options_.endpoint, grpc::InsecureChannelCredentials(), args);
  transport_->stub = std::make_unique<grpc::GenericStub>(transport_->channel);
}

OtlpClient::~OtlpClient() {
  closing_ = true;
  CancelAll();
  while (!transport_->calls.empty()) PumpOnce(steady_clock::now() + kGlance);
  transport_->queue.Shutdown();
  void* tag;
  bool ok;
  while (transport_->queue.Next(&tag, &ok)) {
  }
}

Status OtlpClient::Connect(milliseconds patience) {
  const auto until = steady_clock::now() + patience;
  do {
    if (transport_->channel->WaitForConnected(std::chrono::system_clock::now() + kGlance)) return {};
    if (transport_->channel->GetState(true) == GRPC_CHANNEL_TRANSIENT_FAILURE && steady_clock::now() >= until)
      break;
  } while (!stopped() && steady_clock::now() < until);
  if (transport_->channel->GetState(false) == GRPC_CHANNEL_READY) return {};

  // The channel does not tell why; a call does. An OTLP request without content is answered with success.
  Call probe;
  probe.context = std::make_unique<grpc::ClientContext>();
  probe.context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(1));
  const grpc::Slice empty(std::string{});
  const grpc::ByteBuffer request(&empty, 1);
  grpc::CompletionQueue queue;
  auto reader =
      transport_->stub->PrepareUnaryCall(probe.context.get(), Method(Signal::kTraces), request, &queue);
  reader->StartCall();
  reader->Finish(&probe.response, &probe.status, &probe);
  void* tag;
  bool ok;
  queue.Next(&tag, &ok);
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  if (probe.status.ok()) return {};
  return Unavailable(Readable(options_.endpoint, probe.status));
}

bool OtlpClient::HasRoom(size_t request_bytes) const {
  if (transport_->calls.empty()) return true;
  return transport_->calls.size() < static_cast<size_t>(std::max(options_.in_flight, 1)) &&
         bytes_under_way_ + request_bytes <= options_.max_bytes;
}

void OtlpClient::Send(Signal signal, std::string request, uint64_t items) {
  while (!HasRoom(request.size())) {
    if (stopped()) CancelAll();
    PumpOnce(steady_clock::now() + kGlance);
  }
  ++counts_.requests;
  counts_.items += items;
  counts_.bytes += request.size();
  bytes_under_way_ += request.size();

  transport_->calls.emplace_back();
  Call& call = transport_->calls.back();
  call.self = std::prev(transport_->calls.end());
  call.signal = signal;
  call.request = std::make_shared<const std::string>(std::move(request));
  call.items = items;
  call.first_attempt = steady_clock::now();
  Start(&call);
}

void OtlpClient::Start(Call* call) {
  ++call->attempts;
  call->backing_off = false;
  call->context = std::make_unique<grpc::ClientContext>();
  call->context->set_deadline(std::chrono::system_clock::now() + options_.timeout);
  call->response.Clear();
  // The slice holds its own share of the bytes: the transport may still refer to them when the call is over.
  using Share = std::shared_ptr<const std::string>;
  const grpc::Slice slice(
      const_cast<char*>(call->request->data()), call->request->size(),
      [](void* share) { delete static_cast<Share*>(share); }, new Share(call->request));
  const grpc::ByteBuffer request(&slice, 1);
  call->reader = transport_->stub->PrepareUnaryCall(call->context.get(), Method(call->signal), request,
                                                    &transport_->queue);
  call->reader->StartCall();
  call->reader->Finish(&call->response, &call->status, call);
}

// Handles one completion; false if there was none until then.
bool OtlpClient::PumpOnce(steady_clock::time_point until) {
  void* tag = nullptr;
  bool ok = false;
  const auto wait = std::max(until - steady_clock::now(), steady_clock::duration::zero());
  const auto deadline = std::chrono::system_clock::now() +
                        std::chrono::duration_cast<std::chrono::system_clock::duration>(wait);
  if (transport_->queue.AsyncNext(&tag, &ok, deadline) != grpc::CompletionQueue::GOT_EVENT) return false;
  auto* call = static_cast<Call*>(tag);
  if (!call->backing_off) {
    Settle(call);
  } else if (stopped()) {
    Fail(call, {Code::kCancelled, "stopped while waiting to send again"});
  } else {
    Start(call);
  }
  return true;
}

void OtlpClient::Settle(Call* call) {
  if (call->status.ok()) {
    uint64_t rejected = 0;
    std::string message;
    ReadPartialSuccess(Flatten(call->response), &rejected, &message);
    rejected = std::min(rejected, call->items);
    ++counts_.accepted_requests;
    counts_.rejected += rejected;
    counts_.accepted += call->items - rejected;
    if (first_rejection_.empty()) first_rejection_ = std::move(message);
    Finish(call);
    return;
  }
  const milliseconds asked = RetryDelayOf(call->status.error_details());
  Status status(static_cast<Code>(std::min(static_cast<int>(call->status.error_code()), 16)),
                Readable(options_.endpoint, call->status));
  if (!Retryable(call->status.error_code(), asked.count() >= 0) || stopped()) {
    Fail(call, std::move(status));
    return;
  }
  milliseconds delay = asked;
  if (asked.count() < 0) {
    const int doublings = std::min(call->attempts - 1, 16);
    const milliseconds ceiling = std::min(options_.max_backoff, options_.initial_backoff * (1 << doublings));
    jitter_ = Mix64(jitter_ + 0x9e3779b97f4a7c15u);
    delay = milliseconds(
        static_cast<int64_t>(jitter_ % static_cast<uint64_t>(std::max<int64_t>(ceiling.count(), 1))));
  }
  if (steady_clock::now() + delay > call->first_attempt + options_.retry_for) {
    ++counts_.given_up_requests;
    Fail(call, std::move(status));
    return;
  }
  ++counts_.retries;
  call->backing_off = true;
  call->alarm = std::make_unique<grpc::Alarm>();
  call->alarm->Set(&transport_->queue, std::chrono::system_clock::now() + delay, call);
}

void OtlpClient::Fail(Call* call, Status status) {
  ++counts_.failed_requests;
  counts_.failed += call->items;
  if (first_failure_.ok()) first_failure_ = std::move(status);
  Finish(call);
}

void OtlpClient::Finish(Call* call) {
  bytes_under_way_ -= call->request->size();
  transport_->calls.erase(call->self);
}

void OtlpClient::CancelAll() {
  for (Call& call : transport_->calls) {
    if (call.backing_off) {
      call.alarm->Cancel();
    } else {
      call.context->TryCancel();
    }
  }
}

void OtlpClient::Poll(milliseconds time) {
  const auto until = steady_clock::now() + time;
  do {
    if (stopped()) return;
  } while (PumpOnce(std::min(until, steady_clock::now() + kGlance)) || steady_clock::now() < until);
}

bool OtlpClient::Flush(milliseconds patience) {
  const auto until = steady_clock::now() + patience;
  while (!transport_->calls.empty()) {
    if (steady_clock::now() >= until) return false;
    if (stopped()) CancelAll();
    PumpOnce(std::min(until, steady_clock::now() + kGlance));
  }
  return true;
}

}  // namespace braid::gateway
