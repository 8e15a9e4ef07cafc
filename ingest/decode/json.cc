#include "ingest/decode/json.h"

#include <emmintrin.h>
#include <simdjson.h>

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>

#include "base/wire.h"
#include "ingest/decode/schema.h"

namespace braid::ingest {
namespace {

namespace ondemand = simdjson::ondemand;

// A parser that has grown beyond this many bytes of input is given back after use.
constexpr size_t kKeepParser = 4u << 20;

constexpr std::array<int8_t, 256> kHexDigits = [] {
  std::array<int8_t, 256> table{};
  table.fill(-1);
  for (size_t i = 0; i < 10; ++i) table['0' + i] = static_cast<int8_t>(i);
  for (size_t i = 0; i < 6; ++i) {
    table['a' + i] = static_cast<int8_t>(10 + i);
    table['A' + i] = static_cast<int8_t>(10 + i);
  }
  return table;
}();

constexpr std::array<int8_t, 256> kBase64Digits = [] {
  std::array<int8_t, 256> table{};
  table.fill(-1);
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < 64; ++i) table[static_cast<uint8_t>(kAlphabet[i])] = static_cast<int8_t>(i);
  table[static_cast<uint8_t>('-')] = 62;
  table[static_cast<uint8_t>('_')] = 63;
  return table;
}();

int HexDigit(char c) { return kHexDigits[static_cast<uint8_t>(c)]; }

// How many bytes to keep for a message's length. Most messages of a kind fit, so that their content need not
// be moved; deep down the full four, so that moving cannot become quadratic.
size_t LengthRoom(const MessageSchema& schema, int level) {
  if (level <= 2 || level > 16) return 4;
  if (schema.name == "KeyValue" || schema.name == "AnyValue" || schema.name == "Status") return 1;
  return 2;
}

// As ReadVarint, for a varint of exactly `room` bytes. REQUIRES: value < 2^(7 * room).
void WritePadded(uint64_t value, size_t room, char* p) {
  for (size_t i = 0; i + 1 < room; ++i) {
    p[i] = static_cast<char>((value & 0x7f) | 0x80);
    value >>= 7;
  }
  p[room - 1] = static_cast<char>(value);
}

// At least the bytes that simdjson's index of `json` takes: four for each brace, bracket, colon, comma,
// string and other scalar. A scalar follows one of the punctuators, so twice their number is enough for both.
size_t IndexBytes(std::string_view json) {
  size_t tokens = 1;
  for (const char c : json) {
    // Without branches, so that the compiler makes vectors of it.
    tokens += 2 * static_cast<size_t>((c == ',') | (c == ':') | (c == '[') | (c == '{')) +
              static_cast<size_t>((c == ']') | (c == '}') | (c == '"'));
  }
  return 4 * std::min(tokens, json.size());
}

}  // namespace

class JsonTranscoder::Impl {
 public:
  explicit Impl(SlabPool& slabs) : slabs_(slabs) {}

  Result<Slab> Transcode(Signal signal, const Slab& json, int recursion_limit) {
    depth_ = 0;
    limit_ = recursion_limit;
    message_.clear();
    out_of_memory_ = false;
    // The index of a large document is memory like any other: "[0,0,0" takes four bytes of it for each of its
    // own.
    Slab index;
    if (json.size() > kKeepParser) {
      index = slabs_.Take(IndexBytes(json.view()));
      if (!index) return Unavailable("no memory for a JSON request");
    }
    out_ = slabs_.Take(json.size() / 2 + 1024);
    if (!out_) return Unavailable("no memory for a JSON request");
    Adopt();

    const bool good = Run(RequestSchema(signal), json);
    out_.set_size(static_cast<size_t>(p_ - out_.data()));
    if (parser_.capacity() > kKeepParser) parser_ = ondemand::parser();
    Slab result = std::move(out_);
    if (good) return result;
    if (out_of_memory_) return Unavailable("no memory for a JSON request");
    return InvalidArgument(std::move(message_));
  }

 private:
  struct Step {
    std::string_view name;
    int64_t index = -1;
  };

  // ---- output ----

