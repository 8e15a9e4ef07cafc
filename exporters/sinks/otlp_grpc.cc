#include "exporters/sinks/otlp_grpc.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/compression.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/slice.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "exporters/encode/encoding_cache.h"
#include "exporters/encode/otlp.h"
#include "exporters/sinks/credentials.h"
#include "exporters/sinks/reply.h"

// The C surface of gRPC is used, not grpc++: only there can a message be handed over compressed already.

namespace braid::exporters {
namespace {

namespace asio = boost::asio;

std::string_view View(const grpc_slice& slice) {
  return {reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)), GRPC_SLICE_LENGTH(slice)};
}

grpc_slice Copy(std::string_view text) { return grpc_slice_from_copied_buffer(text.data(), text.size()); }

// A slice over the body's bytes that keeps its owner until gRPC drops it.
grpc_slice HoldingSlice(Body body) {
  auto* holder = new std::shared_ptr<const void>(std::move(body.owner));
  return grpc_slice_new_with_user_data(
      const_cast<char*>(body.bytes.data()), body.bytes.size(),
      [](void* held) { delete static_cast<std::shared_ptr<const void>*>(held); }, holder);
}

// The meeting point of one core's Sink and the completion thread.
struct Port {
  Mutex mutex;
  asio::io_context* io BRAID_GUARDED_BY(mutex) = nullptr;  // null once the Sink is gone
  std::map<uint64_t, grpc_call*> calls BRAID_GUARDED_BY(mutex);

  // The core's thread only.
  std::map<uint64_t, Sink::Done> dones;
  uint64_t next_id = 1;
};

// One call, from Send() until the completion thread has read its outcome.
struct Call {
  std::shared_ptr<Port> port;
  uint64_t id = 0;
  grpc_call* call = nullptr;
  grpc_byte_buffer* request = nullptr;
  grpc_byte_buffer* response = nullptr;
  grpc_metadata_array initial;
  grpc_metadata_array trailing;
  grpc_status_code code = GRPC_STATUS_UNKNOWN;
  grpc_slice message = grpc_empty_slice();

  Call() {
    grpc_metadata_array_init(&initial);
    grpc_metadata_array_init(&trailing);
  }
  ~Call() {
    grpc_metadata_array_destroy(&initial);
    grpc_metadata_array_destroy(&trailing);
    grpc_slice_unref(message);
    if (request != nullptr) grpc_byte_buffer_destroy(request);
    if (response != nullptr) grpc_byte_buffer_destroy(response);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  SendResult Read(std::string_view sink) const {
    if (code != GRPC_STATUS_OK) {
      std::string_view details;
      for (size_t i = 0; i < trailing.count; ++i) {
        if (View(trailing.metadata[i].key) == "grpc-status-details-bin")
          details = View(trailing.metadata[i].value);
      }
      const Code known = code > GRPC_STATUS_OK && code <= GRPC_STATUS_UNAUTHENTICATED
                             ? static_cast<Code>(code)
                             : Code::kUnknown;
      return ReadGrpcError(sink, known, View(message), details);
    }
    grpc_byte_buffer_reader reader;
    if (response == nullptr || grpc_byte_buffer_reader_init(&reader, response) == 0) return {};
    const grpc_slice body = grpc_byte_buffer_reader_readall(&reader);
    SendResult result = ReadOtlpResponse(sink, View(body));
    grpc_slice_unref(body);
    grpc_byte_buffer_reader_destroy(&reader);
    return result;
  }
};

class GrpcShared final : public SinkShared {
 public:
  GrpcShared(SinkConfig config, std::unique_ptr<DeadLetter> dead_letter, SlabPool& slabs, std::string target,
             grpc_channel_credentials* credentials)
      : SinkShared(std::move(config), std::move(dead_letter)),
        slabs_(slabs),
        target_(std::move(target)),
        credentials_(credentials),
        queue_(grpc_completion_queue_create_for_next(nullptr)) {
    for (const auto& [name, value] : this->config().headers) AddMetadata(name, value);
    if (const auto authorization = AuthorizationHeader(this->config()); !authorization.empty()) {
      AddMetadata("authorization", authorization);
    }
    if (gzip()) AddMetadata(GRPC_COMPRESSION_REQUEST_ALGORITHM_MD_KEY, "gzip");
    thread_ = std::thread([this] { Complete(); });
  }

