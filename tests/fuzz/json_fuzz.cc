// Any text: the JSON transcoder neither reads nor writes out of bounds, and what it makes is well framed:
// generated protobuf parses it and the decoder takes it. The first byte chooses the signal.

#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/util/json_util.h>
#include <otlp.pb.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <string_view>

#include "ingest/decode/decoder.h"
#include "tests/support/otlp/samples.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace {

using braid::Signal;

std::unique_ptr<google::protobuf::Message> NewRequest(Signal signal) {
  switch (signal) {
    case Signal::kTraces: return std::make_unique<braid::oracle::ExportTraceServiceRequest>();
    case Signal::kLogs: return std::make_unique<braid::oracle::ExportLogsServiceRequest>();
    case Signal::kMetrics: return std::make_unique<braid::oracle::ExportMetricsServiceRequest>();
  }
  return nullptr;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static braid::SlabPool slabs({.max_bytes = 64u << 20});
  static braid::BatchPool batches;
  static braid::SlicePool slices;
  static braid::ingest::Decoder decoder({.shards = 2, .seed = 1}, batches, slices, slabs, nullptr);
  google::protobuf::SetLogHandler(nullptr);
  if (size == 0) return 0;
  const auto signal = static_cast<Signal>(data[0] % braid::kSignals);
  const braid::Slab json =
      braid::test::ToSlab(slabs, std::string_view(reinterpret_cast<const char*>(data) + 1, size - 1));
  braid::Result<braid::Slab> wire = decoder.TranscodeJson(signal, json);
  if (!wire.ok()) return 0;
  if (!NewRequest(signal)->ParseFromArray(wire->data(), static_cast<int>(wire->size()))) std::abort();
  if (!decoder.Decode(signal, std::move(*wire), 0).ok()) std::abort();
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  if (size > 1 && seed % 16 != 1) return LLVMFuzzerMutate(data, size, max_size);
  std::mt19937_64 random(seed);
  const auto signal = static_cast<Signal>(random() % braid::kSignals);
  const auto request = NewRequest(signal);
  if (!request->ParseFromString(braid::test::RandomRequest(signal, random))) return size;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(*request, &json).ok()) return size;
  json.insert(json.begin(), static_cast<char>(signal));
  if (json.size() > max_size) json.resize(max_size);
  json.copy(reinterpret_cast<char*>(data), json.size());
  return json.size();
}
