#pragma once

// Reading and writing of protobuf's wire format (protobuf.dev/programming-guides/encoding), without
// generated code. Readers are bounded: no function reads at or beyond `end`.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace braid::wire {

enum class Type : uint8_t {
  kVarint = 0,
  kFixed64 = 1,
  kBytes = 2,
  kStartGroup = 3,
  kEndGroup = 4,
  kFixed32 = 5
};

constexpr uint32_t Tag(uint32_t field, Type type) { return field << 3 | static_cast<uint32_t>(type); }

// Reads a varint of up to ten bytes at `p`. Returns the byte after it, or nullptr if it runs into
// `end` or is longer than ten bytes.
const char* ReadVarintSlow(const char* p, const char* end, uint64_t* value);

inline const char* ReadVarint(const char* p, const char* end, uint64_t* value) {
  if (p < end && static_cast<uint8_t>(*p) < 0x80) [[likely]] {
    *value = static_cast<uint8_t>(*p);
    return p + 1;
  }
  return ReadVarintSlow(p, end, value);
}

inline size_t VarintSize(uint64_t value) {
  // 1 + floor(bits / 7), without a loop.
  return (static_cast<size_t>(64 - __builtin_clzll(value | 1)) * 9 + 64) / 64;
}

// Writes at `p`, which has room for VarintSize(value) bytes; returns the byte after it.
inline char* WriteVarint(uint64_t value, char* p) {
  while (value >= 0x80) {
    *p++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *p++ = static_cast<char>(value);
  return p;
}

// A varint padded to four bytes, so that a length can be filled in after its content is written.
// REQUIRES: value < 2^28.
inline void WritePadded4(uint32_t value, char* p) {
  p[0] = static_cast<char>(value | 0x80);
  p[1] = static_cast<char>(value >> 7 | 0x80);
  p[2] = static_cast<char>(value >> 14 | 0x80);
  p[3] = static_cast<char>(value >> 21 & 0x7f);
}

// One field as read by Cursor::Next().
struct Field {
  uint32_t number = 0;
  Type type = Type::kVarint;
  uint64_t scalar = 0;     // kVarint, kFixed64, kFixed32 (raw bits)
  std::string_view bytes;  // kBytes: the content; kStartGroup: from its tag to the byte after its end tag
  const char* begin = nullptr;  // the field's tag
  const char* end = nullptr;    // the byte after the field
};

// Walks the fields of one message. For bytes that decode has validated it never fails; for others
// `ok()` tells at the end. Lenient about nothing: bad tags, lengths and groups stop the walk.
//
//   for (wire::Cursor c(bytes); c.Next();) switch (c.field().number) { ... }
class Cursor {
 public:
  explicit Cursor(std::string_view message) : p_(message.data()), end_(message.data() + message.size()) {}

  // The next field; false at the end or at a malformed field.
  bool Next();
  const Field& field() const { return field_; }
  bool ok() const { return ok_; }

 private:
  const char* p_;
  const char* end_;
  Field field_;
  bool ok_ = true;
};

// Appends fields to a std::string: for the edges (translated protocols, replies, tests). The hot path
// writes into chunks directly.
class Writer {
 public:
  explicit Writer(std::string* out) : out_(out) {}

  void Varint(uint32_t field, uint64_t value);
  void Sint(uint32_t field, int64_t value);  // zigzag
  void Fixed64(uint32_t field, uint64_t value);
  void Fixed32(uint32_t field, uint32_t value);
  void Double(uint32_t field, double value);
  void Bytes(uint32_t field, std::string_view bytes);

  // A nested message: `auto at = w.Begin(1); ...; w.End(at);` Its length is four padded bytes.
  size_t Begin(uint32_t field);
  void End(size_t at);

 private:
  void Raw(uint64_t varint);

  std::string* out_;
};

}  // namespace braid::wire
