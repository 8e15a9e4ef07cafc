#include "gateway/doctor/doctor.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>
#include <thread>

#include "base/ids.h"
#include "gateway/doctor/braid_probe.h"
#include "gateway/doctor/datasource_checks.h"
#include "gateway/doctor/loki_probe.h"
#include "gateway/doctor/peer.h"
#include "gateway/doctor/prometheus_probe.h"
#include "gateway/doctor/trace_backends.h"

namespace braid::gateway::doctor {
namespace {

constexpr std::chrono::milliseconds kPause{250};

std::string RandomHex(size_t digits) {
  std::random_device random;
  std::string out = "b";  // not all zero
  while (out.size() < digits) out += "0123456789abcdef"[random() % 16];
  return out;
}

LokiOptions LokiTry(const DoctorOptions& options) {
  LokiOptions loki;
  loki.write = options.write;
  loki.now_ns = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                          std::chrono::system_clock::now().time_since_epoch())
                                          .count());
  loki.trace_id = RandomHex(32);
  loki.span_id = RandomHex(16);
  loki.looks = static_cast<int>(std::clamp<int64_t>(options.timeout / kPause, 2, 120));
  loki.pause = [] { std::this_thread::sleep_for(kPause); };
  return loki;
}

}  // namespace

Diagnosis Examine(const DoctorOptions& options) {
  Diagnosis out;
  const auto peer = [&](const std::string& url, bool tenant) {
    std::vector<std::pair<std::string, std::string>> headers;
    if (tenant && !options.org_id.empty()) headers.emplace_back("X-Scope-OrgID", options.org_id);
    return Peer(url, HttpTransport(url, options.timeout), std::move(headers));
  };

  BraidFacts facts;
  std::optional<Peer> braid;
  if (options.url.empty()) {
    SkipBraid(&out.report);
  } else {
    braid.emplace(peer(options.url, false));
    facts = ProbeBraid(*braid, &out.report);
    out.braid_missing = !facts.answered;
  }

  if (options.prometheus.empty()) {
    SkipPrometheus(&out.report);
  } else {
    Peer prometheus = peer(options.prometheus, true);
    ProbePrometheus(prometheus, facts, braid ? &*braid : nullptr, &out.report);
  }
  if (options.loki.empty()) {
    SkipLoki(&out.report);
  } else {
    Peer loki = peer(options.loki, true);
    ProbeLoki(loki, LokiTry(options), &out.report);
  }
  if (options.tempo.empty()) {
    SkipTempo(&out.report);
  } else {
    Peer tempo = peer(options.tempo, true);
    ProbeTempo(tempo, facts, &out.report);
  }
  if (options.jaeger.empty()) {
    SkipJaeger(&out.report);
  } else {
    Peer jaeger = peer(options.jaeger, false);
    ProbeJaeger(jaeger, facts, &out.report);
  }
  if (options.datasources.empty()) {
    SkipDataSources(&out.report);
  } else {
    CheckDataSources(options.datasources,
                     {.dialect_known = facts.has_page,
                      .tempo = facts.tempo,
                      .otel = facts.otel,
                      .prometheus = options.prometheus,
                      .loki = options.loki,
                      .tempo_url = options.tempo,
                      .jaeger = options.jaeger},
                     &out.report);
  }
  return out;
}

}  // namespace braid::gateway::doctor
