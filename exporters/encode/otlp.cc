#include "exporters/encode/otlp.h"

#include <cstring>
#include <vector>

#include "base/wire.h"
#include "exporters/encode/encoding_cache.h"

namespace braid::exporters {
namespace {

// Field numbers are the same for the three signals (opentelemetry-proto trace.proto, logs.proto,
// metrics.proto).
constexpr uint32_t kResourceField = 1;  // Export*ServiceRequest.resource_*
constexpr uint32_t kScopeField = 2;     // Resource*.scope_*

size_t FieldSize(size_t content) { return 1 + wire::VarintSize(content) + content; }

char* PutHeader(uint32_t field, size_t content, char* p) {
  *p++ = static_cast<char>(wire::Tag(field, wire::Type::kBytes));
  return wire::WriteVarint(content, p);
}

char* Put(std::string_view bytes, char* p) {
  if (!bytes.empty()) std::memcpy(p, bytes.data(), bytes.size());
  return p + bytes.size();
}

struct ScopePart {
  const ChunkGroup* group;
  uint32_t first;
  uint32_t count;
  size_t content;  // bytes of the Scope* message
};

struct ResourcePart {
  const ChunkGroup* group;  // the first of its groups
  size_t scope_begin;
  size_t scope_end;
  size_t content;  // bytes of the Resource* message
};

}  // namespace

std::string_view OtlpMethod(Signal signal) {
  switch (signal) {
    case Signal::kTraces: return "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    case Signal::kLogs: return "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    case Signal::kMetrics: return "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
  }
  return "";
}

std::string_view OtlpPath(Signal signal) {
  switch (signal) {
    case Signal::kTraces: return "/v1/traces";
    case Signal::kLogs: return "/v1/logs";
    case Signal::kMetrics: return "/v1/metrics";
  }
  return "";
}

Slab EncodeOtlp(const Chunk& chunk, uint32_t first, uint32_t count, SlabPool& slabs) {
  // Lengths come before contents, so sizes are summed first and the bytes written once.
  std::vector<ScopePart> scopes;
  std::vector<ResourcePart> resources;
  ForEachGroup(chunk, first, count, [&](const ChunkGroup& group, uint32_t begin, uint32_t part) {
    size_t content = group.scope.size;
    for (uint32_t i = begin; i < begin + part; ++i) content += chunk.items[i].size;
    if (resources.empty() || resources.back().group->resource_key != group.resource_key) {
      resources.push_back({&group, scopes.size(), scopes.size(), group.resource.size});
    }
    scopes.push_back({&group, begin, part, content});
    ++resources.back().scope_end;
    resources.back().content += FieldSize(content);
  });
  size_t total = 0;
  for (const ResourcePart& resource : resources) total += FieldSize(resource.content);

  // Memory that is needed to give the Chunk's memory back: not refused.
  Slab out = slabs.TakeUnbounded(total);
  char* p = out.data();
  for (const ResourcePart& resource : resources) {
    p = PutHeader(kResourceField, resource.content, p);
    p = Put(chunk.view(resource.group->resource), p);
    for (size_t s = resource.scope_begin; s < resource.scope_end; ++s) {
      const ScopePart& scope = scopes[s];
      p = PutHeader(kScopeField, scope.content, p);
      p = Put(chunk.view(scope.group->scope), p);
      for (uint32_t i = scope.first; i < scope.first + scope.count; ++i) {
        p = Put(chunk.view().substr(chunk.items[i].offset, chunk.items[i].size), p);
      }
    }
  }
  out.set_size(static_cast<size_t>(p - out.data()));
  return out;
}

std::string_view OtlpEncodingKey(net::Encoding compression) {
  switch (compression) {
    case net::Encoding::kIdentity: return "";
    case net::Encoding::kGzip: return "otlp+gzip";
    case net::Encoding::kDeflate: return "otlp+deflate";
    case net::Encoding::kZstd: return "otlp+zstd";
  }
  return "";
}

Body OtlpBody(const ChunkPtr& chunk, uint32_t first, uint32_t count, net::Encoding compression,
              SlabPool& slabs) {
  const bool whole = first == 0 && count == chunk->items.size();
  const bool plain = compression == net::Encoding::kIdentity;
  if (whole && plain) return {chunk->view(), chunk};
  std::shared_ptr<const Slab> bytes;
  if (whole) {
    bytes = Encoded(*chunk, OtlpEncodingKey(compression),
                    [&] { return net::Compress(compression, chunk->view(), slabs); });
  } else {
    Slab encoded = EncodeOtlp(*chunk, first, count, slabs);
    if (!plain) encoded = net::Compress(compression, encoded.view(), slabs);
    bytes = std::make_shared<const Slab>(std::move(encoded));
  }
  return {bytes->view(), bytes};
}

}  // namespace braid::exporters