  void Adopt() {
    p_ = out_.data() + out_.size();
    room_end_ = out_.data() + out_.capacity();
  }

  // Room for `bytes` more, and then 16 for loads of whole vectors that are stored whole.
  bool Room(size_t bytes) {
    if (static_cast<size_t>(room_end_ - p_) >= bytes + 16) [[likely]]
      return true;
    out_.set_size(static_cast<size_t>(p_ - out_.data()));
    if (!out_.Reserve(bytes + 16)) {
      out_of_memory_ = true;
      return false;
    }
    Adopt();
    return true;
  }

  // REQUIRES: room.
  void Tag(uint32_t number, uint32_t type) { p_ = wire::WriteVarint(number << 3 | type, p_); }
  void Fixed64(uint64_t value) {
    std::memcpy(p_, &value, sizeof value);
    p_ += sizeof value;
  }

  size_t Position() const { return static_cast<size_t>(p_ - out_.data()); }

  // Writes the length of what was written since `at` into the `room` bytes before it.
  bool CloseLength(size_t at, size_t room) {
    const size_t size = Position() - at;
    const size_t need = wire::VarintSize(size);
    if (need > room) {
      if (!Room(need - room)) return false;
      char* content = out_.data() + at;
      std::memmove(content + (need - room), content, size);
      p_ += need - room;
      wire::WriteVarint(size, content - room);
      return true;
    }
    WritePadded(size, room, out_.data() + at - room);
    return true;
  }

  // ---- errors ----

  bool Fail(std::string_view what) {
    if (!message_.empty() || out_of_memory_) return false;
    for (int i = 0; i < depth_; ++i) {
      const Step& step = path_[static_cast<size_t>(i)];
      if (i != 0) message_ += '.';
      message_ += step.name;
      if (step.index >= 0) message_ += '[' + std::to_string(step.index) + ']';
    }
    if (depth_ != 0) message_ += ": ";
    message_ += what;
    return false;
  }

  bool Fail(simdjson::error_code error) {
    return Fail(std::string("not JSON: ") + simdjson::error_message(error));
  }

  bool Push(std::string_view name) {
    if (depth_ >= limit_) return Fail("nested too deep");
    path_[static_cast<size_t>(depth_++)] = {.name = name};
    return true;
  }
  void Pop() { --depth_; }

  // ---- input ----

  bool Run(const MessageSchema& schema, const Slab& json) {
    if (json.size() > parser_.capacity()) {
      // By powers of two, so that slowly growing requests do not each reallocate.
      const size_t capacity = std::bit_ceil(std::max<size_t>(json.size(), 64u << 10));
      if (parser_.allocate(capacity) != simdjson::SUCCESS) {
        out_of_memory_ = true;
        return false;
      }
    }
    json_end_ = json.data() + json.size();
    ondemand::document document;
    if (const auto error =
            parser_
                .iterate(simdjson::padded_string_view(json.data(), json.size(), json.size() + Slab::kPadding))
                .get(document)) {
      return Fail(error);
    }
    ondemand::object object;
    if (const auto error = document.get_object().get(object)) {
      return error == simdjson::INCORRECT_TYPE ? Fail("an object is expected") : Fail(error);
    }
    if (!Object(schema, object)) return false;
    if (document.current_location().error() != simdjson::OUT_OF_BOUNDS)
      return Fail("something follows the JSON value");
    return true;
  }

  bool Object(const MessageSchema& schema, ondemand::object object) {
    size_t hint = 0;
    for (auto result : object) {
      ondemand::field field;
      if (const auto error = std::move(result).get(field)) return Fail(error);
      const FieldSchema* known = Find(schema, field.key().raw(), &hint);
      if (known == nullptr) {
        if (!SlowKey(schema, field.key().raw(), &known)) return false;
      }
      ondemand::value value = field.value();
      if (known == nullptr) {
        if (!Push("(unknown field)")) return false;
        if (!Skip(value, 0)) return false;
        Pop();
        continue;
      }
      if (!Push(known->json)) return false;
      if (!Field(*known, value)) return false;
      Pop();
    }
    return true;
  }

  static bool Is(const char* key, std::string_view name) {
    return std::memcmp(key, name.data(), name.size()) == 0 && key[name.size()] == '"';
  }

