#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/slab.h"
#include "base/status.h"
#include "correlate/model/chunk.h"

namespace braid::exporters {

// Log records to Loki's push request: protobuf in one snappy block (correlation.md §5).
//
// Labels come from resource attributes and the severity class only, by the configured rules, and name the
// stream. The line is the body; everything else goes to structured metadata: trace_id, span_id, severity, the
// stamps, the record's attributes, scope name, and resource attributes that are no label, in this order,
// names with all but letters, digits and _ replaced by _. Loki takes 128 entries and 64 KiB of it per line;
// what is beyond is left out, last first, and counted. The same record always becomes the same bytes, so Loki
// recognises a retry as a duplicate.
//
// Thread rule: immutable; Encode() on any thread.
class LokiEncoder {
 public:
  struct LabelRule {
    std::string attribute;  // of the resource; "severity": the record's severity class
    std::string label;
  };

  struct Options {
    std::vector<LabelRule> labels;  // of rules for one label, the first that finds a value counts
    size_t max_line_bytes = 256 << 10;
    size_t max_metadata_entries = 128;
    size_t max_metadata_bytes = 64 << 10;  // names and values
  };

  struct Output {
    Slab body;  // snappy block; nothing if entries is 0
    uint64_t entries = 0;
    uint64_t too_large = 0;    // records whose line is longer than max_line_bytes
    uint64_t unencodable = 0;  // records without any time, in a Chunk where none has one
    uint64_t shed_fields = 0;  // metadata entries left out
  };

  // Checks label names, and that not more than Loki's 15 are used.
  static Result<LokiEncoder> Make(Options options);

  // Items [first, first + count) of a Chunk of logs. Entries of a stream keep the Chunk's order.
  Output Encode(const Chunk& chunk, uint32_t first, uint32_t count, SlabPool& slabs) const;

 private:
  explicit LokiEncoder(Options options) : options_(std::move(options)) {}

  Options options_;
};

}  // namespace braid::exporters
