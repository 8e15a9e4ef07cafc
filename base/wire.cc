#include "base/wire.h"

namespace braid::wire {
namespace {

// How deep groups may nest; protobuf's own limit is 100 for everything.
constexpr int kMaxGroupDepth = 31;

// The byte after the group whose start tag (of `number`) was just read, or nullptr.
const char* SkipGroup(const char* p, const char* end, uint32_t number, int depth) {
  if (depth > kMaxGroupDepth) return nullptr;
  while (p != nullptr) {
    uint64_t tag;
    p = ReadVarint(p, end, &tag);
    if (p == nullptr || tag >> 32 != 0 || tag >> 3 == 0) return nullptr;
    uint64_t value;
    switch (tag & 7) {
      case 0: p = ReadVarint(p, end, &value); break;
      case 1: p = end - p >= 8 ? p + 8 : nullptr; break;
      case 2:
        p = ReadVarint(p, end, &value);
        if (p != nullptr) p = value <= static_cast<uint64_t>(end - p) ? p + value : nullptr;
        break;
      case 3: p = SkipGroup(p, end, static_cast<uint32_t>(tag >> 3), depth + 1); break;
      case 4: return tag >> 3 == number ? p : nullptr;
      case 5: p = end - p >= 4 ? p + 4 : nullptr; break;
      default: return nullptr;
    }
  }
  return nullptr;
}

}  // namespace

const char* ReadVarintSlow(const char* p, const char* end, uint64_t* value) {
  uint64_t result = 0;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    if (p >= end) return nullptr;
    const uint64_t byte = static_cast<uint8_t>(*p++);
    result |= (byte & 0x7f) << shift;  // The tenth byte's upper bits fall off, as in protobuf.
    if (byte < 0x80) {
      *value = result;
      return p;
    }
  }
  return nullptr;
}

bool Cursor::Next() {
  if (p_ == end_) return false;
  field_.begin = p_;
  uint64_t tag;
  const char* p = ReadVarint(p_, end_, &tag);
  ok_ = false;
  if (p == nullptr || tag >> 32 != 0 || tag >> 3 == 0) return false;
  field_.number = static_cast<uint32_t>(tag >> 3);
  field_.type = static_cast<Type>(tag & 7);
  switch (field_.type) {
    case Type::kVarint:
      p = ReadVarint(p, end_, &field_.scalar);
      if (p == nullptr) return false;
      break;
    case Type::kFixed64:
      if (end_ - p < 8) return false;
      std::memcpy(&field_.scalar, p, 8);
      p += 8;
      break;
    case Type::kFixed32: {
      if (end_ - p < 4) return false;
      uint32_t word;
      std::memcpy(&word, p, 4);
      field_.scalar = word;
      p += 4;
      break;
    }
    case Type::kBytes: {
      uint64_t length;
      p = ReadVarint(p, end_, &length);
      if (p == nullptr || length > static_cast<uint64_t>(end_ - p)) return false;
      field_.bytes = {p, static_cast<size_t>(length)};
      p += length;
      break;
    }
    case Type::kStartGroup:
      p = SkipGroup(p, end_, field_.number, 1);
      if (p == nullptr) return false;
      field_.bytes = {field_.begin, static_cast<size_t>(p - field_.begin)};
      break;
    case Type::kEndGroup:
    default: return false;
  }
  field_.end = p;
  p_ = p;
  ok_ = true;
  return true;
}

void Writer::Raw(uint64_t varint) {
  char buffer[10];
  out_->append(buffer, static_cast<size_t>(WriteVarint(varint, buffer) - buffer));
}

void Writer::Varint(uint32_t field, uint64_t value) {
  char buffer[20];
  char* end = WriteVarint(Tag(field, Type::kVarint), buffer);
  end = WriteVarint(value, end);
  out_->append(buffer, static_cast<size_t>(end - buffer));
}

void Writer::Sint(uint32_t field, int64_t value) {
  Varint(field, static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63));
}

void Writer::Fixed64(uint32_t field, uint64_t value) {
  char buffer[10 + sizeof value];
  char* end = WriteVarint(Tag(field, Type::kFixed64), buffer);
  std::memcpy(end, &value, sizeof value);
  out_->append(buffer, static_cast<size_t>(end - buffer) + sizeof value);
}

void Writer::Fixed32(uint32_t field, uint32_t value) {
  Raw(Tag(field, Type::kFixed32));
  out_->append(reinterpret_cast<const char*>(&value), sizeof value);
}

void Writer::Double(uint32_t field, double value) {
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  Fixed64(field, bits);
}

void Writer::Bytes(uint32_t field, std::string_view bytes) {
  char buffer[20];
  char* end = WriteVarint(Tag(field, Type::kBytes), buffer);
  end = WriteVarint(bytes.size(), end);
  out_->append(buffer, static_cast<size_t>(end - buffer));
  out_->append(bytes);
}

size_t Writer::Begin(uint32_t field) {
  Raw(Tag(field, Type::kBytes));
  out_->append(4, '\0');
  return out_->size();
}

void Writer::End(size_t at) { WritePadded4(static_cast<uint32_t>(out_->size() - at), out_->data() + at - 4); }

}  // namespace braid::wire
