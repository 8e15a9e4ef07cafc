// The visitor's code. Included by visitor_baseline.cc and visitor_avx2.cc only; see visitor.h for why
// nothing here may be visible outside of its translation unit.
//
// Every function that takes (p, end) reads only fields that lie before `end`, but may load up to 63
// bytes beyond it, which a Slab's padding allows.

#if !defined(BRAID_VISITOR)
#error "include through visitor_baseline.cc or visitor_avx2.cc"
#endif

#define XXH_INLINE_ALL
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#if defined(__AVX2__)
#include <immintrin.h>
#else
#include <emmintrin.h>
#endif

#include "correlate/model/stamp.h"
#include "correlate/model/watch.h"
#include "ingest/decode/visitor.h"

namespace braid::ingest::visitor {
namespace {

#define BRAID_INLINE __attribute__((always_inline)) inline
#define BRAID_NOINLINE __attribute__((noinline))
#define BRAID_LIKELY(x) __builtin_expect(!!(x), 1)
#define BRAID_UNLIKELY(x) __builtin_expect(!!(x), 0)

using Bytes = const char*;

BRAID_INLINE uint8_t Byte(Bytes p) { return static_cast<uint8_t>(*p); }

BRAID_INLINE uint64_t Load64(Bytes p) {
  uint64_t word;
  __builtin_memcpy(&word, p, sizeof word);
  return word;
}

BRAID_INLINE uint32_t Load32(Bytes p) {
  uint32_t word;
  __builtin_memcpy(&word, p, sizeof word);
  return word;
}

BRAID_INLINE uint64_t LoadBig64(Bytes p) { return __builtin_bswap64(Load64(p)); }

// The first four bytes of a key, as Load32 sees them.
constexpr uint32_t Four(char a, char b, char c, char d) {
  return static_cast<uint32_t>(a) | static_cast<uint32_t>(b) << 8 | static_cast<uint32_t>(c) << 16 |
         static_cast<uint32_t>(d) << 24;
}

BRAID_INLINE bool Equals(Bytes p, size_t size, const char* word, size_t word_size) {
  return size == word_size && __builtin_memcmp(p, word, word_size) == 0;
}
#define BRAID_IS(p, size, literal) Equals(p, size, literal, sizeof(literal) - 1)

// ---- strings ----

#if defined(__AVX2__)
BRAID_INLINE uint32_t HighBits32(Bytes p) {
  return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
}

BRAID_INLINE bool IsAscii(Bytes p, size_t size) {
  if (BRAID_LIKELY(size <= 32)) return _bzhi_u32(HighBits32(p), static_cast<uint32_t>(size)) == 0;
  const Bytes last = p + size - 32;
  __m256i any = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(last));
  for (; p < last; p += 32) {
    any = _mm256_or_si256(any, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  return _mm256_movemask_epi8(any) == 0;
}
#else
BRAID_INLINE uint32_t HighBits16(Bytes p) {
  return static_cast<uint32_t>(_mm_movemask_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

BRAID_INLINE bool IsAscii(Bytes p, size_t size) {
  if (BRAID_LIKELY(size <= 16)) return (HighBits16(p) & ((1u << size) - 1)) == 0;
  const Bytes last = p + size - 16;
  __m128i any = _mm_loadu_si128(reinterpret_cast<const __m128i*>(last));
  for (; p < last; p += 16) any = _mm_or_si128(any, _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm_movemask_epi8(any) == 0;
}
#endif

BRAID_INLINE void CheckString(Context* context, Bytes p, size_t size) {
  if (BRAID_LIKELY(IsAscii(p, size))) return;
  if (!context->valid_utf8(p, size)) context->bad_utf8 = true;
}

// ---- varints, lengths, tags ----

BRAID_NOINLINE Bytes ReadTagSlow(Bytes p, Bytes end, uint32_t* tag) {
  uint64_t result = 0;
  for (unsigned i = 0; i < 5; ++i) {
    if (p == end) return nullptr;
    const uint64_t byte = Byte(p++);
    result |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      if (result >> 32 != 0) return nullptr;
      *tag = static_cast<uint32_t>(result);
      return p;
    }
  }
  return nullptr;
}

// REQUIRES: p < end.
BRAID_INLINE Bytes ReadTag(Bytes p, Bytes end, uint32_t* tag) {
  const uint32_t first = Byte(p);
  if (BRAID_LIKELY(first < 0x80)) {
    *tag = first;
    return p + 1;
  }
  return ReadTagSlow(p, end, tag);
}

BRAID_NOINLINE Bytes ReadVarintLong(Bytes p, Bytes end, uint64_t* value) {
  uint64_t result = 0;
  for (unsigned i = 0; i < 10; ++i) {
    if (p == end) return nullptr;
    const uint64_t byte = Byte(p++);
    result |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      *value = result;
      return p;
    }
  }
  return nullptr;
}

BRAID_INLINE Bytes ReadVarint(Bytes p, Bytes end, uint64_t* value) {
  if (BRAID_LIKELY(p < end && Byte(p) < 0x80)) {
    *value = Byte(p);
    return p + 1;
  }
  return ReadVarintLong(p, end, value);
}

BRAID_NOINLINE Bytes ReadLengthSlow(Bytes p, Bytes end, size_t* size) {
  uint64_t result = 0;
  for (unsigned i = 0; i < 5; ++i) {
    if (p >= end) return nullptr;
    const uint64_t byte = Byte(p++);
    result |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      if (result > static_cast<uint64_t>(end - p)) return nullptr;
      *size = result;
      return p;
    }
  }
  return nullptr;
}

// A length of at most five bytes that fits before `end`: the first byte of the content.
BRAID_INLINE Bytes ReadLength(Bytes p, Bytes end, size_t* size) {
  // One byte, two bytes: what nearly every length is. Bytes beyond `end` are readable, and rejected by the
  // check.
  const uint32_t first = Byte(p);
  if (BRAID_LIKELY(first < 0x80)) {
    *size = first;
    return BRAID_LIKELY(static_cast<int64_t>(first) < end - p) ? p + 1 : nullptr;
  }
  const uint32_t second = Byte(p + 1);
  if (BRAID_LIKELY(second < 0x80)) {
    const uint32_t value = (first & 0x7f) | second << 7;
    *size = value;
    return BRAID_LIKELY(static_cast<int64_t>(value) + 1 < end - p) ? p + 2 : nullptr;
  }
  return ReadLengthSlow(p, end, size);
}

// ---- unknown fields ----

// Groups as deep as wire::Cursor follows them, which reads these bytes later.
constexpr int kMaxGroupDepth = 31;

BRAID_NOINLINE Bytes SkipUnknown(Context* context, Bytes p, Bytes end, uint32_t tag, int depth, int groups);

BRAID_NOINLINE Bytes SkipGroup(Context* context, Bytes p, Bytes end, uint32_t start, int depth, int groups) {
  if (depth <= 0 || groups >= kMaxGroupDepth) {
    context->too_deep = true;
    return nullptr;
  }
  while (p != nullptr && p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (p == nullptr) return nullptr;
    if ((tag & 7) == 4) return tag >> 3 == start >> 3 ? p : nullptr;
    p = SkipUnknown(context, p, end, tag, depth - 1, groups + 1);
  }
  return nullptr;
}

Bytes SkipUnknown(Context* context, Bytes p, Bytes end, uint32_t tag, int depth, int groups) {
  if (tag >> 3 == 0) return nullptr;
  uint64_t value;
  size_t size;
  switch (tag & 7) {
    case 0: return ReadVarint(p, end, &value);
    case 1: return end - p >= 8 ? p + 8 : nullptr;
    case 2: p = ReadLength(p, end, &size); return p == nullptr ? nullptr : p + size;
    case 3: return SkipGroup(context, p, end, tag, depth, groups);
    case 5: return end - p >= 4 ? p + 4 : nullptr;
    default: return nullptr;
  }
}

// `depth` is how many more levels may open inside the message at hand.
BRAID_NOINLINE Bytes Skip(Context* context, Bytes p, Bytes end, uint32_t tag, int depth) {
  return SkipUnknown(context, p, end, tag, depth, 0);
}

// The tag of a field, as generated protobuf names its parts.
constexpr uint32_t kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;
constexpr uint32_t T(uint32_t number, uint32_t type) { return number << 3 | type; }

// Cases that need no more than validation. They continue the loop of BRAID_FIELDS with `p` after the field.
#define BRAID_CASE_VARINT(number)                   \
  case T(number, kVarint): {                        \
    uint64_t ignored;                               \
    p = ReadVarint(p, end, &ignored);               \
    if (BRAID_UNLIKELY(p == nullptr)) return false; \
    break;                                          \
  }
#define BRAID_CASE_FIXED64(number)                 \
  case T(number, kFixed64):                        \
    if (BRAID_UNLIKELY(end - p < 8)) return false; \
    p += 8;                                        \
    break;
#define BRAID_CASE_FIXED32(number)                 \
  case T(number, kFixed32):                        \
    if (BRAID_UNLIKELY(end - p < 4)) return false; \
    p += 4;                                        \
    break;
#define BRAID_CASE_BYTES(number)                    \
  case T(number, kBytes): {                         \
    size_t size;                                    \
    p = ReadLength(p, end, &size);                  \
    if (BRAID_UNLIKELY(p == nullptr)) return false; \
    p += size;                                      \
    break;                                          \
  }
#define BRAID_CASE_STRING(number)                   \
  case T(number, kBytes): {                         \
    size_t size;                                    \
    p = ReadLength(p, end, &size);                  \
    if (BRAID_UNLIKELY(p == nullptr)) return false; \
    CheckString(context, p, size);                  \
    p += size;                                      \
    break;                                          \
  }
// A nested message whose walker is called with its content; it may open depth - 1 levels.
#define BRAID_CASE_MESSAGE(number, walk)                     \
  case T(number, kBytes): {                                  \
    size_t size;                                             \
    p = ReadLength(p, end, &size);                           \
    if (BRAID_UNLIKELY(p == nullptr)) return false;          \
    if (BRAID_UNLIKELY(depth <= 0)) return TooDeep(context); \
    if (BRAID_UNLIKELY(!(walk))) return false;               \
    p += size;                                               \
    break;                                                   \
  }
#define BRAID_CASE_OTHER()                          \
  default:                                          \
    p = Skip(context, p, end, tag, depth);          \
    if (BRAID_UNLIKELY(p == nullptr)) return false; \
    break;

BRAID_NOINLINE bool TooDeep(Context* context) {
  context->too_deep = true;
  return false;
}

// ---- attributes ----

// What the walk of a KeyValue or AnyValue found. Only the last member of the oneof counts.
struct Found {
  Bytes key = nullptr;
  size_t key_size = 0;
  Bytes text = nullptr;  // a string value, else null
  size_t text_size = 0;
  Bytes value = nullptr;  // bytes that tell values apart: the AnyValue, or all of an unusual KeyValue
  size_t value_size = 0;
};

bool WalkAnyValue(Context* context, Bytes p, Bytes end, int depth, Found* found);

BRAID_NOINLINE bool WalkKeyValue(Context* context, Bytes p, Bytes end, int depth, Found* found) {
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (BRAID_UNLIKELY(p == nullptr)) return false;
    switch (tag) {
      case T(1, kBytes): {
        size_t size;
        p = ReadLength(p, end, &size);
        if (BRAID_UNLIKELY(p == nullptr)) return false;
        CheckString(context, p, size);
        found->key = p;
        found->key_size = size;
        p += size;
        break;
      }
        BRAID_CASE_MESSAGE(2, WalkAnyValue(context, p, p + size, depth - 1, found))
        BRAID_CASE_OTHER()
    }
  }
  return true;
}

BRAID_NOINLINE bool WalkArray(Context* context, Bytes p, Bytes end, int depth) {
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (BRAID_UNLIKELY(p == nullptr)) return false;
    Found ignored;
    switch (tag) {
      BRAID_CASE_MESSAGE(1, WalkAnyValue(context, p, p + size, depth - 1, &ignored))
      BRAID_CASE_OTHER()
    }
  }
  return true;
}

BRAID_NOINLINE bool WalkKeyValueList(Context* context, Bytes p, Bytes end, int depth) {
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (BRAID_UNLIKELY(p == nullptr)) return false;
    Found ignored;
    switch (tag) {
      BRAID_CASE_MESSAGE(1, WalkKeyValue(context, p, p + size, depth - 1, &ignored))
      BRAID_CASE_OTHER()
    }
  }
  return true;
}

