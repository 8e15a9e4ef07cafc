#pragma once

#include <memory>
#include <string>

#include "gateway/api/backend.h"
#include "gateway/telemetry/self_telemetry.h"
#include "ingest/http/http_server.h"

namespace braid::gateway {

// The web listener's requests (design D15):
//
//   /metrics[?only=derived,ingested,self]   the page, in the format the Accept header asks for
//   /livez  /readyz                          200 or 503, one line of text
//   /api/v1/status                           the account, memory, window, store and lanes
//   /api/v1/traces/{id}                      a trace with its joined logs
//   /                                        what there is, as text
//
// Thread rule: Screen and Handle on any core; the work is done on the backend's threads.
// Lifetime: the backend outlives it.
class Api : public ingest::Handler {
 public:
  explicit Api(Backend& backend);
  ~Api() override;

  std::optional<ingest::Response> Screen(ingest::Request& head) override;
  void Handle(ingest::Request request, ingest::Responder responder) override;

  // What /metrics shows of `selection`, in its order. `snapshot` may be null if Braid's own metrics are not
  // selected. Background thread.
  void Write(const correlate::Selection& selection, const GatewaySnapshot* snapshot,
             ExpositionWriter& writer) const;

 private:
  static constexpr size_t kMaxTraceItems = 50'000;

  void Metrics(const ingest::Request& request, ingest::Responder responder);
  void Status(ingest::Responder responder);
  void Cardinality(const ingest::Request& request, ingest::Responder responder);
  void MergedNames(ingest::Responder responder);
  void Trace(std::string_view id, ingest::Responder responder);

  Backend& backend_;
  SelfTelemetry telemetry_;
};

// /api/v1/status. Account as in docs/architecture.md.
std::string RenderStatus(const GatewaySnapshot& snapshot);

}  // namespace braid::gateway
