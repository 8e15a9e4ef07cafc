// Any bytes under rules of every kind: no crash, and what is rewritten is acceptable if the original was. The
// first byte chooses the signal.

#include <google/protobuf/stubs/logging.h>
#include <otlp.pb.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/decode/filter.h"
#include "tests/support/otlp/samples.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using braid::Signal;
using braid::ingest::Filter;

std::shared_ptr<const Filter> Rules() {
  using Action = Filter::Rule::Action;
  using Field = Filter::Condition::Field;
  std::vector<Filter::Rule> rules;
  rules.push_back({.name = "drop", .conditions = {{.field = Field::kAttribute, .key = "k", .pattern = "e"}}});
  rules.push_back({.name = "name", .conditions = {{.field = Field::kSpanName, .pattern = "launched"}}});
  rules.push_back({.name = "body", .conditions = {{.field = Field::kLogBody, .pattern = "launched"}}});
  rules.push_back({.name = "redact",
                   .action = Action::kRedact,
                   .key = "s.*",
                   .pattern = "e",
                   .replacement = "\xc3\xa9\xc3\xa9"});
  rules.push_back({.name = "whole", .action = Action::kRedact, .key = "log.*"});
  rules.push_back({.name = "remove", .action = Action::kRemove, .key = "http.*"});
  return *Filter::Create(std::move(rules));
}

bool Parses(Signal signal, std::string_view bytes) {
  const std::string text(bytes);
  switch (signal) {
    case Signal::kTraces: return braid::oracle::ExportTraceServiceRequest().ParseFromString(text);
    case Signal::kLogs: return braid::oracle::ExportLogsServiceRequest().ParseFromString(text);
    case Signal::kMetrics: return braid::oracle::ExportMetricsServiceRequest().ParseFromString(text);
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static braid::SlabPool slabs({.max_bytes = 64u << 20});
  static const std::shared_ptr<const Filter> filter = Rules();
  google::protobuf::SetLogHandler(nullptr);
  if (size == 0) return 0;
  const auto signal = static_cast<Signal>(data[0] % braid::kSignals);
  const std::string_view request(reinterpret_cast<const char*>(data) + 1, size - 1);
  const braid::Result<Filter::Outcome> outcome =
      filter->Apply(signal, braid::test::ToSlab(slabs, request), slabs);
  if (!outcome.ok()) std::abort();
  if (outcome->body && Parses(signal, request) && !Parses(signal, outcome->body.view())) std::abort();
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  std::mt19937_64 random(seed);
  if (seed % 2 == 0 && size != 0) return LLVMFuzzerMutate(data, size, max_size);
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (size < 2 || seed % 64 == 1) {
    const auto signal = static_cast<Signal>(random() % braid::kSignals);
    bytes = static_cast<char>(signal) + braid::test::RandomRequest(signal, random);
  }
  std::string request = bytes.substr(1);
  braid::test::Mutate(&request, random);
  bytes.resize(1);
  bytes += request;
  if (bytes.size() > max_size) bytes.resize(max_size);
  bytes.copy(reinterpret_cast<char*>(data), bytes.size());
  return bytes.size();
}
