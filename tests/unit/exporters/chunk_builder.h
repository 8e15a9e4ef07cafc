#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/wire.h"
#include "correlate/model/chunk.h"
#include "tests/support/otlp_builder.h"

namespace braid::test {

// A Chunk over an Export request whose resources and scopes come before their contents. Several requests may
// be appended to one another first: protobuf concatenates.
inline std::shared_ptr<Chunk> MakeChunk(Signal signal, std::string_view request, SlabPool& slabs) {
  auto chunk = std::make_shared<Chunk>();
  chunk->signal = signal;
  chunk->bytes = slabs.TakeUnbounded(request.size());
  chunk->bytes.Append(request);
  const char* base = chunk->bytes.data();
  const auto range = [base](const char* begin, const char* end) {
    return ByteRange{static_cast<uint32_t>(begin - base), static_cast<uint32_t>(end - begin)};
  };
  uint64_t key = 0;
  for (wire::Cursor r(chunk->view()); r.Next();) {
    ++key;
    const char* begin = r.field().bytes.data();
    ByteRange resource = range(begin, begin);
    for (wire::Cursor s(r.field().bytes); s.Next();) {
      if (s.field().number != 2) {
        resource = range(begin, s.field().end);
        continue;
      }
      ChunkGroup group;
      group.resource = resource;
      group.resource_key = key;
      group.first_item = static_cast<uint32_t>(chunk->items.size());
      const char* scope = s.field().bytes.data();
      group.scope = range(scope, scope);
      for (wire::Cursor i(s.field().bytes); i.Next();) {
        if (i.field().number != 2) {
          group.scope = range(scope, i.field().end);
          continue;
        }
        ChunkItem item;
        item.offset = range(i.field().begin, i.field().end).offset;
        item.size = range(i.field().begin, i.field().end).size;
        item.group = static_cast<uint32_t>(chunk->groups.size());
        chunk->items.push_back(item);
        ++group.item_count;
      }
      chunk->groups.push_back(group);
    }
  }
  chunk->count = chunk->items.size();
  return chunk;
}

// `count` spans named "<prefix>0", "<prefix>1", ... of one service.
inline std::shared_ptr<Chunk> SpanChunk(size_t count, SlabPool& slabs, const std::string& prefix = "op") {
  std::vector<SpanSpec> spans;
  for (size_t i = 0; i < count; ++i) {
    spans.push_back({.trace = {1, i + 1}, .span = i + 1, .name = prefix + std::to_string(i)});
  }
  return MakeChunk(Signal::kTraces, Traces("shop", spans), slabs);
}

inline std::shared_ptr<Chunk> LogChunk(size_t count, SlabPool& slabs) {
  std::vector<LogSpec> logs;
  for (size_t i = 0; i < count; ++i) {
    logs.push_back({.trace = {1, i + 1},
                    .span = i + 1,
                    .body = "line " + std::to_string(i),
                    .time_ns = 1'700'000'000'000'000'000 + i});
  }
  return MakeChunk(Signal::kLogs, Logs("shop", logs), slabs);
}

// Names (spans) or bodies (logs) of a Chunk's items [first, first + count).
inline std::vector<std::string> ItemNames(const Chunk& chunk, uint32_t first, uint32_t count) {
  std::vector<std::string> names;
  for (uint32_t i = first; i < first + count; ++i) {
    for (wire::Cursor c(chunk.ItemBytes(chunk.items[i])); c.Next();) {
      if (c.field().number != 5) continue;
      std::string_view name = c.field().bytes;
      if (chunk.signal == Signal::kLogs) {
        wire::Cursor any(name);
        any.Next();
        name = any.field().bytes;
      }
      names.emplace_back(name);
    }
  }
  return names;
}

}  // namespace braid::test
