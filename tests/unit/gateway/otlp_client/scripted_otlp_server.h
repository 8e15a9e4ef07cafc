#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "correlate/model/signal.h"

namespace braid::testing {

// An OTLP/gRPC server on a free port of the loopback that keeps every request and answers each as `answer`
// says.
//
// Thread rule: `answer` is called on grpc's threads, one call at a time.
class ScriptedOtlpServer {
 public:
  struct Request {
    Signal signal = Signal::kTraces;
    std::string bytes;
  };
  struct Answer {
    int code = 0;  // gRPC's
    std::string message;
    std::string details;  // grpc-status-details-bin
    std::string body;     // the Export*ServiceResponse of a success
  };

  explicit ScriptedOtlpServer(std::function<Answer(const Request&)> answer = nullptr);
  ~ScriptedOtlpServer();

  const std::string& endpoint() const { return endpoint_; }

  // What has arrived so far, in order.
  std::vector<Request> requests() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::string endpoint_;
};

// A serialised google.rpc.Status with a RetryInfo.
std::string RetryInfo(int seconds, int nanos);

// A serialised Export*ServiceResponse with a partial_success.
std::string PartialSuccess(uint64_t rejected, const std::string& message);

}  // namespace braid::testing
