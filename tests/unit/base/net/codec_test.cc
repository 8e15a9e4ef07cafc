#include "base/net/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <snappy.h>
#include <zlib.h>
#include <zstd.h>

#include <cstring>
#include <random>
#include <string>

namespace braid::net {
namespace {

constexpr size_t kCap = 64u << 20;

std::string Telemetry(size_t size) {
  std::string text;
  std::mt19937_64 random(7);
  while (text.size() < size) {
    text += "service.name=checkout http.route=/cart/" + std::to_string(random() % 1000) + ";";
  }
  text.resize(size);
  return text;
}

std::string Noise(size_t size) {
  std::string bytes(size, '\0');
  std::mt19937_64 random(11);
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

// zlib as an independent writer: window bits 31 gzip, 15 zlib, -15 raw.
std::string Deflate(std::string_view input, int window_bits, int level = 6) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, level, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, input.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Gzip(std::string_view input) { return Deflate(input, 31); }

std::string Zstd(std::string_view input) {
  std::string out(ZSTD_compressBound(input.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), input.data(), input.size(), 3));
  return out;
}

// A frame without its content size, as streaming senders write.
std::string ZstdStreamed(std::string_view input, int window_log = 0) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  if (window_log != 0) ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  std::string out(ZSTD_compressBound(input.size()) + 1024, '\0');
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  for (size_t half = input.size() / 2, at = 0; at < input.size(); at += half) {
    half = std::min(std::max<size_t>(half, 1), input.size() - at);
    ZSTD_inBuffer in{input.data() + at, half, 0};
    ZSTD_compressStream2(context, &to, &in, ZSTD_e_flush);
  }
  ZSTD_inBuffer none{nullptr, 0, 0};
  ZSTD_compressStream2(context, &to, &none, ZSTD_e_end);
  ZSTD_freeCCtx(context);
  out.resize(to.pos);
  return out;
}

class CodecTest : public testing::Test {
 protected:
  Result<Slab> Open(Encoding encoding, std::string_view input, size_t cap = kCap) {
    return Decompress(encoding, input, cap, pool_);
  }
  Code CodeOf(Encoding encoding, std::string_view input, size_t cap = kCap) {
    return Open(encoding, input, cap).status().code();
  }
  void TearDown() override { EXPECT_EQ(pool_.used_bytes(), 0u) << "a slab was not given back"; }

