#include "tests/unit/gateway/otlp_client/scripted_otlp_server.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>

#include <mutex>
#include <utility>

#include "base/wire.h"

namespace braid::testing {
namespace {

std::string Flatten(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string out;
  if (!buffer.Dump(&slices).ok()) return out;
  for (const grpc::Slice& slice : slices)
    out.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return out;
}

}  // namespace

struct ScriptedOtlpServer::Impl : grpc::CallbackGenericService {
  // Reads the one request, answers, and is gone.
  class Reactor : public grpc::ServerGenericBidiReactor {
   public:
    Reactor(Impl* impl, grpc::GenericCallbackServerContext* context) : impl_(impl), context_(context) {
      StartRead(&request_);
    }
    void OnReadDone(bool ok) override {
      if (!ok) {
        Finish(grpc::Status::CANCELLED);
        return;
      }
      const std::string& method = context_->method();
      Request request;
      request.signal = method.find("Trace") != std::string::npos  ? Signal::kTraces
                       : method.find("Logs") != std::string::npos ? Signal::kLogs
                                                                  : Signal::kMetrics;
      request.bytes = Flatten(request_);
      Answer told;
      {
        const std::lock_guard lock(impl_->mutex);
        impl_->requests.push_back(request);
        if (impl_->answer) told = impl_->answer(request);
      }
      const grpc::Status status(static_cast<grpc::StatusCode>(told.code), told.message, told.details);
      if (!status.ok()) {
        Finish(status);
        return;
      }
      const grpc::Slice slice(told.body);
      response_ = grpc::ByteBuffer(&slice, 1);
      StartWriteAndFinish(&response_, grpc::WriteOptions(), status);
    }
    void OnDone() override { delete this; }

   private:
    Impl* const impl_;
    grpc::GenericCallbackServerContext* const context_;
    grpc::ByteBuffer request_;
    grpc::ByteBuffer response_;
  };

  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    return new Reactor(this, context);
  }

  std::function<Answer(const Request&)> answer;
  std::mutex mutex;
  std::vector<Request> requests;
  std::unique_ptr<grpc::Server> server;
};

ScriptedOtlpServer::ScriptedOtlpServer(std::function<Answer(const Request&)> answer)
    : impl_(std::make_unique<Impl>()) {
  impl_->answer = std::move(answer);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.SetMaxReceiveMessageSize(-1);
  builder.RegisterCallbackGenericService(impl_.get());
  impl_->server = builder.BuildAndStart();
  endpoint_ = "127.0.0.1:" + std::to_string(port);
}

ScriptedOtlpServer::~ScriptedOtlpServer() {
  impl_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  impl_->server->Wait();
}

std::vector<ScriptedOtlpServer::Request> ScriptedOtlpServer::requests() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->requests;
}

std::string RetryInfo(int seconds, int nanos) {
  std::string out;
  wire::Writer w(&out);
  w.Varint(1, 14);
  const size_t any = w.Begin(3);
  w.Bytes(1, "type.googleapis.com/google.rpc.RetryInfo");
  const size_t info = w.Begin(2);
  const size_t delay = w.Begin(1);
  w.Varint(1, static_cast<uint64_t>(static_cast<int64_t>(seconds)));
  w.Varint(2, static_cast<uint64_t>(static_cast<int64_t>(nanos)));
  w.End(delay);
  w.End(info);
  w.End(any);
  return out;
}

std::string PartialSuccess(uint64_t rejected, const std::string& message) {
  std::string out;
  wire::Writer w(&out);
  const size_t partial = w.Begin(1);
  w.Varint(1, rejected);
  w.Bytes(2, message);
  w.End(partial);
  return out;
}

}  // namespace braid::testing