BRAID_NOINLINE bool WalkAnyValue(Context* context, Bytes p, Bytes end, int depth, Found* found) {
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (BRAID_UNLIKELY(p == nullptr)) return false;
    uint64_t ignored;
    size_t size;
    switch (tag) {
      case T(1, kBytes):
        p = ReadLength(p, end, &size);
        if (BRAID_UNLIKELY(p == nullptr)) return false;
        CheckString(context, p, size);
        found->text = p;
        found->text_size = size;
        p += size;
        break;
      case T(2, kVarint):
      case T(3, kVarint):
        p = ReadVarint(p, end, &ignored);
        if (BRAID_UNLIKELY(p == nullptr)) return false;
        found->text = nullptr;
        break;
      case T(4, kFixed64):
        if (BRAID_UNLIKELY(end - p < 8)) return false;
        p += 8;
        found->text = nullptr;
        break;
      case T(5, kBytes):
      case T(6, kBytes):
        p = ReadLength(p, end, &size);
        if (BRAID_UNLIKELY(p == nullptr)) return false;
        if (BRAID_UNLIKELY(depth <= 0)) return TooDeep(context);
        if (tag == T(5, kBytes) ? !WalkArray(context, p, p + size, depth - 1)
                                : !WalkKeyValueList(context, p, p + size, depth - 1)) {
          return false;
        }
        p += size;
        found->text = nullptr;
        break;
      case T(7, kBytes):
        p = ReadLength(p, end, &size);
        if (BRAID_UNLIKELY(p == nullptr)) return false;
        p += size;
        found->text = nullptr;
        break;
        BRAID_CASE_OTHER()
    }
  }
  return true;
}