  // The field a key names, by its camelCase name. Keys tend to come in the same order each time, so the
  // search begins after the one found last.
  const FieldSchema* Find(const MessageSchema& schema, const char* key, size_t* hint) const {
    const size_t count = schema.fields.size();
    // Keys are at most this long; comparing reads no more than that, which the input's padding allows.
    for (size_t i = 0, at = *hint; i < count; ++i, ++at) {
      if (at >= count) at = 0;
      if (Is(key, schema.fields[at].json)) {
        *hint = at + 1;
        return &schema.fields[at];
      }
    }
    return nullptr;
  }

  // snake_case, and keys with escapes; validates the key.
  bool SlowKey(const MessageSchema& schema, const char* key, const FieldSchema** found) {
    const size_t at = Position();
    if (!Text(key)) return false;
    const std::string_view name(out_.data() + at, Position() - at);
    for (const FieldSchema& field : schema.fields) {
      if (field.name == name || field.json == name) *found = &field;
    }
    p_ = out_.data() + at;
    return true;
  }

  bool Field(const FieldSchema& field, ondemand::value value) {
    ondemand::json_type type;
    if (const auto error = value.type().get(type)) return Fail(error);
    if (type == ondemand::json_type::null) return Null(value);
    if (!field.repeated) return Single(field, type, value);
    if (type != ondemand::json_type::array) return Fail("a list is expected");

    ondemand::array array;
    if (const auto error = value.get_array().get(array)) return Fail(error);
    const bool packed = WireType(field.kind) != 2;
    size_t at = 0;
    if (packed) {
      if (!Room(12)) return false;
      Tag(field.number, 2);
      p_ += 2;
      at = Position();
    }
    int64_t& index = path_[static_cast<size_t>(depth_ - 1)].index;
    for (auto result : array) {
      ++index;
      ondemand::value element;
      if (const auto error = std::move(result).get(element)) return Fail(error);
      if (const auto error = element.type().get(type)) return Fail(error);
      if (type == ondemand::json_type::null) return Fail("null in a list");
      if (packed ? !Scalar(field, type, element) : !Single(field, type, element)) return false;
    }
    return packed ? CloseLength(at, 2) : true;
  }

  bool Null(ondemand::value value) {
    bool is_null = false;
    if (const auto error = value.is_null().get(is_null)) return Fail(error);
    return is_null || Fail("not JSON: a literal is misspelt");
  }

  // One value with its tag.
  bool Single(const FieldSchema& field, ondemand::json_type type, ondemand::value& value) {
    switch (field.kind) {
      case FieldKind::kMessage: return Message(field, type, value);
      case FieldKind::kString:
      case FieldKind::kBytes:
      case FieldKind::kTraceId:
      case FieldKind::kSpanId: return String(field, type, value);
      case FieldKind::kBool:
      case FieldKind::kInt64:
      case FieldKind::kUint32:
      case FieldKind::kUint64:
      case FieldKind::kSint32:
      case FieldKind::kFixed32:
      case FieldKind::kFixed64:
      case FieldKind::kSfixed64:
      case FieldKind::kDouble:
      case FieldKind::kEnum:
        if (!Room(8)) return false;
        Tag(field.number, WireType(field.kind));
        return Scalar(field, type, value);
    }
    return false;
  }

  bool Message(const FieldSchema& field, ondemand::json_type type, ondemand::value& value) {
    if (type != ondemand::json_type::object) return Fail("an object is expected");
    ondemand::object object;
    if (const auto error = value.get_object().get(object)) return Fail(error);
    if (!Room(12)) return false;
    Tag(field.number, 2);
    const size_t room = LengthRoom(*field.message, depth_);
    p_ += room;
    const size_t at = Position();
    return Object(*field.message, object) && CloseLength(at, room);
  }

