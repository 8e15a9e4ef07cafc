#include "base/net/codec.h"

#include <isa-l/igzip_lib.h>
#include <libdeflate.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <string>

namespace braid::net {
namespace {

// How far an announced size is believed before a byte of it has appeared. Telemetry compresses 4-20 fold.
constexpr size_t kBelievableRatio = 32;
constexpr size_t kFirstSlab = 64u << 10;

// RFC 9659: what every HTTP peer must be able to decode, and the most we do.
constexpr int kZstdWindowLog = 23;
constexpr size_t kKeepZstdState = 2u << 20;

bool EqualsIgnoringCase(std::string_view a, std::string_view lower) {
  return std::equal(a.begin(), a.end(), lower.begin(), lower.end(),
                    [](char x, char y) { return (x >= 'A' && x <= 'Z' ? x + 32 : x) == y; });
}

bool Believable(uint64_t announced, size_t input, size_t max_bytes) {
  return announced <= max_bytes && announced <= std::max(kFirstSlab, input * kBelievableRatio);
}

Status TooLarge(std::string_view what, size_t max_bytes) {
  return ResourceExhausted(std::string(what) + ": larger than " + std::to_string(max_bytes) +
                           " bytes when decompressed");
}

Status NoMemory(std::string_view what) {
  return Unavailable(std::string(what) + ": no memory to decompress the body just now");
}

Status Corrupt(std::string_view what, std::string_view why) {
  return InvalidArgument(std::string(what) + ": " + std::string(why));
}

// Output that grows as it fills, up to `max_bytes`.
class Output {
 public:
  Output(SlabPool& pool, size_t input, size_t max_bytes) : max_bytes_(max_bytes) {
    slab_ = pool.Take(std::min({kFirstSlab, std::max<size_t>(input * 4, 1), std::max<size_t>(max_bytes, 1)}));
  }

  bool ok() const { return static_cast<bool>(slab_); }
  bool full() const { return slab_.size() >= max_bytes_; }

  // Room for at least one byte more. False if the pool refuses. REQUIRES: !full().
  bool Grow() {
    if (slab_.room() > 0) return true;
    return slab_.Reserve(std::min(slab_.size(), max_bytes_ - slab_.size()));
  }

  char* next() { return slab_.data() + slab_.size(); }
  size_t room() const { return std::min(slab_.room(), max_bytes_ - slab_.size()); }
  void Advance(size_t n) { slab_.set_size(slab_.size() + n); }
  Slab Take() { return std::move(slab_); }

 private:
  const size_t max_bytes_;
  Slab slab_;
};

struct FreeDeflate {
  void operator()(libdeflate_decompressor* d) const { libdeflate_free_decompressor(d); }
};
struct FreeZstdIn {
  void operator()(ZSTD_DCtx* d) const { ZSTD_freeDCtx(d); }
};
struct FreeZstdOut {
  void operator()(ZSTD_CCtx* c) const { ZSTD_freeCCtx(c); }
};

// zlib's stream, its window kept between uses.
class Inflater {
 public:
  enum class Format { kGzip, kZlib, kRaw };

  Inflater() = default;
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() {
    if (ready_) inflateEnd(&stream_);
  }

  z_stream* Begin(Format format) {
    const int bits = format == Format::kGzip ? 15 + 16 : format == Format::kZlib ? 15 : -15;
    const int rc = ready_ ? inflateReset2(&stream_, bits) : inflateInit2(&stream_, bits);
    if (rc != Z_OK) return nullptr;
    ready_ = true;
    return &stream_;
  }