// The shape nearly every attribute has: key, then one scalar value, all lengths of one byte.
// False for any other shape, which says nothing about validity. REQUIRES: at least two levels may open.
BRAID_INLINE bool QuickKeyValue(Context* context, Bytes p, size_t size, Found* found) {
  if (BRAID_UNLIKELY(Byte(p) != T(1, kBytes))) return false;
  const size_t key_size = Byte(p + 1);
  // Key, its tag and length, the value's tag and length, and at least a tag in the value.
  if (BRAID_UNLIKELY(key_size >= 0x80 || key_size + 5 > size)) return false;
  const Bytes value = p + 2 + key_size;
  const size_t value_size = Byte(value + 1);
  if (BRAID_UNLIKELY(Byte(value) != T(2, kBytes) || value_size >= 0x80 ||
                     key_size + 4 + value_size != size)) {
    return false;
  }
  const Bytes content = value + 2;
  const uint8_t tag = Byte(content);
  if (BRAID_LIKELY(tag == T(1, kBytes))) {
    const size_t text_size = Byte(content + 1);
    if (BRAID_UNLIKELY(text_size + 2 != value_size)) return false;  // text_size < 0x80 follows.
    found->text = content + 2;
    found->text_size = text_size;
    CheckString(context, content + 2, text_size);
  } else if (tag == T(3, kVarint) || tag == T(2, kVarint)) {
    // A varint that ends exactly where the value does.
    if (BRAID_LIKELY(value_size == 2)) {
      if (Byte(content + 1) >= 0x80) return false;
    } else {
      if (value_size < 2 || value_size > 9) return false;
      const uint64_t all = ~uint64_t{0} >> (64 - 8 * (value_size - 1));
      const uint64_t stops = ~Load64(content + 1) & 0x8080808080808080u & all;
      if (stops != uint64_t{1} << (8 * (value_size - 1) - 1)) return false;
    }
  } else if (tag == T(4, kFixed64)) {
    if (value_size != 9) return false;
  } else {
    return false;
  }
  found->key = p + 2;
  found->key_size = key_size;
  found->value = content;
  found->value_size = value_size;
  CheckString(context, p + 2, key_size);
  return true;
}

BRAID_INLINE bool WalkAttribute(Context* context, Bytes p, size_t size, int depth, Found* found) {
  if (BRAID_LIKELY(depth >= 1 && QuickKeyValue(context, p, size, found))) return true;
  found->value = p;
  found->value_size = size;
  return WalkKeyValue(context, p, p + size, depth, found);
}

// ---- watched attributes ----

BRAID_INLINE uint64_t HashOf(Context* context, Bytes p, size_t size) {
  return XXH3_64bits_withSecretandSeed(p, size, context->secret, kSecretBytes, context->epoch.seed);
}

// A sum, because the order of attributes means nothing. A key that occurs twice counts twice, which only
// tells more spans apart than need be.
BRAID_INLINE uint64_t WatchedHash(Context* context, const Found* found, uint64_t index) {
  return Mix64(HashOf(context, found->value, found->value_size) + (index + 1) * 0x9e3779b97f4a7c15u);
}

BRAID_NOINLINE void Watch(Context* context, const Found* found, Watched* watched) {
  if (found->key_size == 0) return;
  uint32_t at = context->watch_buckets[BRAID_WATCH_BUCKET(found->key, found->key_size)];
  for (; at != 0; at = context->watch_keys[at - 1].next) {
    const WatchedKey& watch = context->watch_keys[at - 1];
    if (!Equals(found->key, found->key_size, watch.key, watch.size)) continue;
    const uint64_t hash = WatchedHash(context, found, at);
    if ((watch.classes & WatchList::kAlways) != 0) watched->always += hash;
    if ((watch.classes & WatchList::kPeer) != 0) watched->peer += hash;
    if ((watch.classes & WatchList::kDatabase) != 0) watched->database += hash;
    if ((watch.classes & WatchList::kAddress) != 0) watched->address += hash;
    return;
  }
}

BRAID_NOINLINE void WatchResource(Context* context, const Found* found) {
  for (uint32_t i = 0; i < context->watch_resource_count; ++i) {
    const WatchedKey& watch = context->watch_resource[i];
    if (Equals(found->key, found->key_size, watch.key, watch.size)) {
      context->resource_watched += WatchedHash(context, found, i);
      return;
    }
  }
}

// An attribute of no interest but for its validity. `depth`: levels that may open inside the KeyValue.
BRAID_INLINE bool CheckAttribute(Context* context, Bytes p, size_t size, int depth) {
  Found ignored;
  return WalkAttribute(context, p, size, depth, &ignored);
}

// The walkers look at a key's first four bytes before they compare it with the stamps.
constexpr uint32_t kSpanStampStart = Four('l', 'o', 'g', '.');
constexpr uint32_t kLogStampStarts[] = {Four('c', 'o', 'r', 'r'), Four('s', 'p', 'a', 'n'),
                                        Four('t', 'r', 'a', 'c')};
constexpr size_t kShortestStamp = 9;

constexpr bool StampsStartAsExpected() {
  for (const auto& key : stamp::kSpanKeys) {
    if (key.size() < kShortestStamp || Four(key[0], key[1], key[2], key[3]) != kSpanStampStart) return false;
  }
  for (const auto& key : stamp::kLogKeys) {
    bool found = false;
    for (const uint32_t start : kLogStampStarts) found |= Four(key[0], key[1], key[2], key[3]) == start;
    if (key.size() < kShortestStamp || !found) return false;
  }
  return true;
}
static_assert(StampsStartAsExpected(), "a stamp key the walkers would not notice");

