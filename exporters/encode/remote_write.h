#pragma once

#include <absl/container/flat_hash_map.h>

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/slab.h"
#include "correlate/model/chunk.h"
#include "exporters/encode/samples.h"

namespace braid::exporters {

enum class RemoteWriteVersion : uint8_t {
  k1,  // prometheus.WriteRequest
  k2,  // io.prometheus.write.v2.Request, as of 2.0-rc.4: start times beside the values
};

// Points of Chunks of samples as requests of Prometheus remote write, in snappy's block format. Every series
// becomes a TimeSeries of its own with its labels sorted, le and quantile as Prometheus stores them ("1.0");
// every family in the request is described, in 1.0 by a MetricMetadata, in 2.0 with each of its series. Start
// times exist in 2.0 only.
//
// Thread rule: one owner. Bound: what it keeps between calls is scratch memory of about the largest request.
class RemoteWriteEncoder {
 public:
  struct Output {
    Slab body;
    size_t raw_bytes = 0;  // before compression
    uint64_t samples = 0;
    uint64_t histograms = 0;  // native ones
    uint64_t exemplars = 0;
  };

  // REQUIRES: a Chunk of samples, and count > 0 of its items from `first`.
  Output Encode(RemoteWriteVersion version, const Chunk& chunk, uint32_t first, uint32_t count,
                SlabPool& slabs);

 private:
  void Family1(const SampleFamily& family);
  void Point1();
  void Family2(const SampleFamily& family);
  void Point2();
  uint32_t Symbol(std::string_view text);
  void NameFamily(const SampleFamily& family);
  std::string_view Number(double value);

  Output out_;
  SamplePoint point_;
  SampleFamily family_;
  std::string request_;                               // 1.0: the request; 2.0: its series
  std::array<std::string_view, kSampleKinds> names_;  // of the family, by kind; in texts_
  std::deque<std::string> texts_;

  // How le and quantile values are written; emptied when it has grown beyond what is useful.
  absl::flat_hash_map<uint64_t, std::unique_ptr<const std::string>> numbers_;

  // 2.0. Symbols view into the chunk, texts_ and numbers_, which all stay put for one call.
  absl::flat_hash_map<std::string_view, uint32_t> symbols_;
  std::array<uint32_t, kSampleKinds> name_refs_{};  // 0: not asked for yet
  uint32_t name_label_ref_ = 0;
  std::string symbol_fields_;
  std::vector<uint32_t> label_refs_;
  std::string refs_;
  std::string part_;
  std::string metadata_;
};

// Points as JSON lines, {"labels":{...},"value":"1.5","timestamp":1700000000000}, one for each series: for
// people, and for dead letters. A native histogram has its count and sum.
void AppendSampleJson(const Chunk& chunk, uint32_t first, uint32_t count, std::string* out);

}  // namespace braid::exporters