 private:
  z_stream stream_{};
  bool ready_ = false;
};

Inflater& ThreadInflater() {
  thread_local Inflater inflater;
  return inflater;
}

// The careful way: grows as output appears, knows all members, and names what is wrong.
Result<Slab> InflateStream(Inflater::Format format, std::string_view what, std::string_view input,
                           size_t max_bytes, SlabPool& pool) {
  z_stream* stream = ThreadInflater().Begin(format);
  if (stream == nullptr) return NoMemory(what);
  Output out(pool, input.size(), max_bytes);
  if (!out.ok()) return NoMemory(what);

  // zlib counts in 32 bits; bodies are bounded far below that by every caller, but not by this contract.
  if (input.size() > std::numeric_limits<uInt>::max()) return TooLarge(what, max_bytes);
  stream->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
  stream->avail_in = static_cast<uInt>(input.size());

  Bytef probe = 0;
  while (true) {
    const bool full = out.full();
    if (!full && !out.Grow()) return NoMemory(what);
    // At the bound, one byte of scratch tells "ends exactly here" from "goes on".
    stream->next_out = full ? &probe : reinterpret_cast<Bytef*>(out.next());
    const uInt room =
        full ? 1 : static_cast<uInt>(std::min<size_t>(out.room(), std::numeric_limits<uInt>::max()));
    stream->avail_out = room;
    const int rc = inflate(stream, Z_NO_FLUSH);
    const uInt produced = room - stream->avail_out;
    if (full && produced > 0) return TooLarge(what, max_bytes);
    if (!full) out.Advance(produced);

    if (rc == Z_STREAM_END) {
      if (stream->avail_in == 0) return out.Take();
      if (format != Inflater::Format::kGzip) {
        return Corrupt(what, std::to_string(stream->avail_in) + " bytes follow its end");
      }
      // Another member, or garbage; inflate() will say "incorrect header check" for the latter.
      if (inflateReset(stream) != Z_OK) return NoMemory(what);
      if (stream->avail_in < 2 || stream->next_in[0] != 0x1f || stream->next_in[1] != 0x8b) {
        return Corrupt(what, std::to_string(stream->avail_in) + " bytes follow its end");
      }
      continue;
    }
    if (rc == Z_MEM_ERROR) return NoMemory(what);
    if (rc == Z_NEED_DICT) return Corrupt(what, "needs a preset dictionary");
    if (rc != Z_OK && rc != Z_BUF_ERROR) {
      return Corrupt(what, std::string("corrupt: ") + (stream->msg != nullptr ? stream->msg : "bad data"));
    }
    if (stream->avail_in == 0 && stream->avail_out > 0) return Corrupt(what, "ends too early");
    if (rc == Z_BUF_ERROR && produced == 0 && stream->avail_in == 0) return Corrupt(what, "ends too early");
  }
}

Result<Slab> Gunzip(std::string_view input, size_t max_bytes, SlabPool& pool) {
  // The quick way, for one member whose trailer (ISIZE, RFC 1952) is honest. Whatever it does not accept is
  // done again the careful way, which alone decides what is an error.
  constexpr size_t kSmallestMember = 18;
  if (input.size() >= kSmallestMember) {
    uint32_t announced;
    std::memcpy(&announced, input.data() + input.size() - 4, sizeof announced);
    if (Believable(announced, input.size(), max_bytes)) {
      thread_local const std::unique_ptr<libdeflate_decompressor, FreeDeflate> decompressor(
          libdeflate_alloc_decompressor());
      Slab out = pool.Take(std::max<size_t>(announced, 1));
      if (!out || decompressor == nullptr) return NoMemory("gzip");
      size_t consumed = 0;
      size_t produced = 0;
      const libdeflate_result rc = libdeflate_gzip_decompress_ex(
          decompressor.get(), input.data(), input.size(), out.data(), announced, &consumed, &produced);
      if (rc == LIBDEFLATE_SUCCESS && consumed == input.size()) {
        out.set_size(produced);
        return out;
      }
    }
  }
  return InflateStream(Inflater::Format::kGzip, "gzip", input, max_bytes, pool);
}

Result<Slab> Inflate(std::string_view input, size_t max_bytes, SlabPool& pool) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(input[i]); };
  const bool zlib = input.size() >= 2 && (byte(0) & 0x0f) == 8 && (byte(0) << 8 | byte(1)) % 31 == 0;
  return InflateStream(zlib ? Inflater::Format::kZlib : Inflater::Format::kRaw, "deflate", input, max_bytes,
                       pool);
}