BRAID_NOINLINE bool IsSpanStamp(Bytes key, size_t size) {
  for (const auto& stamp : stamp::kSpanKeys) {
    if (Equals(key, size, stamp.data(), stamp.size())) return true;
  }
  return false;
}

BRAID_NOINLINE bool IsLogStamp(Bytes key, size_t size) {
  for (const auto& stamp : stamp::kLogKeys) {
    if (Equals(key, size, stamp.data(), stamp.size())) return true;
  }
  return false;
}

// ---- resource and scope ----

BRAID_NOINLINE bool WalkEntityRef(Context* context, Bytes p, Bytes end, int depth) {
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (p == nullptr) return false;
    switch (tag) {
      case T(2, kBytes):
      case T(3, kBytes):
      case T(4, kBytes): BRAID_CASE_STRING(1) BRAID_CASE_OTHER()
    }
  }
  return true;
}

BRAID_NOINLINE bool VisitResource(Context* context, Bytes p, Bytes end) {
  const int depth = context->recursion_limit - 2;  // Levels that may open inside the Resource.
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (p == nullptr) return false;
    switch (tag) {
      case T(1, kBytes): {
        size_t size;
        p = ReadLength(p, end, &size);
        if (p == nullptr) return false;
        Found found;
        if (!WalkAttribute(context, p, size, depth - 1, &found)) return false;
        p += size;
        if (context->watch_resource_count != 0) WatchResource(context, &found);
        if (found.text != nullptr && BRAID_IS(found.key, found.key_size, "service.name")) {
          context->service_seen = true;
          context->service_offset = static_cast<uint32_t>(found.text - context->body);
          context->service_size = static_cast<uint32_t>(found.text_size);
        }
        break;
      }
        BRAID_CASE_VARINT(2)
        BRAID_CASE_MESSAGE(3, WalkEntityRef(context, p, p + size, depth - 1))
        BRAID_CASE_OTHER()
    }
  }
  return true;
}

BRAID_NOINLINE bool WalkScope(Context* context, Bytes p, Bytes end, int depth) {
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (p == nullptr) return false;
    switch (tag) {
      case T(2, kBytes):
        BRAID_CASE_STRING(1)
        BRAID_CASE_MESSAGE(3, CheckAttribute(context, p, size, depth - 1))
        BRAID_CASE_VARINT(4)
        BRAID_CASE_OTHER()
    }
  }
  return true;
}

// ---- output ----

BRAID_INLINE Item* NewItem(Context* context, uint32_t shard) {
  ShardOut* out = &context->shards[shard];
  if (BRAID_UNLIKELY(out->size == out->capacity)) context->grow(context, shard);
  return &out->items[out->size++];
}

BRAID_NOINLINE void Reject(Context* context, RejectReason reason, uint32_t offset, uint64_t count) {
  context->rejected[static_cast<int>(reason)] += count;
  if (context->first_rejected == kNowhere) context->first_rejected = offset;
}

// Whether the item just walked is to be turned away for its strings or nesting. `walked` is the walker's
// verdict; false with too_deep set costs the item only.
BRAID_INLINE bool CheckItem(Context* context, bool walked, uint32_t tag_offset, uint64_t count,
                            bool* framing) {
  *framing = true;
  if (BRAID_UNLIKELY(!walked)) {
    if (!context->too_deep) {
      *framing = false;
      return false;
    }
    context->too_deep = false;
    context->bad_utf8 = false;
    Reject(context, RejectReason::kTooDeep, tag_offset, count);
    return false;
  }
  if (BRAID_UNLIKELY(context->bad_utf8)) {
    context->bad_utf8 = false;
    Reject(context, RejectReason::kBadUtf8, tag_offset, count);
    return false;
  }
  return true;
}

// ---- spans ----

BRAID_NOINLINE bool WalkStatus(Context* context, Bytes p, Bytes end, int depth, uint64_t* code,
                               Watched* watched) {
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (p == nullptr) return false;
    switch (tag) {
      case T(2, kBytes): {
        size_t size;
        p = ReadLength(p, end, &size);
        if (p == nullptr) return false;
        CheckString(context, p, size);
        if (context->watch_status_message) watched->always += Mix64(HashOf(context, p, size));
        p += size;
        break;
      }
      case T(3, kVarint):
        p = ReadVarint(p, end, code);
        if (p == nullptr) return false;
        break;
        BRAID_CASE_OTHER()
    }
  }
  return true;
}

BRAID_NOINLINE bool WalkEvent(Context* context, Bytes p, Bytes end, int depth) {
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (p == nullptr) return false;
    switch (tag) {
      BRAID_CASE_FIXED64(1)
      BRAID_CASE_STRING(2)
      BRAID_CASE_MESSAGE(3, CheckAttribute(context, p, size, depth - 1))
      BRAID_CASE_VARINT(4)
      BRAID_CASE_OTHER()
    }
  }
  return true;
}

BRAID_NOINLINE bool WalkLink(Context* context, Bytes p, Bytes end, int depth) {
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (p == nullptr) return false;
    switch (tag) {
      case T(2, kBytes):
        BRAID_CASE_BYTES(1)
        BRAID_CASE_STRING(3)
        BRAID_CASE_MESSAGE(4, CheckAttribute(context, p, size, depth - 1))
        BRAID_CASE_VARINT(5)
        BRAID_CASE_FIXED32(6)
        BRAID_CASE_OTHER()
    }
  }
  return true;
}

struct Span {
  uint64_t trace_hi = 0;
  uint64_t trace_lo = 0;
  uint64_t span = 0;
  uint64_t parent = 0;
  uint64_t start = 0;
  uint64_t end = 0;
  Bytes name = nullptr;
  size_t name_size = 0;
  uint64_t kind = 0;
  uint64_t status = 0;
  size_t parent_size = 0;
  uint32_t flags = 0;
  uint16_t item_flags = 0;
  uint16_t odd = 0;  // kOddOrder once an attribute came
  uint64_t threshold = 0;
  Watched watched;
};