  ~GrpcShared() override {
    grpc_completion_queue_shutdown(queue_);
    thread_.join();
    grpc_completion_queue_destroy(queue_);
    for (const grpc_metadata& metadata : metadata_) {
      grpc_slice_unref(metadata.key);
      grpc_slice_unref(metadata.value);
    }
    grpc_channel_credentials_release(credentials_);
    grpc_shutdown();
  }

  std::unique_ptr<Sink> NewSink(asio::io_context& io) override;

  grpc_channel* NewChannel() const;
  bool gzip() const { return config().compression == SinkConfig::Compression::kGzip; }
  net::Encoding compression() const { return gzip() ? net::Encoding::kGzip : net::Encoding::kIdentity; }
  SlabPool& slabs() const { return slabs_; }
  grpc_completion_queue* queue() const { return queue_; }

  // Constant after construction, and outlives every call: gRPC reads it while a call starts.
  std::vector<grpc_metadata>& metadata() { return metadata_; }

 private:
  void AddMetadata(std::string_view name, std::string_view value) {
    grpc_metadata metadata = {};
    metadata.key = Copy(name);
    metadata.value = Copy(value);
    metadata_.push_back(metadata);
  }

  // The completion thread.
  void Complete();

  SlabPool& slabs_;
  const std::string target_;
  grpc_channel_credentials* const credentials_;
  grpc_completion_queue* const queue_;
  std::vector<grpc_metadata> metadata_;
  std::thread thread_;
};

class GrpcSink final : public Sink {
 public:
  GrpcSink(GrpcShared& shared, asio::io_context& io)
      : shared_(shared), channel_(shared.NewChannel()), port_(std::make_shared<Port>()) {
    for (int i = 0; i < kSignals; ++i) {
      methods_[static_cast<size_t>(i)] = grpc_channel_register_call(
          channel_, std::string(OtlpMethod(static_cast<Signal>(i))).c_str(), nullptr, nullptr);
    }
    MutexLock lock(port_->mutex);
    port_->io = &io;
  }

  ~GrpcSink() override {
    port_->dones.clear();
    {
      MutexLock lock(port_->mutex);
      port_->io = nullptr;
    }
    CancelAll();
    grpc_channel_destroy(channel_);
  }

  void Expect(const Chunk& chunk) override {
    if (shared_.gzip()) ExpectEncoding(chunk, OtlpEncodingKey(shared_.compression()));
  }
  void Forget(const Chunk& chunk) override {
    if (shared_.gzip()) ForgetEncoding(chunk, OtlpEncodingKey(shared_.compression()));
  }

  void Send(Piece piece, Done done) override {
    auto* call = new Call;  // deleted by the completion thread
    call->port = port_;
    call->id = port_->next_id++;
    call->request = Request(piece);
    const gpr_timespec timeout = gpr_time_from_nanos(shared_.config().timeout.count(), GPR_TIMESPAN);
    call->call =
        grpc_channel_create_registered_call(channel_, nullptr, GRPC_PROPAGATE_DEFAULTS, shared_.queue(),
                                            methods_[static_cast<size_t>(piece.chunk->signal)],
                                            gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), timeout), nullptr);
    port_->dones.emplace(call->id, std::move(done));
    {
      MutexLock lock(port_->mutex);
      port_->calls.emplace(call->id, call->call);
    }