Result<Slab> Unzstd(std::string_view input, size_t max_bytes, SlabPool& pool) {
  if (input.empty()) return Corrupt("zstd", "ends too early");
  thread_local std::unique_ptr<ZSTD_DCtx, FreeZstdIn> context;
  if (context == nullptr) context.reset(ZSTD_createDCtx());
  if (context == nullptr) return NoMemory("zstd");

  const unsigned long long announced = ZSTD_getFrameContentSize(input.data(), input.size());
  const bool known = announced != ZSTD_CONTENTSIZE_UNKNOWN && announced != ZSTD_CONTENTSIZE_ERROR;
  if (known && announced > max_bytes) return TooLarge("zstd", max_bytes);
  if (known && Believable(announced, input.size(), max_bytes) &&
      ZSTD_findFrameCompressedSize(input.data(), input.size()) == input.size()) {
    Slab out = pool.Take(std::max<size_t>(announced, 1));
    if (!out) return NoMemory("zstd");
    const size_t size = ZSTD_decompressDCtx(context.get(), out.data(), announced, input.data(), input.size());
    if (ZSTD_isError(size)) return Corrupt("zstd", std::string("corrupt: ") + ZSTD_getErrorName(size));
    out.set_size(size);
    return out;
  }

  // Gives back the window of a stream that asked for a large one, however this function ends.
  struct Shrink {
    ~Shrink() {
      if (ZSTD_sizeof_DCtx(context.get()) > kKeepZstdState) context.reset();
    }
    std::unique_ptr<ZSTD_DCtx, FreeZstdIn>& context;
  } shrink{context};

  Output out(pool, input.size(), max_bytes);
  if (!out.ok()) return NoMemory("zstd");
  ZSTD_DCtx_reset(context.get(), ZSTD_reset_session_and_parameters);
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kZstdWindowLog);
  ZSTD_inBuffer in{input.data(), input.size(), 0};
  char probe = 0;
  while (true) {
    const bool full = out.full();
    if (!full && !out.Grow()) return NoMemory("zstd");
    ZSTD_outBuffer to{full ? &probe : out.next(), full ? 1 : out.room(), 0};
    const size_t rc = ZSTD_decompressStream(context.get(), &to, &in);
    if (ZSTD_isError(rc)) return Corrupt("zstd", std::string("corrupt: ") + ZSTD_getErrorName(rc));
    if (full && to.pos > 0) return TooLarge("zstd", max_bytes);
    if (!full) out.Advance(to.pos);
    if (rc == 0 && in.pos == in.size) return out.Take();
    if (in.pos == in.size && to.pos < to.size) return Corrupt("zstd", "ends too early");
  }
}

// Twice the room, content kept. Unbounded: see Compress().
void GrowUnbounded(Slab* slab, SlabPool& pool) {
  Slab larger = pool.TakeUnbounded(slab->capacity() * 2);
  larger.Append(slab->view());
  *slab = std::move(larger);
}

Slab Gzip(std::string_view input, SlabPool& pool) {
  struct State {
    isal_zstream stream;
    uint8_t level_buffer[ISAL_DEF_LVL1_DEFAULT];
  };
  thread_local const auto state = std::make_unique<State>();
  isal_zstream& stream = state->stream;
  isal_deflate_init(&stream);
  stream.level = 1;
  stream.level_buf = state->level_buffer;
  stream.level_buf_size = ISAL_DEF_LVL1_DEFAULT;
  stream.gzip_flag = IGZIP_GZIP;
  stream.flush = NO_FLUSH;

  Slab out = pool.TakeUnbounded(input.size() / 4 + 512);
  size_t taken = 0;
  do {
    // ISA-L counts in 32 bits.
    const size_t piece = std::min<size_t>(input.size() - taken, 1u << 30);
    stream.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(input.data() + taken));
    stream.avail_in = static_cast<uint32_t>(piece);
    taken += piece;
    stream.end_of_stream = taken == input.size() ? 1 : 0;
    do {
      if (out.room() == 0) GrowUnbounded(&out, pool);
      const auto room = static_cast<uint32_t>(std::min<size_t>(out.room(), 1u << 30));
      stream.next_out = reinterpret_cast<uint8_t*>(out.data() + out.size());
      stream.avail_out = room;
      isal_deflate(&stream);
      out.set_size(out.size() + room - stream.avail_out);
    } while (stream.avail_in > 0 || (stream.end_of_stream != 0 && stream.internal_state.state != ZSTATE_END));
  } while (taken < input.size());
  return out;
}