// An ID of `size` bytes, `wanted` long; the last occurrence wins, also when it is malformed.
BRAID_INLINE bool WalkSpan(Context* context, Bytes p, Bytes end, Span* span) {
  const int depth = context->recursion_limit - 3;  // Levels that may open inside the Span.
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (BRAID_UNLIKELY(p == nullptr)) return false;
    switch (tag) {
      case T(1, kBytes): {
        size_t size;
        p = ReadLength(p, end, &size);
        if (BRAID_UNLIKELY(p == nullptr)) return false;
        span->trace_hi = size == 16 ? LoadBig64(p) : 0;
        span->trace_lo = size == 16 ? LoadBig64(p + 8) : 0;
        p += size;
        break;
      }
      case T(2, kBytes): {
        size_t size;
        p = ReadLength(p, end, &size);
        if (BRAID_UNLIKELY(p == nullptr)) return false;
        span->span = size == 8 ? LoadBig64(p) : 0;
        p += size;
        break;
      }
      case T(3, kBytes): {
        size_t size;
        p = ReadLength(p, end, &size);
        if (BRAID_UNLIKELY(p == nullptr)) return false;
        CheckString(context, p, size);
        span->threshold = size != 0 ? context->threshold(p, size) : 0;
        p += size;
        break;
      }
      case T(4, kBytes): {
        size_t size;
        p = ReadLength(p, end, &size);
        if (BRAID_UNLIKELY(p == nullptr)) return false;
        span->parent_size = size;
        span->parent = size == 8 ? LoadBig64(p) : 0;
        p += size;
        break;
      }
      case T(5, kBytes): {
        size_t size;
        p = ReadLength(p, end, &size);
        if (BRAID_UNLIKELY(p == nullptr)) return false;
        CheckString(context, p, size);
        span->name = p;
        span->name_size = size;
        p += size;
        break;
      }
      case T(6, kVarint):
        p = ReadVarint(p, end, &span->kind);
        if (BRAID_UNLIKELY(p == nullptr)) return false;
        break;
      case T(7, kFixed64):
        if (BRAID_UNLIKELY(end - p < 8)) return false;
        span->start = Load64(p);
        span->item_flags |= span->odd;
        p += 8;
        break;
      case T(8, kFixed64):
        if (BRAID_UNLIKELY(end - p < 8)) return false;
        span->end = Load64(p);
        span->item_flags |= span->odd;
        p += 8;
        break;
      case T(9, kBytes): {
        // Attributes come in a row: stay here while they do.
        span->odd = item_flags::kOddOrder;
        for (;;) {
          size_t size;
          p = ReadLength(p, end, &size);
          if (BRAID_UNLIKELY(p == nullptr)) return false;
          Found found;
          if (BRAID_UNLIKELY(!WalkAttribute(context, p, size, depth - 1, &found))) return false;
          if (BRAID_UNLIKELY(found.key_size >= kShortestStamp && Load32(found.key) == kSpanStampStart)) {
            if (IsSpanStamp(found.key, found.key_size)) span->item_flags |= item_flags::kStampCollision;
          }
          if (BRAID_UNLIKELY((context->watch_sizes >> (found.key_size < 63 ? found.key_size : 63) & 1) != 0))
            Watch(context, &found, &span->watched);
          p += size;
          if (p >= end || Byte(p) != T(9, kBytes)) break;
          ++p;
        }
        break;
      }
        BRAID_CASE_VARINT(10)
      case T(11, kBytes): {
        size_t size;
        p = ReadLength(p, end, &size);
        if (BRAID_UNLIKELY(p == nullptr)) return false;
        if (BRAID_UNLIKELY(depth <= 0)) return TooDeep(context);
        if (BRAID_UNLIKELY(!WalkEvent(context, p, p + size, depth - 1))) return false;
        span->item_flags |= item_flags::kHasEvents;
        p += size;
        break;
      }
        BRAID_CASE_VARINT(12)
      case T(13, kBytes): {
        size_t size;
        p = ReadLength(p, end, &size);
        if (BRAID_UNLIKELY(p == nullptr)) return false;
        if (BRAID_UNLIKELY(depth <= 0)) return TooDeep(context);
        if (BRAID_UNLIKELY(!WalkLink(context, p, p + size, depth - 1))) return false;
        span->item_flags |= item_flags::kHasLinks;
        p += size;
        break;
      }
        BRAID_CASE_VARINT(14)
        BRAID_CASE_MESSAGE(15, WalkStatus(context, p, p + size, depth - 1, &span->status, &span->watched))
      case T(16, kFixed32):
        if (BRAID_UNLIKELY(end - p < 4)) return false;
        span->flags = Load32(p);
        p += 4;
        break;
        BRAID_CASE_OTHER()
    }
  }
  return true;
}

// Item::series with what is watched.
BRAID_INLINE uint64_t SeriesOf(const Context* context, const Span* span, uint32_t kind, uint64_t series) {
  uint64_t more = span->watched.always;
  if (span->threshold != 0) more += BRAID_THRESHOLD_HASH(span->threshold);
  // 1 is an internal span; a server (2) with a parent is nobody's uninstrumented peer.
  if (kind != 1 && !(kind == 2 && span->parent != 0)) {
    more += span->watched.peer + span->watched.database;
    // The marker may be one of the resource's.
    if ((span->watched.database | context->resource_watched) != 0) more += span->watched.address;
  }
  return BRAID_LIKELY(more == 0) ? series : Mix64(series + more);
}

// Hands on the links of the span at [p, end), which has been walked.
BRAID_NOINLINE void VisitLinks(Context* context, Bytes p, Bytes end, const Item* item) {
  while (p != nullptr && p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (p == nullptr) return;
    if (tag == T(13, kBytes)) {
      size_t size;
      p = ReadLength(p, end, &size);
      if (p == nullptr) return;
      context->link(context, p, p + size, item);
      p += size;
    } else {
      p = Skip(context, p, end, tag, kMaxGroupDepth);
    }
  }
}

// The item at [p, end); `field` is its tag, `offset` its length varint.
BRAID_INLINE bool VisitSpan(Context* context, Bytes field, uint32_t offset, Bytes p, Bytes end) {
  Span span;
  bool framing;
  const uint32_t tag_offset = static_cast<uint32_t>(field - context->body);
  if (BRAID_UNLIKELY(!CheckItem(context, WalkSpan(context, p, end, &span), tag_offset, 1, &framing)))
    return framing;
  if (BRAID_UNLIKELY((span.trace_hi | span.trace_lo) == 0 || span.span == 0 ||
                     (span.parent_size != 0 && span.parent_size != 8))) {
    Reject(context, RejectReason::kBadId, tag_offset, 1);
    return true;
  }

  // Enum values travel as int32; the upper half of the varint does not take part.
  const uint32_t kind = static_cast<uint32_t>(span.kind) <= 5 ? static_cast<uint32_t>(span.kind) : 0;
  const uint32_t status = static_cast<uint32_t>(span.status) <= 2 ? static_cast<uint32_t>(span.status) : 0;
  const uint64_t name_hash = XXH3_64bits_withSecretandSeed(span.name, span.name_size, context->secret,
                                                           kSecretBytes, context->epoch.seed);
  const uint32_t shard = ShardOf(context->epoch, TraceHash(context->epoch, context->tenant, span.trace_lo));

  Item* item = NewItem(context, shard);
  item->trace_hi = span.trace_hi;
  item->trace_lo = span.trace_lo;
  item->span = span.span;
  item->parent = span.parent;
  item->start_ns = span.start;
  item->end_ns = span.end;
  item->series =
      SeriesOf(context, &span, kind, BRAID_SPAN_SERIES(context->service_hash, name_hash, kind, status));
  item->offset = offset;
  item->group = context->group;
  item->flags = static_cast<uint16_t>(kind | status << item_flags::kStatusShift | span.item_flags |
                                      ((span.flags & 0x300) == 0x300   ? item_flags::kParentRemote
                                       : (span.flags & 0x300) == 0x100 ? item_flags::kParentLocal
                                                                       : 0));
  if (BRAID_UNLIKELY((span.item_flags & item_flags::kHasLinks) != 0 && (kind == 2 || kind == 5) &&
                     context->link != nullptr)) {
    const Item copy = *item;  // a link may make room, which moves Items
    VisitLinks(context, p, end, &copy);
  }
  ++context->shards[shard].count;
  ++context->scope_accepted;
  ++context->scope_items;
  return true;
}

