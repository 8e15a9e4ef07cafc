#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/slab.h"
#include "correlate/model/chunk.h"
#include "correlate/model/exposition.h"
#include "exporters/encode/metric_rounds.h"

namespace braid::exporters {

// Series as samples at one time, which is what remote write sends, instead of as a page.
//
// A Chunk of Content::kSamples has one item for each point that a producer wrote, with its labels once and
// one entry for each series it stands for: 1 for a counter, 17 for a histogram of 14 bounds. The account
// counts the entries. For span metrics that takes a fifth of the bytes of the wire's one message for each
// series (remote_write_bench), so a queue of the same size lasts five times as long; the price is that a
// refused point is refused with all of its series. Families are the Chunk's groups, described in
// ChunkGroup::scope.

// What one entry of a point is, and what it adds to the family's name.
enum class SampleKind : uint8_t {
  kPlain,     // the family's name itself: gauges, unknowns
  kTotal,     // _total
  kBucket,    // _bucket, and a label le
  kQuantile,  // the name itself, and a label quantile
  kSum,       // _sum
  kCount,     // _count
  kNative,    // the name itself: a native histogram
};
constexpr int kSampleKinds = 7;
std::string_view SampleSuffix(SampleKind kind);

// The staleness marker: a NaN with these bits, and no other.
constexpr uint64_t kStaleNan = 0x7ff0000000000002;

// A Chunk group's ChunkGroup::scope, read.
struct SampleFamily {
  MetricType type = MetricType::kUnknown;
  std::string_view name;
  std::string_view help;
  std::string_view unit;
};
SampleFamily ReadSampleFamily(std::string_view bytes);

// A Chunk item, read. Views point into the Chunk. To be used again and again.
struct SamplePoint {
  struct Exemplar {
    double value = 0;
    int64_t time_ms = 0;
    uint32_t first_label = 0;  // in exemplar_labels; sorted by name
    uint32_t label_count = 0;
  };
  struct Entry {
    SampleKind kind = SampleKind::kPlain;
    double parameter = 0;          // of le or quantile
    double value = 0;              // of all but kNative
    std::string_view native;       // kNative: a serialised Histogram, of either version of the protocol
    bool native_float = false;     // its counts are doubles
    int64_t seen_exemplar_ms = 0;  // the latest that was sent so far; 0: none
    uint32_t first_exemplar = 0;   // in exemplars
    uint32_t exemplar_count = 0;
  };

  int64_t time_ms = 0;
  int64_t created_ms = 0;     // 0: unknown
  std::vector<Label> labels;  // without __name__, le and quantile; sorted by name
  std::vector<Entry> entries;
  std::vector<Exemplar> exemplars;
  std::vector<Label> exemplar_labels;
};

// REQUIRES: `bytes` are ChunkItem::size bytes at ChunkItem::offset of a Chunk of samples.
void ReadSamplePoint(std::string_view bytes, SamplePoint* out);

// Rounds of samples for remote write. Beside which series there were it remembers which exemplars were sent,
// so that only newer ones are.
//
// Thread rule: one owner. Lifetime: the SlabPool outlives it and its Chunks.
class SampleRounds final : public MetricRounds {
 public:
  struct Options {
    // Points beyond it are left out of a round, and counted as ExpositionSkip::kPageFull.
    size_t max_bytes = size_t{64} << 20;

    // A Chunk is what one request takes if it does not have to be bisected.
    size_t chunk_bytes = size_t{512} << 10;
    uint32_t chunk_samples = 10'000;

    // Whether native histograms stay native. Otherwise a histogram that has no classic buckets is sent as one
    // with none but +Inf.
    bool native_histograms = true;
    bool exemplars = true;

    // Added to every series that has no label of that name.
    std::vector<std::pair<std::string, std::string>> external_labels;
  };

  SampleRounds(Options options, SlabPool& slabs);

 private:
  class Writer;

  std::unique_ptr<RoundWriter> NewWriter(int64_t time_ms) override;

  Options options_;
  SlabPool& slabs_;
};

}  // namespace braid::exporters
