#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/slab.h"
#include "correlate/model/batch.h"
#include "correlate/model/signal.h"

namespace braid {

// Where one finished item lies in its Chunk.
struct ChunkItem {
  uint64_t trace_lo = 0;  // 0: none
  uint32_t offset = 0;    // of its field's tag in Chunk::bytes
  uint32_t size = 0;      // of the whole field: tag, length, content
  uint32_t group = 0;     // index into Chunk::groups
  uint32_t count = 1;     // what the account counts: 1, or a metric's data points
};

// One (resource, scope) of a Chunk. Items of a group are adjacent, groups of a resource are adjacent.
struct ChunkGroup {
  ByteRange resource;  // whole fields of the Resource{Spans,Logs,Metrics} message other than its scopes
  ByteRange scope;     // whole fields of the Scope{Spans,Logs,Metrics} message other than its items
  uint32_t first_item = 0;
  uint32_t item_count = 0;
  uint64_t resource_key = 0;  // equal for adjacent groups of one resource
};

// Finished telemetry: kept, stamped items of one tenant, grouped by resource, as one serialised
// Export{Trace,Logs,Metrics}ServiceRequest. Frozen: a retry sends the same item bytes.
//
// The bytes are our own serialisation, or, where nothing was dropped, added or regrouped, a sender's: valid,
// but not minimal, and perhaps with fields that we do not know.
//
// Thread rule: immutable; read anywhere. `encodings` alone belongs to the shard's thread.
// Bound: about 1 MiB of content (one larger item makes a larger Chunk).
class Chunk {
 public:
  // What `bytes` are.
  enum class Content : uint8_t {
    kOtlp,     // one serialised Export{Trace,Logs,Metrics}ServiceRequest
    kSamples,  // points of the process' own series (exporters/encode/samples.h); made for one sink
  };

  Content content = Content::kOtlp;
  Signal signal = Signal::kTraces;
  bool in_order = false;  // not to be sent before earlier ones that are in order have left: rounds of metrics
  uint32_t shard = 0;
  uint32_t tenant = 0;
  uint64_t tick = 0;   // of its encoding
  uint64_t id = 0;     // unique within its shard
  uint64_t count = 0;  // sum over items
  Slab bytes;          // empty if `whole` is set
  BatchRef whole;      // a request that leaves exactly as it came: its body is the content
  std::vector<ChunkItem> items;
  std::vector<ChunkGroup> groups;

  std::string_view view() const { return whole ? whole->bytes() : bytes.view(); }
  std::string_view view(ByteRange range) const { return view().substr(range.offset, range.size); }

  // Memory of the content.
  size_t capacity() const { return whole ? whole->body.capacity() : bytes.capacity(); }

  // The serialised Span, LogRecord or Metric, without its tag and length.
  std::string_view ItemBytes(const ChunkItem& item) const;

  // An encoding made for one sink (say Loki, or gzipped OTLP) that others of the same kind reuse; keyed by
  // the exporter. Shard's thread only.
  struct Encoding {
    std::string key;
    std::shared_ptr<const Slab> bytes;  // null until the first of its users needs it
    uint32_t users = 0;                 // lanes that may still need it; the last one takes it away
  };
  mutable std::vector<Encoding> encodings;
};

using ChunkPtr = std::shared_ptr<const Chunk>;

}  // namespace braid