    std::array<grpc_op, 6> ops = {};
    ops[0].op = GRPC_OP_SEND_INITIAL_METADATA;
    ops[0].data.send_initial_metadata.count = shared_.metadata().size();
    ops[0].data.send_initial_metadata.metadata = shared_.metadata().data();
    ops[1].op = GRPC_OP_SEND_MESSAGE;
    ops[1].data.send_message.send_message = call->request;
    ops[2].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    ops[3].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &call->initial;
    ops[4].op = GRPC_OP_RECV_MESSAGE;
    ops[4].data.recv_message.recv_message = &call->response;
    ops[5].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[5].data.recv_status_on_client.trailing_metadata = &call->trailing;
    ops[5].data.recv_status_on_client.status = &call->code;
    ops[5].data.recv_status_on_client.status_details = &call->message;
    // Fails only for arguments that are wrong in themselves; ours are checked by MakeOtlpGrpc().
    const grpc_call_error error = grpc_call_start_batch(call->call, ops.data(), ops.size(), call, nullptr);
    if (error != GRPC_CALL_OK) NotStarted(call, error);
  }

  void CancelAll() override {
    MutexLock lock(port_->mutex);
    for (const auto& [id, call] : port_->calls) grpc_call_cancel(call, nullptr);
  }

 private:
  grpc_byte_buffer* Request(const Piece& piece) {
    Body body = OtlpBody(piece.chunk, piece.first, piece.count, shared_.compression(), shared_.slabs());
    grpc_slice slice = HoldingSlice(std::move(body));
    grpc_byte_buffer* buffer = shared_.gzip()
                                   ? grpc_raw_compressed_byte_buffer_create(&slice, 1, GRPC_COMPRESS_GZIP)
                                   : grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
  }

  void NotStarted(Call* call, grpc_call_error error) {
    SendResult result;
    result.kind = SendResult::Kind::kFailed;
    result.message =
        "sink " + shared_.config().name + ": gRPC did not start a call, error " + std::to_string(error);
    MutexLock lock(port_->mutex);
    port_->calls.erase(call->id);
    grpc_call_unref(call->call);
    asio::post(*port_->io, [port = port_, id = call->id, result = std::move(result)]() mutable {
      Deliver(*port, id, std::move(result));
    });
    delete call;
  }

  friend class GrpcShared;
  static void Deliver(Port& port, uint64_t id, SendResult result) {
    const auto found = port.dones.find(id);
    if (found == port.dones.end()) return;  // The Sink is gone.
    const Done done = std::move(found->second);
    port.dones.erase(found);
    done(std::move(result));
  }

  GrpcShared& shared_;
  grpc_channel* const channel_;
  const std::shared_ptr<Port> port_;
  std::array<void*, kSignals> methods_ = {};
};

std::unique_ptr<Sink> GrpcShared::NewSink(asio::io_context& io) {
  return std::make_unique<GrpcSink>(*this, io);
}

