#include "ingest/http/body_buffer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace braid::ingest {
namespace {

using Fill = BodyBuffer::Fill;

std::string Prefix(uint32_t length, char flag = 0) {
  return {flag, static_cast<char>(length >> 24), static_cast<char>(length >> 16),
          static_cast<char>(length >> 8), static_cast<char>(length)};
}

class BodyBufferTest : public testing::Test {
 protected:
  SlabPool pool_{{.max_bytes = 8u << 20}};
  BodyBuffer body_;
};

// Scenario: the usual body, announced, arriving in read-sized pieces.
// Guarantees: one lease of at most 256 KiB, never moved.
TEST_F(BodyBufferTest, UsualBodyIsOneLease) {
  body_.Start(&pool_, 1u << 20, 250'000, false);
  ASSERT_EQ(body_.Append(std::string(65'536, 'a')), Fill::kOk);
  EXPECT_EQ(pool_.used_bytes(), 256u << 10);
  ASSERT_EQ(body_.Append(std::string(250'000 - 65'536, 'b')), Fill::kOk);
  EXPECT_EQ(pool_.used_bytes(), 256u << 10);
  const Slab slab = body_.Take();
  EXPECT_EQ(slab.view(), std::string(65'536, 'a') + std::string(250'000 - 65'536, 'b'));
}

// Scenario: a sender announces 8 MiB and sends one byte.
// Guarantees: the announcement leases no more than the first lease.
TEST_F(BodyBufferTest, AnnouncedLengthIsNotLeased) {
  body_.Start(&pool_, 64u << 20, 8u << 20, false);
  ASSERT_EQ(body_.Append("x"), Fill::kOk);
  EXPECT_LE(pool_.used_bytes(), BodyBuffer::kFirstLease);

  BodyBuffer grpc;
  grpc.Start(&pool_, 64u << 20, std::nullopt, true);
  ASSERT_EQ(grpc.Append(Prefix(8u << 20) + "x"), Fill::kOk);
  EXPECT_LE(pool_.used_bytes(), 2 * BodyBuffer::kFirstLease);
}

// Scenario: bodies around the limit.
// Guarantees: the limit itself passes, one byte more does not.
TEST_F(BodyBufferTest, LimitIsInclusive) {
  body_.Start(&pool_, 1'000, std::nullopt, false);
  EXPECT_EQ(body_.Append(std::string(1'000, 'x')), Fill::kOk);
  EXPECT_EQ(body_.Append("x"), Fill::kTooLarge);

  body_.Start(&pool_, 1'000, std::nullopt, true);
  EXPECT_EQ(body_.Append(Prefix(1'001)), Fill::kTooLarge);
  body_.Start(&pool_, 1'000, std::nullopt, true);
  EXPECT_EQ(body_.Append(Prefix(1'000) + std::string(1'000, 'x')), Fill::kOk);
  EXPECT_TRUE(body_.CheckGrpcEnd().ok());
}

// Scenario: the pool runs out while a body grows.
// Guarantees: kNoMemory, and everything is given back when the buffer is reused.
TEST_F(BodyBufferTest, PoolRefusal) {
  SlabPool tight({.max_bytes = 512u << 10});
  body_.Start(&tight, 64u << 20, std::nullopt, false);
  Fill fill = Fill::kOk;
  for (int i = 0; i < 100 && fill == Fill::kOk; ++i) fill = body_.Append(std::string(16'384, 'x'));
  EXPECT_EQ(fill, Fill::kNoMemory);
  EXPECT_LE(tight.used_bytes(), tight.max_bytes());
  body_.Start(&tight, 0, std::nullopt, false);
  EXPECT_EQ(tight.used_bytes(), 0u);
}

// Scenario: a gRPC message cut at every place, byte by byte included.
// Guarantees: the same message, whatever the cuts.
TEST_F(BodyBufferTest, GrpcMessageHoweverCut) {
  const std::string wire = Prefix(20, 1) + "abcdefghijklmnopqrst";
  for (size_t piece = 1; piece <= wire.size(); ++piece) {
    body_.Start(&pool_, 1'000, std::nullopt, true);
    for (size_t at = 0; at < wire.size(); at += piece) {
      ASSERT_EQ(body_.Append(std::string_view(wire).substr(at, piece)), Fill::kOk);
    }
    EXPECT_TRUE(body_.CheckGrpcEnd().ok());
    EXPECT_TRUE(body_.grpc_compressed());
    EXPECT_EQ(body_.Take().view(), "abcdefghijklmnopqrst");
  }
}

// Scenario: streams that end early, at every byte.
// Guarantees: no message at all is UNIMPLEMENTED (cardinality), a cut one INVALID_ARGUMENT with its numbers.
TEST_F(BodyBufferTest, GrpcTruncation) {
  const std::string wire = Prefix(10) + "0123456789";
  for (size_t size = 0; size < wire.size(); ++size) {
    body_.Start(&pool_, 1'000, std::nullopt, true);
    ASSERT_EQ(body_.Append(std::string_view(wire).substr(0, size)), Fill::kOk);
    EXPECT_EQ(body_.CheckGrpcEnd().code(), size == 0 ? Code::kUnimplemented : Code::kInvalidArgument) << size;
  }
  body_.Start(&pool_, 1'000, std::nullopt, true);
  ASSERT_EQ(body_.Append(Prefix(0)), Fill::kOk);
  EXPECT_TRUE(body_.CheckGrpcEnd().ok()) << "an empty message is a message";
  EXPECT_EQ(body_.Take().size(), 0u);
}

// Scenario: a second message, stray bytes, and a flag that is neither 0 nor 1.
// Guarantees: each is told apart.
TEST_F(BodyBufferTest, GrpcExtraBytesAndBadFlag) {
  body_.Start(&pool_, 1'000, std::nullopt, true);
  EXPECT_EQ(body_.Append(Prefix(2) + "ab" + Prefix(2) + "cd"), Fill::kExtraMessage);
  body_.Start(&pool_, 1'000, std::nullopt, true);
  ASSERT_EQ(body_.Append(Prefix(2) + "ab"), Fill::kOk);
  EXPECT_EQ(body_.Append("c"), Fill::kExtraMessage);
  body_.Start(&pool_, 1'000, std::nullopt, true);
  EXPECT_EQ(body_.Append(Prefix(2, 7)), Fill::kBadPrefix);
}

// Scenario: direct receiving, window by window.
// Guarantees: windows are never empty, never beyond the limit, and the content is whole.
TEST_F(BodyBufferTest, DirectWindows) {
  const size_t total = 1'000'000;
  body_.Start(&pool_, 4u << 20, total, false);
  size_t at = 0;
  while (at < total) {
    size_t size = 0;
    char* const to = body_.Window(total - at, &size);
    ASSERT_NE(to, nullptr);
    ASSERT_GT(size, 0u);
    ASSERT_LE(size, total - at);
    const size_t n = std::min<size_t>(size, 100'000);
    std::memset(to, static_cast<int>('a' + at % 26), n);
    body_.Commit(n);
    at += n;
  }
  EXPECT_EQ(body_.Take().size(), total);
}

}  // namespace
}  // namespace braid::ingest
