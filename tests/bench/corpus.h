#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "correlate/model/signal.h"

namespace braid::bench {

// One pre-serialised request, and where its trace IDs and times lie, so that it can be made fresh in place:
// lengths never change, so nothing is encoded again.
struct CorpusBatch {
  std::string payload;
  uint32_t items = 0;

  // Over the items: the span ID of a span, time_unix_nano of a log as generated. Salting leaves the former
  // alone and moves the latter by a known amount, so what a sink adds up can be compared with what was sent.
  uint64_t key_sum = 0;

  std::vector<uint32_t> ids;    // offsets of the first eight bytes of every trace ID
  std::vector<uint32_t> times;  // offsets of fixed64 times
  uint64_t salt = 0;            // as applied to `payload` now
  uint64_t shift = 0;

  // Makes it belong to a pass: trace IDs are XORed with a value made of `pass`, times moved by `shift_ns`
  // from those generated. Spans and logs salted with the same pass still refer to each other.
  void Salt(uint64_t pass, uint64_t shift_ns);
};

struct CorpusStats {
  uint64_t items = 0;
  uint64_t bytes = 0;
  uint64_t attributes = 0;
  uint64_t traces = 0;
  uint64_t series = 0;  // (service, span name, kind, status)
  uint64_t errors = 0;  // spans with status ERROR; logs of severity ERROR with a trace
  uint64_t resources = 0;
  uint64_t with_trace = 0;  // logs
};

struct Corpus {
  Signal signal = Signal::kTraces;
  std::vector<CorpusBatch> batches;
  CorpusStats stats;
};

struct CorpusSpec {
  uint64_t seed = 42;
  uint32_t batches = 400;  // per signal
  uint32_t items = 512;    // per batch
  uint32_t agents = 8;  // senders; each exports the spans of `services_each` services: resources per request
  uint32_t services_each = 3;
  uint32_t operations = 44;  // server operations per service
  double local = 0.7;        // share of calls that stay with one agent
  double errors = 0.02;
  uint32_t span_bytes = 495;  // aimed at, mean
  uint32_t log_bytes = 300;
  double logs_joined = 0.5;  // share of logs with trace and span ID
};

// What published figures of OTLP gateways are measured with, more or less: traces of about ten spans in
// CLIENT/SERVER pairs, spread over the requests of several agents. Deterministic for a seed.
struct Corpora {
  Corpus traces;
  Corpus logs;
};
Corpora MakeCorpora(const CorpusSpec& spec);

// The end of the time range of generated times, ns since 1970.
constexpr uint64_t kCorpusTime = 1'700'000'000'000'000'000;

// Items of a request and the sum of their keys (see CorpusBatch::key_sum), by walking the framing only. False
// if it is malformed.
struct Tally {
  uint64_t items = 0;
  uint64_t key_sum = 0;
};
bool TallyRequest(Signal signal, std::string_view request, Tally* tally);

}  // namespace braid::bench