  bool String(const FieldSchema& field, ondemand::json_type type, ondemand::value& value) {
    if (type != ondemand::json_type::string) return Fail("a string is expected");
    simdjson::ondemand::raw_json_string raw;
    if (const auto error = value.get_raw_json_string().get(raw)) return Fail(error);
    if (!Room(16)) return false;
    Tag(field.number, 2);
    p_ += 1;
    const size_t at = Position();
    if (!Text(raw.raw())) return false;
    if (field.kind != FieldKind::kString) {
      const std::string_view text(out_.data() + at, Position() - at);
      const bool hex = field.kind != FieldKind::kBytes;
      char* end = hex ? FromHex(text, out_.data() + at) : FromBase64(text, out_.data() + at);
      if (end == nullptr) return Fail(hex ? "not hex" : "not base64");
      p_ = end;
    }
    return CloseLength(at, 1);
  }

  // Appends what a JSON string says. `p` is the byte after the opening quote; simdjson has found the closing
  // one, and checked UTF-8 and control characters.
  bool Text(const char* p) {
    for (;;) {
      if (!Room(64)) return false;
      // Whole vectors, up to what ends the plain run.
      for (int i = 0; i < 4; ++i) {
        const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p_), block);
        const int stops = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('"')),
                                                         _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'))));
        if (stops == 0) {
          p += 16;
          p_ += 16;
          continue;
        }
        const int plain = std::countr_zero(static_cast<unsigned>(stops));
        p += plain;
        p_ += plain;
        if (*p == '"') return true;
        p = Escape(p + 1);
        if (p == nullptr) return Fail("not JSON: bad escape in a string");
        break;
      }
      if (p > json_end_) return Fail("not JSON: a string has no end");
    }
  }

  static int32_t Hex4(const char* p) {
    int32_t value = 0;
    for (int i = 0; i < 4; ++i) {
      const int digit = HexDigit(p[i]);
      if (digit < 0) return -1;
      value = value << 4 | digit;
    }
    return value;
  }

  // One escape sequence, after its backslash. REQUIRES: room for four bytes.
  const char* Escape(const char* p) {
    switch (*p) {
      case '"':
      case '\\':
      case '/': *p_++ = *p; return p + 1;
      case 'b': *p_++ = '\b'; return p + 1;
      case 'f': *p_++ = '\f'; return p + 1;
      case 'n': *p_++ = '\n'; return p + 1;
      case 'r': *p_++ = '\r'; return p + 1;
      case 't': *p_++ = '\t'; return p + 1;
      case 'u': break;
      default: return nullptr;
    }
    int32_t rune = Hex4(p + 1);
    if (rune < 0 || (rune >= 0xdc00 && rune < 0xe000)) return nullptr;
    p += 5;
    if (rune >= 0xd800 && rune < 0xdc00) {
      if (p[0] != '\\' || p[1] != 'u') return nullptr;
      const int32_t low = Hex4(p + 2);
      if (low < 0xdc00 || low >= 0xe000) return nullptr;
      rune = 0x10000 + ((rune - 0xd800) << 10 | (low - 0xdc00));
      p += 6;
    }
    if (rune < 0x80) {
      *p_++ = static_cast<char>(rune);
    } else if (rune < 0x800) {
      *p_++ = static_cast<char>(0xc0 | rune >> 6);
      *p_++ = static_cast<char>(0x80 | (rune & 0x3f));
    } else if (rune < 0x10000) {
      *p_++ = static_cast<char>(0xe0 | rune >> 12);
      *p_++ = static_cast<char>(0x80 | (rune >> 6 & 0x3f));
      *p_++ = static_cast<char>(0x80 | (rune & 0x3f));
    } else {
      *p_++ = static_cast<char>(0xf0 | rune >> 18);
      *p_++ = static_cast<char>(0x80 | (rune >> 12 & 0x3f));
      *p_++ = static_cast<char>(0x80 | (rune >> 6 & 0x3f));
      *p_++ = static_cast<char>(0x80 | (rune & 0x3f));
    }
    return p;
  }

  // In place; the end of the result, or null.
  static char* FromHex(std::string_view text, char* out) {
    if (text.size() % 2 != 0) return nullptr;
    for (size_t i = 0; i < text.size(); i += 2) {
      const int high = HexDigit(text[i]);
      const int low = HexDigit(text[i + 1]);
      if ((high | low) < 0) return nullptr;
      *out++ = static_cast<char>(high << 4 | low);
    }
    return out;
  }

  static char* FromBase64(std::string_view text, char* out) {
    if (text.size() % 4 == 0) {
      for (int i = 0; i < 2 && !text.empty() && text.back() == '='; ++i) text.remove_suffix(1);
    }
    if (text.size() % 4 == 1) return nullptr;
    uint32_t bits = 0;
    int count = 0;
    for (const char c : text) {
      const int8_t digit = kBase64Digits[static_cast<uint8_t>(c)];
      if (digit < 0) return nullptr;
      bits = bits << 6 | static_cast<uint32_t>(digit);
      count += 6;
      if (count >= 8) {
        count -= 8;
        *out++ = static_cast<char>(bits >> count);
      }
    }
    return out;
  }

  // ---- numbers ----

  struct Number {
    enum class Kind { kSigned, kUnsigned, kDouble } kind = Kind::kSigned;
    int64_t as_signed = 0;
    uint64_t as_unsigned = 0;
    double as_double = 0;
  };

  // -?digits(.digits)?([eE][+-]?digits)?, which is less than what from_chars takes.
  static bool LooksLikeNumber(std::string_view text) {
    size_t at = !text.empty() && text[0] == '-' ? 1 : 0;
    const auto digits = [&] {
      const size_t begin = at;
      while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
      return at > begin;
    };
    if (!digits()) return false;
    if (at < text.size() && text[at] == '.') {
      ++at;
      if (!digits()) return false;
    }
    if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
      ++at;
      if (at < text.size() && (text[at] == '+' || text[at] == '-')) ++at;
      if (!digits()) return false;
    }
    return at == text.size();
  }

  // The text of a string that holds a number.
  static bool ParseNumber(std::string_view text, Number* number) {
    if (!LooksLikeNumber(text)) return false;
    const char* const begin = text.data();
    const char* const end = begin + text.size();
    auto result = std::from_chars(begin, end, number->as_signed);
    if (result.ec == std::errc() && result.ptr == end) {
      number->kind = Number::Kind::kSigned;
      return true;
    }
    result = std::from_chars(begin, end, number->as_unsigned);
    if (result.ec == std::errc() && result.ptr == end) {
      number->kind = Number::Kind::kUnsigned;
      return true;
    }
    const auto real = std::from_chars(begin, end, number->as_double);
    number->kind = Number::Kind::kDouble;
    return real.ec == std::errc() && real.ptr == end;
  }

  bool ReadNumber(ondemand::json_type type, ondemand::value& value, Number* number) {
    if (type == ondemand::json_type::number) {
      ondemand::number parsed;
      if (const auto error = value.get_number().get(parsed)) {
        // Integers beyond 64 bits still are numbers.
        if (value.get_double().get(number->as_double) != simdjson::SUCCESS) return Fail(error);
        number->kind = Number::Kind::kDouble;
        return true;
      }
      switch (parsed.get_number_type()) {
        case ondemand::number_type::signed_integer:
          number->kind = Number::Kind::kSigned;
          number->as_signed = parsed.get_int64();
          return true;
        case ondemand::number_type::unsigned_integer:
          number->kind = Number::Kind::kUnsigned;
          number->as_unsigned = parsed.get_uint64();
          return true;
        case ondemand::number_type::floating_point_number:
          number->kind = Number::Kind::kDouble;
          number->as_double = parsed.get_double();
          return true;
      }
    }
    if (type != ondemand::json_type::string) return Fail("a number is expected");
    const size_t at = Position();
    simdjson::ondemand::raw_json_string raw;
    if (const auto error = value.get_raw_json_string().get(raw)) return Fail(error);
    if (!Text(raw.raw())) return false;
    const std::string_view text(out_.data() + at, Position() - at);
    p_ = out_.data() + at;
    return ParseNumber(text, number) || Fail("a number is expected");
  }

  bool ReadInteger(ondemand::json_type type, ondemand::value& value, int64_t low, uint64_t high,
                   uint64_t* bits) {
    Number number;
    if (!ReadNumber(type, value, &number)) return false;
    if (number.kind == Number::Kind::kDouble) {
      const double real = number.as_double;
      if (real != std::trunc(real)) return Fail("an integer is expected");
      // Beyond 2^53 a double no longer tells whether its text was an integer.
      if (std::abs(real) > 9007199254740992.0) return Fail("out of range");
      number.kind = Number::Kind::kSigned;
      number.as_signed = static_cast<int64_t>(real);
    }
    if (number.kind == Number::Kind::kSigned && number.as_signed < 0) {
      if (number.as_signed < low) return Fail("out of range");
      *bits = static_cast<uint64_t>(number.as_signed);
      return true;
    }
    *bits =
        number.kind == Number::Kind::kSigned ? static_cast<uint64_t>(number.as_signed) : number.as_unsigned;
    return *bits <= high || Fail("out of range");
  }

  bool ReadDouble(ondemand::json_type type, ondemand::value& value, double* real) {
    if (type == ondemand::json_type::number) {
      if (const auto error = value.get_double().get(*real)) return Fail(error);
      return true;
    }
    if (type != ondemand::json_type::string) return Fail("a number is expected");
    const size_t at = Position();
    simdjson::ondemand::raw_json_string raw;
    if (const auto error = value.get_raw_json_string().get(raw)) return Fail(error);
    if (!Text(raw.raw())) return false;
    const std::string_view text(out_.data() + at, Position() - at);
    p_ = out_.data() + at;
    if (text == "NaN") {
      *real = std::numeric_limits<double>::quiet_NaN();
    } else if (text == "Infinity") {
      *real = std::numeric_limits<double>::infinity();
    } else if (text == "-Infinity") {
      *real = -std::numeric_limits<double>::infinity();
    } else {
      const auto result = std::from_chars(text.data(), text.data() + text.size(), *real);
      if (!LooksLikeNumber(text) || result.ec != std::errc()) return Fail("a number is expected");
    }
    return true;
  }

  bool ReadEnum(const FieldSchema& field, ondemand::json_type type, ondemand::value& value, uint64_t* bits) {
    constexpr auto kLow = std::numeric_limits<int32_t>::min();
    constexpr auto kHigh = static_cast<uint64_t>(std::numeric_limits<int32_t>::max());
    if (type != ondemand::json_type::string) return ReadInteger(type, value, kLow, kHigh, bits);
    const size_t at = Position();
    simdjson::ondemand::raw_json_string raw;
    if (const auto error = value.get_raw_json_string().get(raw)) return Fail(error);
    if (!Text(raw.raw())) return false;
    const std::string_view text(out_.data() + at, Position() - at);
    p_ = out_.data() + at;
    for (const EnumValue& known : field.values) {
      if (known.name == text) {
        *bits = static_cast<uint64_t>(known.number);
        return true;
      }
    }
    return Fail("not a value of this enum");
  }

  // A scalar without its tag.
  bool Scalar(const FieldSchema& field, ondemand::json_type type, ondemand::value& value) {
    if (!Room(16)) return false;
    constexpr uint64_t kMax64 = std::numeric_limits<uint64_t>::max();
    constexpr int64_t kMinSigned = std::numeric_limits<int64_t>::min();
    constexpr uint64_t kMaxSigned = std::numeric_limits<int64_t>::max();
    uint64_t bits = 0;
    switch (field.kind) {
      case FieldKind::kBool: {
        bool flag = false;
        if (type != ondemand::json_type::boolean) return Fail("true or false is expected");
        if (const auto error = value.get_bool().get(flag)) return Fail(error);
        *p_++ = flag ? 1 : 0;
        return true;
      }
      case FieldKind::kInt64:
        if (!ReadInteger(type, value, kMinSigned, kMaxSigned, &bits)) return false;
        p_ = wire::WriteVarint(bits, p_);
        return true;
      case FieldKind::kUint64:
        if (!ReadInteger(type, value, 0, kMax64, &bits)) return false;
        p_ = wire::WriteVarint(bits, p_);
        return true;
      case FieldKind::kUint32:
        if (!ReadInteger(type, value, 0, 0xffffffff, &bits)) return false;
        p_ = wire::WriteVarint(bits, p_);
        return true;
      case FieldKind::kSint32: {
        if (!ReadInteger(type, value, std::numeric_limits<int32_t>::min(), 0x7fffffff, &bits)) return false;
        const auto number = static_cast<int32_t>(bits);
        p_ = wire::WriteVarint(static_cast<uint32_t>(number) << 1 ^ static_cast<uint32_t>(number >> 31), p_);
        return true;
      }
      case FieldKind::kEnum:
        if (!ReadEnum(field, type, value, &bits)) return false;
        p_ = wire::WriteVarint(bits, p_);
        return true;
      case FieldKind::kFixed64:
        if (!ReadInteger(type, value, 0, kMax64, &bits)) return false;
        Fixed64(bits);
        return true;
      case FieldKind::kSfixed64:
        if (!ReadInteger(type, value, kMinSigned, kMaxSigned, &bits)) return false;
        Fixed64(bits);
        return true;
      case FieldKind::kFixed32: {
        if (!ReadInteger(type, value, 0, 0xffffffff, &bits)) return false;
        const auto word = static_cast<uint32_t>(bits);
        std::memcpy(p_, &word, sizeof word);
        p_ += sizeof word;
        return true;
      }
      case FieldKind::kDouble: {
        double real = 0;
        if (!ReadDouble(type, value, &real)) return false;
        Fixed64(std::bit_cast<uint64_t>(real));
        return true;
      }
      case FieldKind::kString:
      case FieldKind::kBytes:
      case FieldKind::kTraceId:
      case FieldKind::kSpanId:
      case FieldKind::kMessage: break;
    }
    return false;
  }

  // Walks a value that is of no interest: On-Demand validates only what is walked.
  bool Skip(ondemand::value value, int levels) {
    if (levels + depth_ > limit_) return Fail("nested too deep");
    ondemand::json_type type;
    if (const auto error = value.type().get(type)) return Fail(error);
    switch (type) {
      case ondemand::json_type::null: return Null(value);
      case ondemand::json_type::boolean: {
        bool ignored;
        const auto error = value.get_bool().get(ignored);
        return error == simdjson::SUCCESS || Fail(error);
      }
      case ondemand::json_type::number: {
        double ignored;
        const auto error = value.get_double().get(ignored);
        return error == simdjson::SUCCESS || Fail(error);
      }
      case ondemand::json_type::string: {
        simdjson::ondemand::raw_json_string raw;
        if (const auto error = value.get_raw_json_string().get(raw)) return Fail(error);
        const size_t at = Position();
        if (!Text(raw.raw())) return false;
        p_ = out_.data() + at;
        return true;
      }
      case ondemand::json_type::array: {
        ondemand::array array;
        if (const auto error = value.get_array().get(array)) return Fail(error);
        for (auto result : array) {
          ondemand::value element;
          if (const auto error = std::move(result).get(element)) return Fail(error);
          if (!Skip(element, levels + 1)) return false;
        }
        return true;
      }
      case ondemand::json_type::object: {
        ondemand::object object;
        if (const auto error = value.get_object().get(object)) return Fail(error);
        for (auto result : object) {
          ondemand::field field;
          if (const auto error = std::move(result).get(field)) return Fail(error);
          const size_t at = Position();
          if (!Text(field.key().raw())) return false;
          p_ = out_.data() + at;
          if (!Skip(field.value(), levels + 1)) return false;
        }
        return true;
      }
    }
    return Fail("not JSON");
  }

  SlabPool& slabs_;
  ondemand::parser parser_;
  const char* json_end_ = nullptr;
  Slab out_;
  char* p_ = nullptr;
  char* room_end_ = nullptr;
  std::array<Step, 101> path_{};
  int depth_ = 0;
  int limit_ = 0;
  std::string message_;
  bool out_of_memory_ = false;
};

JsonTranscoder::JsonTranscoder(SlabPool& slabs) : impl_(std::make_unique<Impl>(slabs)) {}
JsonTranscoder::~JsonTranscoder() = default;

Result<Slab> JsonTranscoder::Transcode(Signal signal, const Slab& json, int recursion_limit) {
  return impl_->Transcode(signal, json, recursion_limit);
}

}  // namespace braid::ingest
