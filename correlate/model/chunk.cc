#include "correlate/model/chunk.h"

#include "base/wire.h"

namespace braid {

std::string_view Chunk::ItemBytes(const ChunkItem& item) const {
  const char* begin = view().data() + item.offset;
  const char* end = begin + item.size;
  uint64_t value = 0;
  const char* p = wire::ReadVarint(begin, end, &value);
  p = wire::ReadVarint(p, end, &value);
  return {p, static_cast<size_t>(end - p)};
}

}  // namespace braid