Slab Zstd(std::string_view input, SlabPool& pool) {
  thread_local const std::unique_ptr<ZSTD_CCtx, FreeZstdOut> context(ZSTD_createCCtx());
  ZSTD_CCtx_reset(context.get(), ZSTD_reset_session_and_parameters);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, 1);
  ZSTD_CCtx_setPledgedSrcSize(context.get(), input.size());
  Slab out = pool.TakeUnbounded(input.size() / 4 + 512);
  ZSTD_inBuffer in{input.data(), input.size(), 0};
  while (true) {
    ZSTD_outBuffer to{out.data() + out.size(), out.room(), 0};
    const size_t left = ZSTD_compressStream2(context.get(), &to, &in, ZSTD_e_end);
    out.set_size(out.size() + to.pos);
    // With these parameters an error can only be lack of memory, which is fatal everywhere else too.
    if (ZSTD_isError(left)) throw std::bad_alloc();
    if (left == 0) return out;
    if (out.room() == 0) GrowUnbounded(&out, pool);
  }
}

}  // namespace

Result<Encoding> ParseEncoding(std::string_view name) {
  if (name.empty() || EqualsIgnoringCase(name, "identity")) return Encoding::kIdentity;
  if (EqualsIgnoringCase(name, "gzip") || EqualsIgnoringCase(name, "x-gzip")) return Encoding::kGzip;
  if (EqualsIgnoringCase(name, "deflate") || EqualsIgnoringCase(name, "zlib")) return Encoding::kDeflate;
  if (EqualsIgnoringCase(name, "zstd")) return Encoding::kZstd;
  // The name is the sender's: bound what is repeated back.
  return InvalidArgument("unsupported encoding \"" + std::string(name.substr(0, 32)) +
                         "\"; supported are identity, gzip, deflate and zstd");
}

std::string_view EncodingName(Encoding encoding) {
  switch (encoding) {
    case Encoding::kIdentity: return "identity";
    case Encoding::kGzip: return "gzip";
    case Encoding::kDeflate: return "deflate";
    case Encoding::kZstd: return "zstd";
  }
  return "";
}

Result<Slab> Decompress(Encoding encoding, std::string_view input, size_t max_bytes, SlabPool& pool) {
  switch (encoding) {
    case Encoding::kGzip: return Gunzip(input, max_bytes, pool);
    case Encoding::kDeflate: return Inflate(input, max_bytes, pool);
    case Encoding::kZstd: return Unzstd(input, max_bytes, pool);
    case Encoding::kIdentity: break;
  }
  return Internal("identity is not a compression");
}

Result<Slab> DecompressSnappy(std::string_view input, size_t max_bytes, SlabPool& pool) {
  size_t size = 0;
  if (!snappy::GetUncompressedLength(input.data(), input.size(), &size)) {
    return Corrupt("snappy", "no length at its beginning");
  }
  if (size > max_bytes) return TooLarge("snappy", max_bytes);
  // The densest element, a copy with a two-byte offset, makes 64 bytes of three.
  if (size > (input.size() / 3 + 1) * 64) return Corrupt("snappy", "claims more than so few bytes can hold");
  Slab out = pool.Take(std::max<size_t>(size, 1));
  if (!out) return NoMemory("snappy");
  if (!snappy::RawUncompress(input.data(), input.size(), out.data())) return Corrupt("snappy", "corrupt");
  out.set_size(size);
  return out;
}

Slab Compress(Encoding encoding, std::string_view input, SlabPool& pool) {
  return encoding == Encoding::kZstd ? Zstd(input, pool) : Gzip(input, pool);
}

}  // namespace braid::net
