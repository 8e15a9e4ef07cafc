#include "exporters/encode/encoding_cache.h"

#include <algorithm>
#include <utility>

namespace braid::exporters {
namespace {

std::vector<Chunk::Encoding>::iterator Find(const Chunk& chunk, std::string_view key) {
  return std::find_if(chunk.encodings.begin(), chunk.encodings.end(),
                      [key](const Chunk::Encoding& encoding) { return encoding.key == key; });
}

}  // namespace

void ExpectEncoding(const Chunk& chunk, std::string_view key) {
  const auto found = Find(chunk, key);
  if (found != chunk.encodings.end()) {
    ++found->users;
  } else {
    chunk.encodings.push_back({.key = std::string(key), .bytes = nullptr, .users = 1});
  }
}

void ForgetEncoding(const Chunk& chunk, std::string_view key) {
  const auto found = Find(chunk, key);
  if (found != chunk.encodings.end() && --found->users == 0) chunk.encodings.erase(found);
}

std::shared_ptr<const Slab> Encoded(const Chunk& chunk, std::string_view key,
                                    const std::function<Slab()>& encode) {
  const auto found = Find(chunk, key);
  if (found != chunk.encodings.end() && found->bytes != nullptr) return found->bytes;
  auto bytes = std::make_shared<const Slab>(encode());
  if (found != chunk.encodings.end()) found->bytes = bytes;
  return bytes;
}

}  // namespace braid::exporters
