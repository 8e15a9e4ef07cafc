#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <string>
#include <string_view>

// As much of HTTP/2 (RFC 9113) as a load generator and a sink need: frames by hand, so that payloads go from
// the corpus to the socket uncopied; header blocks are read by nghttp2.
namespace braid::bench::h2 {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t kFrameHeader = 9;
constexpr uint32_t kMaxWindow = 0x7fffffff;
constexpr uint32_t kDefaultWindow = 65'535;

enum Type : uint8_t {
  kData = 0,
  kHeaders = 1,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kWindowUpdate = 8,
  kContinuation = 9,
};
enum Flag : uint8_t { kEndStream = 1, kAck = 1, kEndHeaders = 4, kPadded = 8, kPriority = 32 };
enum Setting : uint16_t { kInitialWindow = 4, kMaxFrame = 5 };

struct Frame {
  uint32_t length = 0;
  uint8_t type = 0;
  uint8_t flags = 0;
  uint32_t stream = 0;
};

inline uint32_t Load32(const char* p) {
  uint32_t v = 0;
  for (int i = 0; i < 4; ++i) v = v << 8 | static_cast<uint8_t>(p[i]);
  return v;
}

inline void Store32(uint32_t v, char* p) {
  for (int i = 3; i >= 0; --i, v >>= 8) p[i] = static_cast<char>(v);
}

inline Frame ReadFrame(const char* p) {
  Frame f;
  f.length = Load32(p) >> 8;
  f.type = static_cast<uint8_t>(p[3]);
  f.flags = static_cast<uint8_t>(p[4]);
  f.stream = Load32(p + 5) & kMaxWindow;
  return f;
}

inline void WriteFrame(const Frame& f, char* p) {
  Store32(f.length << 8, p);
  p[3] = static_cast<char>(f.type);
  p[4] = static_cast<char>(f.flags);
  Store32(f.stream, p + 5);
}

inline void AppendFrame(std::string* out, uint8_t type, uint8_t flags, uint32_t stream,
                        std::string_view payload) {
  char header[kFrameHeader];
  WriteFrame({static_cast<uint32_t>(payload.size()), type, flags, stream}, header);
  out->append(header, sizeof header);
  out->append(payload);
}

inline void AppendSetting(std::string* out, Setting id, uint32_t value) {
  char bytes[6] = {0, static_cast<char>(id)};
  Store32(value, bytes + 2);
  out->append(bytes, sizeof bytes);
}

inline void AppendWindowUpdate(std::string* out, uint32_t stream, uint32_t more) {
  char bytes[4];
  Store32(more, bytes);
  AppendFrame(out, kWindowUpdate, 0, stream, {bytes, sizeof bytes});
}

// A literal field without indexing or Huffman code (RFC 7541 6.2.2). REQUIRES: both shorter than 127 bytes.
inline void AppendField(std::string* block, std::string_view name, std::string_view value) {
  *block += '\0';
  *block += static_cast<char>(name.size());
  *block += name;
  *block += static_cast<char>(value.size());
  *block += value;
}

// The content of a HEADERS or DATA payload without padding and priority; false if it is malformed.
inline bool Unpad(const Frame& f, std::string_view* payload) {
  size_t pad = 0;
  if ((f.flags & kPadded) != 0) {
    if (payload->empty()) return false;
    pad = static_cast<uint8_t>(payload->front());
    payload->remove_prefix(1);
  }
  if (f.type == kHeaders && (f.flags & kPriority) != 0) {
    if (payload->size() < 5) return false;
    payload->remove_prefix(5);
  }
  if (payload->size() < pad) return false;
  payload->remove_suffix(pad);
  return true;
}

// Reads header blocks of one direction of one connection.
class Inflater {
 public:
  Inflater() { nghttp2_hd_inflate_new(&inflater_); }
  ~Inflater() { nghttp2_hd_inflate_del(inflater_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Calls fn(name, value) for each field of a whole block; false if it is malformed.
  template <typename Fn>
  bool Read(std::string_view block, Fn fn) {
    const auto* p = reinterpret_cast<const uint8_t*>(block.data());
    size_t left = block.size();
    while (true) {
      nghttp2_nv field;
      int flags = 0;
      const ssize_t n = nghttp2_hd_inflate_hd2(inflater_, &field, &flags, p, left, 1);
      if (n < 0) return false;
      p += n;
      left -= static_cast<size_t>(n);
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
        fn(std::string_view(reinterpret_cast<const char*>(field.name), field.namelen),
           std::string_view(reinterpret_cast<const char*>(field.value), field.valuelen));
      }
      if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) {
        nghttp2_hd_inflate_end_headers(inflater_);
        return true;
      }
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 && left == 0) return false;
    }
  }

 private:
  nghttp2_hd_inflater* inflater_ = nullptr;
};

}  // namespace braid::bench::h2