  SlabPool pool_{{.max_bytes = 256u << 20}};
};

// Scenario: bodies of every size class in every encoding, written by the formats' own libraries.
// Guarantees: exactly the original bytes come out.
TEST_F(CodecTest, OpensWhatOthersWrite) {
  for (const size_t size : {0u, 1u, 100u, 4096u, 250'000u, 5'000'000u}) {
    const std::string text = Telemetry(size);
    const std::string noise = Noise(size);
    for (const std::string& body : {text, noise}) {
      EXPECT_EQ(Open(Encoding::kGzip, Gzip(body)).value().view(), body);
      EXPECT_EQ(Open(Encoding::kDeflate, Deflate(body, 15)).value().view(), body);
      EXPECT_EQ(Open(Encoding::kDeflate, Deflate(body, -15)).value().view(), body);
      EXPECT_EQ(Open(Encoding::kZstd, Zstd(body)).value().view(), body);
      EXPECT_EQ(Open(Encoding::kZstd, ZstdStreamed(body)).value().view(), body);
    }
  }
}

// Scenario: what Compress writes is opened by the formats' own libraries.
// Guarantees: round trip for every size, incompressible input included; the lease stays near the content.
TEST_F(CodecTest, WritesWhatOthersOpen) {
  for (const size_t size : {0u, 1u, 100u, 4096u, 250'000u, 3'000'000u}) {
    for (const std::string& body : {Telemetry(size), Noise(size)}) {
      const Slab gzip = Compress(Encoding::kGzip, body, pool_);
      std::string back(body.size() + 1, '\0');
      z_stream stream{};
      ASSERT_EQ(inflateInit2(&stream, 31), Z_OK);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(gzip.data()));
      stream.avail_in = static_cast<uInt>(gzip.size());
      stream.next_out = reinterpret_cast<Bytef*>(back.data());
      stream.avail_out = static_cast<uInt>(back.size());
      EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
      EXPECT_EQ(stream.avail_in, 0u);
      EXPECT_EQ(std::string_view(back).substr(0, stream.total_out), body);
      inflateEnd(&stream);

      const Slab zstd = Compress(Encoding::kZstd, body, pool_);
      EXPECT_EQ(ZSTD_decompress(back.data(), back.size(), zstd.data(), zstd.size()), body.size());
      EXPECT_EQ(std::string_view(back).substr(0, body.size()), body);
    }
  }
  const Slab small = Compress(Encoding::kGzip, Telemetry(1 << 20), pool_);
  EXPECT_LE(small.capacity(), 512u << 10);
}

// Scenario: Compress is called while the pool is at its bound.
// Guarantees: it still works, and the lease is counted.
TEST_F(CodecTest, CompressesBeyondTheBound) {
  SlabPool tight({.max_bytes = 4096});
  const Slab all = tight.Take(4096);
  const Slab out = Compress(Encoding::kGzip, Telemetry(100'000), tight);
  EXPECT_TRUE(out);
  EXPECT_GT(tight.used_bytes(), tight.max_bytes());
}

// Scenario: several gzip members, several zstd frames, one of them empty, and a skippable frame.
// Guarantees: their contents are joined.
TEST_F(CodecTest, JoinsMembers) {
  const std::string a = Telemetry(70'000);
  const std::string b = Telemetry(10);
  EXPECT_EQ(Open(Encoding::kGzip, Gzip(a) + Gzip("") + Gzip(b)).value().view(), a + b);
  EXPECT_EQ(Open(Encoding::kZstd, Zstd(a) + Zstd(b)).value().view(), a + b);
  const std::string skippable("\x50\x2a\x4d\x18\x03\x00\x00\x00xyz", 11);
  EXPECT_EQ(Open(Encoding::kZstd, skippable + Zstd(b)).value().view(), b);
}

// Scenario: a good body with bytes after its end.
// Guarantees: refused, not silently cut.
TEST_F(CodecTest, RefusesTrailingGarbage) {
  for (const std::string& tail : {std::string("x"), std::string("garbage"), std::string(100, '\0')}) {
    EXPECT_EQ(CodeOf(Encoding::kGzip, Gzip("hello") + tail), Code::kInvalidArgument);
    EXPECT_EQ(CodeOf(Encoding::kDeflate, Deflate("hello", 15) + tail), Code::kInvalidArgument);
    EXPECT_EQ(CodeOf(Encoding::kDeflate, Deflate("hello", -15) + tail), Code::kInvalidArgument);
    EXPECT_EQ(CodeOf(Encoding::kZstd, Zstd("hello") + tail), Code::kInvalidArgument);
  }
  EXPECT_THAT(Open(Encoding::kGzip, Gzip("hello") + "tail").status().message(),
              testing::HasSubstr("4 bytes follow"));
}

// Scenario: every proper prefix of a body.
// Guarantees: kInvalidArgument for each, never a short success.
TEST_F(CodecTest, RefusesEveryTruncation) {
  const std::string body = Telemetry(2'000);
  const std::vector<std::pair<Encoding, std::string>> bodies = {{Encoding::kGzip, Gzip(body)},
                                                                {Encoding::kDeflate, Deflate(body, 15)},
                                                                {Encoding::kDeflate, Deflate(body, -15)},
                                                                {Encoding::kZstd, Zstd(body)},
                                                                {Encoding::kZstd, ZstdStreamed(body)}};
  for (const auto& [encoding, bytes] : bodies) {
    for (size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_EQ(CodeOf(encoding, std::string_view(bytes).substr(0, size)), Code::kInvalidArgument)
          << EncodingName(encoding) << " cut at " << size;
    }
  }
}

// Scenario: every single bit of a checksummed body is flipped, one at a time.
// Guarantees: an error, or (a bit that means nothing, like gzip's mtime) the original content.
TEST_F(CodecTest, NoCorruptionPasses) {
  const std::string body = Telemetry(600);
  const std::vector<std::pair<Encoding, std::string>> bodies = {{Encoding::kGzip, Gzip(body)},
                                                                {Encoding::kDeflate, Deflate(body, 15)},
                                                                {Encoding::kZstd, ZstdStreamed(body)}};
  for (const auto& [encoding, good] : bodies) {
    for (size_t bit = 0; bit < good.size() * 8; ++bit) {
      std::string bytes = good;
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
      const Result<Slab> out = Open(encoding, bytes);
      if (out.ok()) {
        EXPECT_EQ(out.value().view(), body) << EncodingName(encoding) << " bit " << bit;
      } else {
        EXPECT_THAT(out.status().code(), testing::AnyOf(Code::kInvalidArgument, Code::kResourceExhausted))
            << EncodingName(encoding) << " bit " << bit;
      }
    }
  }
}

// Scenario: random bytes in place of a body.
// Guarantees: an error, no crash.
TEST_F(CodecTest, RefusesNoise) {
  for (const Encoding encoding : {Encoding::kGzip, Encoding::kZstd}) {
    EXPECT_EQ(CodeOf(encoding, Noise(10'000)), Code::kInvalidArgument);
    EXPECT_EQ(CodeOf(encoding, ""), Code::kInvalidArgument);
  }
}

// Scenario: bombs of 1000:1 and more, with honest and with lying sizes.
// Guarantees: kResourceExhausted, and never more than twice the cap is leased on the way.
TEST_F(CodecTest, StopsBombsAtTheCap) {
  const std::string zeros(20u << 20, '\0');
  constexpr size_t kSmallCap = 1u << 20;
  std::string lying = Gzip(zeros);
  lying[lying.size() - 1] = 0;
  lying[lying.size() - 2] = 0;
  const std::vector<std::pair<Encoding, std::string>> bombs = {
      {Encoding::kGzip, Gzip(zeros)},           {Encoding::kGzip, lying},
      {Encoding::kDeflate, Deflate(zeros, 15)}, {Encoding::kZstd, Zstd(zeros)},
      {Encoding::kZstd, ZstdStreamed(zeros)},
  };
  SlabPool tight({.max_bytes = 3u << 20});
  for (const auto& [encoding, bytes] : bombs) {
    EXPECT_EQ(Decompress(encoding, bytes, kSmallCap, tight).status().code(), Code::kResourceExhausted)
        << EncodingName(encoding);
  }
  EXPECT_EQ(tight.used_bytes(), 0u);
}

// Scenario: content of exactly the cap, and one byte more.
// Guarantees: the cap itself passes.
TEST_F(CodecTest, CapIsInclusive) {
  const std::string body = Telemetry(100'000);
  const std::vector<std::pair<Encoding, std::string>> bodies = {
      {Encoding::kGzip, Gzip(body)},
      {Encoding::kGzip, Gzip(body.substr(0, 50'000)) + Gzip(body.substr(50'000))},
      {Encoding::kDeflate, Deflate(body, 15)},
      {Encoding::kZstd, Zstd(body)},
      {Encoding::kZstd, ZstdStreamed(body)}};
  for (const auto& [encoding, bytes] : bodies) {
    EXPECT_EQ(Open(encoding, bytes, body.size()).value().view(), body);
    EXPECT_EQ(CodeOf(encoding, bytes, body.size() - 1), Code::kResourceExhausted) << EncodingName(encoding);
  }
}

// Scenario: tiny bodies that announce 60 MiB.
// Guarantees: the announcement leases nothing; the error is about what is really there.
TEST_F(CodecTest, AnnouncedSizesLeaseNothing) {
  SlabPool tight({.max_bytes = 128u << 10});
  std::string gzip = Gzip("tiny");
  const uint32_t announced = 60u << 20;
  std::memcpy(gzip.data() + gzip.size() - 4, &announced, 4);
  EXPECT_EQ(Decompress(Encoding::kGzip, gzip, kCap, tight).status().code(), Code::kInvalidArgument);

  // A zstd frame of one raw block, single segment, 4-byte content size.
  std::string zstd("\x28\xb5\x2f\xfd\xa0\0\0\xc0\x03\x21\0\0abcd", 16);
  EXPECT_EQ(Decompress(Encoding::kZstd, zstd, kCap, tight).status().code(), Code::kInvalidArgument);
}

// Scenario: the pool has no room for the content.
// Guarantees: kUnavailable (try again later), not an error of the sender.
TEST_F(CodecTest, OutOfBudgetIsTemporary) {
  SlabPool tight({.max_bytes = 64u << 10});
  const std::string body = Telemetry(1u << 20);
  for (const auto& [encoding, bytes] :
       std::vector<std::pair<Encoding, std::string>>{{Encoding::kGzip, Gzip(body)},
                                                     {Encoding::kDeflate, Deflate(body, 15)},
                                                     {Encoding::kZstd, Zstd(body)},
                                                     {Encoding::kZstd, ZstdStreamed(body)}}) {
    EXPECT_EQ(Decompress(encoding, bytes, kCap, tight).status().code(), Code::kUnavailable);
    EXPECT_EQ(tight.used_bytes(), 0u);
  }
}

// Scenario: a zstd stream with a window of 128 MiB.
// Guarantees: refused before that memory is taken.
TEST_F(CodecTest, RefusesHugeZstdWindows) {
  const std::string body = Telemetry(100'000);
  EXPECT_EQ(CodeOf(Encoding::kZstd, ZstdStreamed(body, 27)), Code::kInvalidArgument);
  EXPECT_EQ(Open(Encoding::kZstd, ZstdStreamed(body, 23)).value().view(), body);
}

// Scenario: snappy blocks, whole, cut, damaged and empty.
// Guarantees: what went in comes out; every fault is the sender's.
TEST_F(CodecTest, Snappy) {
  for (const std::string& body :
       {std::string(), Telemetry(1), Telemetry(300'000), Noise(10'000), std::string(1u << 20, 'x')}) {
    std::string compressed;
    snappy::Compress(body.data(), body.size(), &compressed);
    SlabPool pool({});
    const Result<Slab> opened = DecompressSnappy(compressed, kCap, pool);
    ASSERT_TRUE(opened.ok()) << opened.status().message();
    EXPECT_EQ(opened->view(), body);
    for (const size_t keep : {size_t{0}, compressed.size() / 2, compressed.size() - 1}) {
      EXPECT_EQ(DecompressSnappy(std::string_view(compressed).substr(0, keep), kCap, pool).status().code(),
                Code::kInvalidArgument)
          << keep << " of " << compressed.size();
    }
    EXPECT_EQ(DecompressSnappy(compressed + "x", kCap, pool).status().code(), Code::kInvalidArgument);
  }
}

// Scenario: headers that announce much: above the cap, and below it but more than the input can stand for.
// Guarantees: refused by the header alone: a pool that has nothing is not even asked.
TEST_F(CodecTest, SnappyBombsAreRefusedByTheirHeader) {
  SlabPool empty({.max_bytes = 0});
  const std::string large = "\xff\xff\xff\xff\x0f";  // 4 GiB
  EXPECT_EQ(DecompressSnappy(large, kCap, empty).status().code(), Code::kResourceExhausted);
  const std::string inflated = std::string("\x80\x80\x80\x10") + std::string(1'000, 'x');  // 32 MiB in a KiB
  EXPECT_EQ(DecompressSnappy(inflated, kCap, empty).status().code(), Code::kInvalidArgument);
  std::string honest;
  const std::string body(1u << 20, 'x');  // the densest there is
  snappy::Compress(body.data(), body.size(), &honest);
  EXPECT_EQ(DecompressSnappy(honest, kCap, empty).status().code(), Code::kUnavailable);
  EXPECT_EQ(DecompressSnappy(honest, body.size() - 1, empty).status().code(), Code::kResourceExhausted);
}

// Scenario: names as they come in headers.
// Guarantees: known ones in any case; everything else, lists included, is refused with what is supported.
TEST_F(CodecTest, ParsesNames) {
  EXPECT_EQ(ParseEncoding("").value(), Encoding::kIdentity);
  EXPECT_EQ(ParseEncoding("identity").value(), Encoding::kIdentity);
  EXPECT_EQ(ParseEncoding("GZip").value(), Encoding::kGzip);
  EXPECT_EQ(ParseEncoding("x-gzip").value(), Encoding::kGzip);
  EXPECT_EQ(ParseEncoding("deflate").value(), Encoding::kDeflate);
  EXPECT_EQ(ParseEncoding("zstd").value(), Encoding::kZstd);
  for (const char* name : {"br", "snappy", "gzip, gzip", "gzip2", "gzi", " gzip"}) {
    EXPECT_EQ(ParseEncoding(name).status().code(), Code::kInvalidArgument) << name;
  }
  EXPECT_LT(ParseEncoding(std::string(10'000, 'a')).status().message().size(), 200u);
}

}  // namespace
}  // namespace braid::net