// ---- logs ----

struct Log {
  uint64_t time = 0;
  uint64_t observed = 0;
  uint64_t trace_hi = 0;
  uint64_t trace_lo = 0;
  uint64_t span = 0;
  uint64_t severity = 0;
  size_t trace_size = 0;
  size_t span_size = 0;
  Found body;
  Bytes exception = nullptr;
  size_t exception_size = 0;
  uint32_t flags = 0;
  uint16_t collision = 0;
};

BRAID_INLINE bool WalkLog(Context* context, Bytes p, Bytes end, Log* log) {
  const int depth = context->recursion_limit - 3;
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (BRAID_UNLIKELY(p == nullptr)) return false;
    switch (tag) {
      case T(1, kFixed64):
        if (BRAID_UNLIKELY(end - p < 8)) return false;
        log->time = Load64(p);
        p += 8;
        break;
      case T(2, kVarint):
        p = ReadVarint(p, end, &log->severity);
        if (BRAID_UNLIKELY(p == nullptr)) return false;
        break;
      case T(12, kBytes):
        BRAID_CASE_STRING(3)
        BRAID_CASE_MESSAGE(5, WalkAnyValue(context, p, p + size, depth - 1, &log->body))
      case T(6, kBytes): {
        for (;;) {
          size_t size;
          p = ReadLength(p, end, &size);
          if (BRAID_UNLIKELY(p == nullptr)) return false;
          Found found;
          if (BRAID_UNLIKELY(!WalkAttribute(context, p, size, depth - 1, &found))) return false;
          if (found.key_size >= kShortestStamp) {
            const uint32_t four = Load32(found.key);
            if (BRAID_UNLIKELY(four == kLogStampStarts[0] || four == kLogStampStarts[1] ||
                               four == kLogStampStarts[2])) {
              if (IsLogStamp(found.key, found.key_size)) log->collision = item_flags::kStampCollision;
            } else if (BRAID_UNLIKELY(four == Four('e', 'x', 'c', 'e') && found.text != nullptr &&
                                      BRAID_IS(found.key, found.key_size, "exception.message"))) {
              log->exception = found.text;
              log->exception_size = found.text_size;
            }
          }
          p += size;
          if (p >= end || Byte(p) != T(6, kBytes)) break;
          ++p;
        }
        break;
      }
        BRAID_CASE_VARINT(7)
      case T(8, kFixed32):
        if (BRAID_UNLIKELY(end - p < 4)) return false;
        log->flags = Load32(p);
        p += 4;
        break;
      case T(9, kBytes): {
        size_t size;
        p = ReadLength(p, end, &size);
        if (BRAID_UNLIKELY(p == nullptr)) return false;
        log->trace_size = size;
        log->trace_hi = size == 16 ? LoadBig64(p) : 0;
        log->trace_lo = size == 16 ? LoadBig64(p + 8) : 0;
        p += size;
        break;
      }
      case T(10, kBytes): {
        size_t size;
        p = ReadLength(p, end, &size);
        if (BRAID_UNLIKELY(p == nullptr)) return false;
        log->span_size = size;
        log->span = size == 8 ? LoadBig64(p) : 0;
        p += size;
        break;
      }
      case T(11, kFixed64):
        if (BRAID_UNLIKELY(end - p < 8)) return false;
        log->observed = Load64(p);
        p += 8;
        break;
        BRAID_CASE_OTHER()
    }
  }
  return true;
}

BRAID_NOINLINE uint64_t AddNote(Context* context, const Log* log, uint32_t shard) {
  Bytes text = log->body.text;
  size_t size = log->body.text_size;
  if (text == nullptr || size == 0) {
    text = log->exception;
    size = log->exception_size;
  }
  if (text == nullptr || size == 0) return 0;
  if (size > 256) {
    size = 256;
    // Not in the middle of a character: the byte after the cut must not continue one.
    while (size > 0 && (Byte(text + size) & 0xc0) == 0x80) --size;
  }
  return context->note(context, shard, static_cast<uint32_t>(text - context->body),
                       static_cast<uint32_t>(size));
}

BRAID_INLINE bool VisitLog(Context* context, Bytes field, uint32_t offset, Bytes p, Bytes end) {
  Log log;
  bool framing;
  const uint32_t tag_offset = static_cast<uint32_t>(field - context->body);
  if (BRAID_UNLIKELY(!CheckItem(context, WalkLog(context, p, end, &log), tag_offset, 1, &framing)))
    return framing;

  uint16_t flags = log.collision;
  const uint32_t severity = static_cast<uint32_t>(log.severity);
  if (severity >= 1 && severity <= 24) flags |= static_cast<uint16_t>((severity - 1) / 4 + 1);

  const bool has_trace = (log.trace_hi | log.trace_lo) != 0;
  const bool has_span = log.span != 0;
  // Given, but of the wrong length, all zero, or a span without its trace. Empty fields are "not given".
  if (BRAID_UNLIKELY((log.trace_size != 0 && !has_trace) ||
                     (log.span_size != 0 && !(has_span && has_trace)))) {
    flags |= item_flags::kBadId;
    log.trace_hi = log.trace_lo = log.span = 0;
  }
  const bool in_trace = (log.trace_hi | log.trace_lo) != 0;
  if (log.flags != 0 && (log.flags & 1) == 0) flags |= item_flags::kUnsampled;

  const uint32_t shard =
      in_trace ? ShardOf(context->epoch, TraceHash(context->epoch, context->tenant, log.trace_lo))
               : context->home_shard;
  Item* item = NewItem(context, shard);
  item->trace_hi = log.trace_hi;
  item->trace_lo = log.trace_lo;
  item->span = log.span;
  item->parent = severity >= 17 && severity <= 24 ? AddNote(context, &log, shard) : 0;
  item->start_ns = log.time != 0 ? log.time : log.observed;
  item->end_ns = 0;
  item->series = XXH3_64bits_withSecretandSeed(p, static_cast<size_t>(end - p), context->secret, kSecretBytes,
                                               context->epoch.seed);
  item->offset = offset;
  item->group = context->group;
  item->flags = flags;
  ++context->shards[shard].count;
  ++context->scope_accepted;
  ++context->scope_items;
  return true;
}