grpc_channel* GrpcShared::NewChannel() const {
  const auto integer = [](const char* key, int value) {
    grpc_arg arg = {};
    arg.type = GRPC_ARG_INTEGER;
    arg.key = const_cast<char*>(key);
    arg.value.integer = value;
    return arg;
  };
  std::vector<grpc_arg> args = {
      integer(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1),  // else equal channels share one connection
      integer(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 30'000),
      integer(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 250),
      integer(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,
              static_cast<int>(
                  std::chrono::duration_cast<std::chrono::milliseconds>(config().connect_timeout).count())),
      integer(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000),
      integer(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000),
      integer(GRPC_ARG_ENABLE_HTTP_PROXY, 0),
      integer(GRPC_ARG_ENABLE_RETRIES, 0),  // the Lane repeats
      integer(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, static_cast<int>(kMaxReply)),
      integer(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
  };
  if (!config().tls.server_name.empty()) {
    grpc_arg name = {};
    name.type = GRPC_ARG_STRING;
    name.key = const_cast<char*>(GRPC_SSL_TARGET_NAME_OVERRIDE_ARG);
    name.value.string = const_cast<char*>(config().tls.server_name.c_str());
    args.push_back(name);
  }
  const grpc_channel_args channel_args = {args.size(), args.data()};
  return grpc_channel_create(target_.c_str(), credentials_, &channel_args);
}

void GrpcShared::Complete() {
  for (;;) {
    const grpc_event event = grpc_completion_queue_next(queue_, gpr_inf_future(GPR_CLOCK_REALTIME), nullptr);
    if (event.type == GRPC_QUEUE_SHUTDOWN) return;
    if (event.type != GRPC_OP_COMPLETE) continue;
    const std::unique_ptr<Call> call(static_cast<Call*>(event.tag));
    SendResult result = call->Read(config().name);
    {
      MutexLock lock(call->port->mutex);
      call->port->calls.erase(call->id);
      if (call->port->io != nullptr) {
        asio::post(*call->port->io, [port = call->port, id = call->id, result = std::move(result)]() mutable {
          GrpcSink::Deliver(*port, id, std::move(result));
        });
      }
    }
    grpc_call_unref(call->call);
  }
}

Status CheckMetadata(const SinkConfig& config) {
  for (const auto& [name, value] : config.headers) {
    const grpc_slice key = Copy(name);
    const grpc_slice text = Copy(value);
    const bool legal = grpc_header_key_is_legal(key) != 0 &&
                       (grpc_is_binary_header(key) != 0 || grpc_header_nonbin_value_is_legal(text) != 0);
    grpc_slice_unref(key);
    grpc_slice_unref(text);
    if (!legal || name.starts_with("grpc-")) {
      return InvalidArgument("headers: '" + name + "' is not a header that gRPC can send (lower-case name, " +
                             "printable value, not grpc-*)");
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<SinkShared>> MakeOtlpGrpc(SinkConfig config, std::unique_ptr<DeadLetter> dead_letter,
                                                 SlabPool& slabs) {
  if (config.compression == SinkConfig::Compression::kZstd) {
    return InvalidArgument("compression: gRPC has none or gzip, not zstd");
  }
  if (config.tls.insecure_skip_verify) {
    return InvalidArgument(
        "tls.insecure_skip_verify: not for OTLP/gRPC; name the receiver's CA in tls.ca_file");
  }

  std::string target = config.endpoint;
  if (target.starts_with("http://")) {
    target.erase(0, 7);
  } else if (target.starts_with("https://")) {
    target.erase(0, 8);
    config.tls.enabled = true;
  }
  while (target.ends_with('/')) target.pop_back();
  if (target.empty() || target.find('/') != std::string::npos) {
    if (!target.starts_with("unix:")) {
      return InvalidArgument("endpoint: expected host:port, http://host:port or https://host:port");
    }
  }

  // gRPC's own lines on standard error say nothing that the statuses do not, in no format of ours.
  gpr_set_log_function([](gpr_log_func_args*) {});
  grpc_init();  // paired with grpc_shutdown() in ~GrpcShared(), or below
  if (Status status = CheckMetadata(config); !status.ok()) {
    grpc_shutdown();
    return status;
  }
  grpc_channel_credentials* credentials = nullptr;
  if (config.tls.enabled) {
    const Result<TlsFiles> files = ReadTlsFiles(config.tls);
    if (!files.ok()) {
      grpc_shutdown();
      return files.status();
    }
    grpc_ssl_pem_key_cert_pair pair = {files->key.c_str(), files->certificate.c_str()};
    credentials = grpc_ssl_credentials_create_ex(files->ca.c_str(), files->key.empty() ? nullptr : &pair,
                                                 nullptr, nullptr);
  } else {
    credentials = grpc_insecure_credentials_create();
  }
  return std::unique_ptr<SinkShared>(
      new GrpcShared(std::move(config), std::move(dead_letter), slabs, std::move(target), credentials));
}

}  // namespace braid::exporters
