#pragma once

// The hot part of decode, compiled twice (plain x86-64 and AVX2) and chosen at start. Everything here is
// plain data and plain functions: an inline function of a header that both builds emit could be merged by the
// linker, and then AVX2 instructions would run where there is none. tests/unit/ingest/decode checks the AVX2
// object for such symbols.

#include <cstddef>
#include <cstdint>

#include "base/ledger.h"
#include "correlate/model/epoch.h"
#include "correlate/model/item.h"

namespace braid::ingest::visitor {

// Where one shard's Items go. Its room is grown by Context::grow.
struct ShardOut {
  Item* items = nullptr;
  uint32_t size = 0;
  uint32_t capacity = 0;
  uint64_t count = 0;  // as the account counts
  // Where the current scope began, in case it has to be taken back.
  uint32_t scope_size = 0;
  uint64_t scope_count = 0;
};

constexpr uint32_t kNowhere = UINT32_MAX;

// One key of a WatchList (correlate/model/watch.h), as plain data.
struct WatchedKey {
  const char* key = nullptr;
  uint32_t size = 0;
  uint16_t next = 0;  // 1 + index of the next in the same bucket
  uint8_t classes = 0;
};

// The hashed values of a span's watched attributes, by class: see WatchList::Class.
struct Watched {
  uint64_t always = 0;
  uint64_t peer = 0;
  uint64_t database = 0;
  uint64_t address = 0;
};

// What the visitor knows and finds, for one request.
struct Context {
  // Fixed for the request. At least Slab::kPadding readable bytes follow `end`.
  const char* body = nullptr;
  const char* end = nullptr;
  Epoch epoch;
  uint32_t tenant = 0;
  int recursion_limit = 100;
  const unsigned char* secret = nullptr;  // kSecretBytes, made of epoch.seed
  ShardOut* shards = nullptr;
  void* owner = nullptr;

  // Makes room for at least one more Item of the shard.
  void (*grow)(Context* context, uint32_t shard) = nullptr;
  // A field of the scope message that is not an item, tag included.
  void (*scope_field)(Context* context, uint32_t offset, uint32_t size) = nullptr;
  // The message of an ERROR or FATAL log; returns Item::parent.
  uint64_t (*note)(Context* context, uint32_t shard, uint32_t offset, uint32_t size) = nullptr;
  // Strings that are not plain ASCII.
  bool (*valid_utf8)(const char* bytes, size_t size) = nullptr;

  // `ot=th` of a tracestate that is not empty; 0: none.
  uint64_t (*threshold)(const char* bytes, size_t size) = nullptr;
  // A span link, if links are wanted: its content, and the Item of the span that has it.
  void (*link)(Context* context, const char* begin, const char* end, const Item* item) = nullptr;

  // A Metric of which some exemplar names a trace, if votes are wanted: its content, and its Item::series.
  void (*votes)(Context* context, const char* begin, const char* end, uint64_t series) = nullptr;

  // The watched attributes. No span key is watched if watch_sizes is 0.
  uint64_t watch_sizes = 0;
  const uint16_t* watch_buckets = nullptr;
  const WatchedKey* watch_keys = nullptr;
  const WatchedKey* watch_resource = nullptr;
  uint32_t watch_resource_count = 0;
  bool watch_status_message = false;

  // Set by the caller before each scope.
  uint16_t group = 0;
  uint64_t service_hash = 0;
  uint32_t home_shard = 0;  // of items without a trace

  // Found in the current resource.
  uint32_t service_offset = 0;
  uint32_t service_size = 0;
  bool service_seen = false;
  uint64_t resource_watched = 0;  // hashed values of its watched attributes

  // Found in the current resource, scope or item.
  bool bad_utf8 = false;
  bool exemplar_trace = false;
  bool too_deep = false;  // why a function returned false; otherwise the framing is broken

  // Found in the current scope.
  uint64_t scope_accepted = 0;          // as the account counts
  uint32_t scope_items = 0;             // Items written
  uint32_t bad_scope_field = kNowhere;  // offset of the scope-level field that condemns all items
  bool bad_scope_deep = false;

  // Found in the request.
  uint64_t rejected[kRejectReasons] = {};
  uint32_t first_rejected = kNowhere;  // offset of the tag of the first rejected item or group-level field
};

constexpr size_t kSecretBytes = 192;

struct Digest128 {
  uint64_t lo;
  uint64_t hi;
};

// One build of the visitor. Functions return false when the framing is broken (or too_deep says that nesting
// is).
struct Visitor {
  // A Resource message: validates it, notes service.name.
  bool (*resource)(Context* context, const char* p, const char* end);
  // A Scope{Spans,Logs,Metrics} message: validates it and writes its Items.
  bool (*scope_spans)(Context* context, const char* p, const char* end);
  bool (*scope_logs)(Context* context, const char* p, const char* end);
  bool (*scope_metrics)(Context* context, const char* p, const char* end);
  // An unknown field whose tag (already read) is `tag`: the byte after it, or null.
  const char* (*skip)(Context* context, const char* p, const char* end, uint32_t tag, int depth);
  // Whether a string is UTF-8.
  bool (*utf8)(Context* context, const char* p, size_t size);
  uint64_t (*hash)(const void* bytes, size_t size, const unsigned char* secret, uint64_t seed);
  Digest128 (*digest)(const void* bytes, size_t size, const unsigned char* secret, uint64_t seed);
};

extern const Visitor kBaseline;
extern const Visitor kAvx2;

// Item::series of a span, from the keyed hashes of its service and name, if nothing else of it is watched.
#define BRAID_SPAN_SERIES(service_hash, name_hash, kind, status) \
  ::braid::Mix64((service_hash) ^                                \
                 ::braid::Mix64((name_hash) + static_cast<uint64_t>((kind) | (status) << 3) + 1))

// What a sampling threshold adds to it.
#define BRAID_THRESHOLD_HASH(threshold) ::braid::Mix64((threshold) + 0xd6e8feb86659fd93u)

}  // namespace braid::ingest::visitor