// ---- metrics ----

BRAID_NOINLINE bool WalkExemplar(Context* context, Bytes p, Bytes end, int depth) {
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (p == nullptr) return false;
    switch (tag) {
      case T(3, kFixed64):
      case T(6, kFixed64): BRAID_CASE_FIXED64(2)
      case T(5, kBytes): {
        size_t size;
        p = ReadLength(p, end, &size);
        if (p == nullptr) return false;
        p += size;
        context->exemplar_trace |= size == 16;
        break;
      }
        BRAID_CASE_BYTES(4)
        BRAID_CASE_MESSAGE(7, CheckAttribute(context, p, size, depth - 1))
        BRAID_CASE_OTHER()
    }
  }
  return true;
}

BRAID_NOINLINE bool WalkNumberPoint(Context* context, Bytes p, Bytes end, int depth) {
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (p == nullptr) return false;
    switch (tag) {
      case T(3, kFixed64):
      case T(4, kFixed64):
      case T(6, kFixed64):
        BRAID_CASE_FIXED64(2)
        BRAID_CASE_MESSAGE(5, WalkExemplar(context, p, p + size, depth - 1))
        BRAID_CASE_MESSAGE(7, CheckAttribute(context, p, size, depth - 1))
        BRAID_CASE_VARINT(8)
        BRAID_CASE_OTHER()
    }
  }
  return true;
}

// A packed run of eight-byte numbers.
#define BRAID_CASE_PACKED64(number)                                  \
  case T(number, kBytes): {                                          \
    size_t size;                                                     \
    p = ReadLength(p, end, &size);                                   \
    if (BRAID_UNLIKELY(p == nullptr || size % 8 != 0)) return false; \
    p += size;                                                       \
    break;                                                           \
  }

BRAID_NOINLINE bool WalkHistogramPoint(Context* context, Bytes p, Bytes end, int depth) {
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (p == nullptr) return false;
    switch (tag) {
      case T(3, kFixed64):
      case T(4, kFixed64):
      case T(5, kFixed64):
      case T(6, kFixed64):  // Repeated numbers may also come one by one.
      case T(7, kFixed64):
      case T(11, kFixed64):
      case T(12, kFixed64): BRAID_CASE_FIXED64(2)
      case T(7, kBytes):
        BRAID_CASE_PACKED64(6)
        BRAID_CASE_MESSAGE(8, WalkExemplar(context, p, p + size, depth - 1))
        BRAID_CASE_MESSAGE(9, CheckAttribute(context, p, size, depth - 1))
        BRAID_CASE_VARINT(10)
        BRAID_CASE_OTHER()
    }
  }
  return true;
}

BRAID_NOINLINE bool WalkBuckets(Context* context, Bytes p, Bytes end, int depth) {
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (p == nullptr) return false;
    switch (tag) {
      case T(2, kVarint): BRAID_CASE_VARINT(1)
      case T(2, kBytes): {
        size_t size;
        p = ReadLength(p, end, &size);
        if (p == nullptr) return false;
        const Bytes stop = p + size;
        while (p < stop) {
          uint64_t ignored;
          p = ReadVarint(p, stop, &ignored);
          if (p == nullptr) return false;
        }
        break;
      }
        BRAID_CASE_OTHER()
    }
  }
  return true;
}

BRAID_NOINLINE bool WalkExponentialPoint(Context* context, Bytes p, Bytes end, int depth) {
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (p == nullptr) return false;
    switch (tag) {
      BRAID_CASE_MESSAGE(1, CheckAttribute(context, p, size, depth - 1))
      case T(3, kFixed64):
      case T(4, kFixed64):
      case T(5, kFixed64):
      case T(7, kFixed64):
      case T(12, kFixed64):
      case T(13, kFixed64):
      case T(14, kFixed64): BRAID_CASE_FIXED64(2)
      case T(10, kVarint): BRAID_CASE_VARINT(6)
      case T(9, kBytes):
        BRAID_CASE_MESSAGE(8, WalkBuckets(context, p, p + size, depth - 1))
        BRAID_CASE_MESSAGE(11, WalkExemplar(context, p, p + size, depth - 1))
        BRAID_CASE_OTHER()
    }
  }
  return true;
}

BRAID_NOINLINE bool WalkQuantile(Context* context, Bytes p, Bytes end, int depth) {
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (p == nullptr) return false;
    switch (tag) {
      case T(2, kFixed64): BRAID_CASE_FIXED64(1) BRAID_CASE_OTHER()
    }
  }
  return true;
}

BRAID_NOINLINE bool WalkSummaryPoint(Context* context, Bytes p, Bytes end, int depth) {
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (p == nullptr) return false;
    switch (tag) {
      case T(3, kFixed64):
      case T(4, kFixed64):
      case T(5, kFixed64):
        BRAID_CASE_FIXED64(2)
        BRAID_CASE_MESSAGE(6, WalkQuantile(context, p, p + size, depth - 1))
        BRAID_CASE_MESSAGE(7, CheckAttribute(context, p, size, depth - 1))
        BRAID_CASE_VARINT(8)
        BRAID_CASE_OTHER()
    }
  }
  return true;
}

// Gauge, Sum, Histogram, ExponentialHistogram or Summary, by Metric's field number: points are field 1
// of each; 2 and 3 are varints where they exist, and unknown fields of the same shape where not.
BRAID_NOINLINE bool WalkData(Context* context, Bytes p, Bytes end, int depth, uint32_t member,
                             uint64_t* points) {
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (p == nullptr) return false;
    switch (tag) {
      case T(1, kBytes): {
        size_t size;
        p = ReadLength(p, end, &size);
        if (p == nullptr) return false;
        if (depth <= 0) return TooDeep(context);
        ++*points;
        bool walked;
        if (member <= 7) {
          walked = WalkNumberPoint(context, p, p + size, depth - 1);
        } else if (member == 9) {
          walked = WalkHistogramPoint(context, p, p + size, depth - 1);
        } else if (member == 10) {
          walked = WalkExponentialPoint(context, p, p + size, depth - 1);
        } else {
          walked = WalkSummaryPoint(context, p, p + size, depth - 1);
        }
        if (!walked) return false;
        p += size;
        break;
      }
        BRAID_CASE_OTHER()
    }
  }
  return true;
}

BRAID_NOINLINE bool WalkMetric(Context* context, Bytes p, Bytes end, uint64_t* points) {
  const int depth = context->recursion_limit - 3;
  uint32_t member = 0;
  while (p < end) {
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (p == nullptr) return false;
    switch (tag) {
      case T(2, kBytes):
      case T(3, kBytes): BRAID_CASE_STRING(1)
      case T(5, kBytes):
      case T(7, kBytes):
      case T(9, kBytes):
      case T(10, kBytes):
      case T(11, kBytes): {
        size_t size;
        p = ReadLength(p, end, &size);
        if (p == nullptr) return false;
        if (tag >> 3 != member) {  // Another member of the oneof replaces the one before.
          member = tag >> 3;
          *points = 0;
        }
        if (!WalkData(context, p, p + size, depth - 1, member, points)) return false;
        p += size;
        break;
      }
        BRAID_CASE_MESSAGE(12, CheckAttribute(context, p, size, depth - 1))
        BRAID_CASE_OTHER()
    }
  }
  return true;
}

BRAID_INLINE bool VisitMetric(Context* context, Bytes field, uint32_t offset, Bytes p, Bytes end) {
  uint64_t points = 0;
  bool framing;
  context->exemplar_trace = false;
  const bool walked = WalkMetric(context, p, end, &points);
  const uint32_t tag_offset = static_cast<uint32_t>(field - context->body);
  if (BRAID_UNLIKELY(!CheckItem(context, walked, tag_offset, points, &framing))) return framing;

  Item* item = NewItem(context, context->home_shard);
  item->trace_hi = 0;
  item->trace_lo = 0;
  item->span = points;
  item->parent = 0;
  item->start_ns = 0;
  item->end_ns = 0;
  item->series = XXH3_64bits_withSecretandSeed(p, static_cast<size_t>(end - p), context->secret, kSecretBytes,
                                               context->epoch.seed);
  item->offset = offset;
  item->group = context->group;
  item->flags = 0;
  if (context->exemplar_trace && context->votes != nullptr) {
    context->votes(context, reinterpret_cast<const char*>(p), reinterpret_cast<const char*>(end),
                   item->series);
  }
  context->shards[context->home_shard].count += points;
  context->scope_accepted += points;
  ++context->scope_items;
  return true;
}

// ---- scopes ----

// A scope-level string or message that condemns all the scope's items.
BRAID_NOINLINE void CondemnScope(Context* context, Bytes field) {
  if (context->bad_scope_field == kNowhere) {
    context->bad_scope_field = static_cast<uint32_t>(field - context->body);
    context->bad_scope_deep = context->too_deep;
  }
  context->bad_utf8 = false;
  context->too_deep = false;
}

enum class Kind { kSpan, kLog, kMetric };

template <Kind kKind>
BRAID_INLINE bool VisitScopeOf(Context* context, Bytes p, Bytes end) {
  const int depth = context->recursion_limit - 2;  // Levels that may open inside the scope message.
  while (p < end) {
    const Bytes field = p;
    uint32_t tag;
    p = ReadTag(p, end, &tag);
    if (BRAID_UNLIKELY(p == nullptr)) return false;
    size_t size;
    switch (tag) {
      case T(2, kBytes): {
        const uint32_t offset = static_cast<uint32_t>(p - context->body);
        p = ReadLength(p, end, &size);
        if (BRAID_UNLIKELY(p == nullptr)) return false;
        bool framing;
        if constexpr (kKind == Kind::kSpan) {
          framing = VisitSpan(context, field, offset, p, p + size);
        } else if constexpr (kKind == Kind::kLog) {
          framing = VisitLog(context, field, offset, p, p + size);
        } else {
          framing = VisitMetric(context, field, offset, p, p + size);
        }
        if (BRAID_UNLIKELY(!framing)) return false;
        p += size;
        break;
      }
      case T(1, kBytes):
        p = ReadLength(p, end, &size);
        if (p == nullptr) return false;
        if (!WalkScope(context, p, p + size, depth - 1) && !context->too_deep) return false;
        if (context->bad_utf8 || context->too_deep) CondemnScope(context, field);
        p += size;
        context->scope_field(context, static_cast<uint32_t>(field - context->body),
                             static_cast<uint32_t>(p - field));
        break;
      case T(3, kBytes):
        p = ReadLength(p, end, &size);
        if (p == nullptr) return false;
        CheckString(context, p, size);
        if (context->bad_utf8) CondemnScope(context, field);
        p += size;
        context->scope_field(context, static_cast<uint32_t>(field - context->body),
                             static_cast<uint32_t>(p - field));
        break;
      default:
        p = Skip(context, p, end, tag, depth);
        if (p == nullptr) return false;
        context->scope_field(context, static_cast<uint32_t>(field - context->body),
                             static_cast<uint32_t>(p - field));
        break;
    }
  }
  return true;
}

BRAID_NOINLINE bool VisitScopeSpans(Context* context, Bytes p, Bytes end) {
  return VisitScopeOf<Kind::kSpan>(context, p, end);
}
BRAID_NOINLINE bool VisitScopeLogs(Context* context, Bytes p, Bytes end) {
  return VisitScopeOf<Kind::kLog>(context, p, end);
}
BRAID_NOINLINE bool VisitScopeMetrics(Context* context, Bytes p, Bytes end) {
  return VisitScopeOf<Kind::kMetric>(context, p, end);
}

BRAID_NOINLINE bool Utf8(Context* context, Bytes p, size_t size) {
  return IsAscii(p, size) || context->valid_utf8(p, size);
}

BRAID_NOINLINE uint64_t Hash(const void* bytes, size_t size, const unsigned char* secret, uint64_t seed) {
  return XXH3_64bits_withSecretandSeed(bytes, size, secret, kSecretBytes, seed);
}

BRAID_NOINLINE Digest128 Digest(const void* bytes, size_t size, const unsigned char* secret, uint64_t seed) {
  const XXH128_hash_t hash = XXH3_128bits_withSecretandSeed(bytes, size, secret, kSecretBytes, seed);
  return {hash.low64, hash.high64};
}

}  // namespace

const Visitor BRAID_VISITOR = {VisitResource, VisitScopeSpans, VisitScopeLogs, VisitScopeMetrics, Skip, Utf8,
                               Hash,          Digest};

}  // namespace braid::ingest::visitor
