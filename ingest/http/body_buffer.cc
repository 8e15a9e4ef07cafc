#include "ingest/http/body_buffer.h"

#include <algorithm>
#include <string>
#include <utility>

namespace braid::ingest {
namespace {

// First lease for a body of unknown length.
constexpr size_t kUnknownLease = 16u << 10;

}  // namespace

void BodyBuffer::Start(SlabPool* pool, size_t max_bytes, std::optional<uint64_t> expected, bool grpc) {
  pool_ = pool;
  max_bytes_ = max_bytes;
  // The length of a gRPC stream includes prefixes; the message's own length comes with its prefix.
  expected_ = grpc ? std::nullopt : expected;
  grpc_ = grpc;
  prefix_size_ = 0;
  prefix_ = {};
  slab_.Reset();
}

bool BodyBuffer::Grow(size_t n) {
  if (slab_ && n <= slab_.room()) return true;
  // Twice what is there, but no more than will come.
  const size_t size = slab_.size();
  size_t target = std::max(size + n, size * 2);
  if (!slab_) target = std::max(n, expected_ ? kFirstLease : kUnknownLease);
  if (expected_) target = std::max(size + n, static_cast<size_t>(std::min<uint64_t>(target, *expected_)));
  if (slab_) return slab_.Reserve(target - size);
  slab_ = pool_->Take(target);
  return static_cast<bool>(slab_);
}

BodyBuffer::Fill BodyBuffer::Append(std::string_view bytes) {
  if (grpc_ && prefix_size_ < kPrefix) {
    while (prefix_size_ < kPrefix && !bytes.empty()) {
      prefix_[prefix_size_++] = static_cast<uint8_t>(bytes.front());
      bytes.remove_prefix(1);
    }
    if (prefix_[0] > 1) return Fill::kBadPrefix;
    if (prefix_size_ < kPrefix) return Fill::kOk;
    expected_ =
        uint64_t{prefix_[1]} << 24 | uint64_t{prefix_[2]} << 16 | uint64_t{prefix_[3]} << 8 | prefix_[4];
    if (*expected_ > max_bytes_) return Fill::kTooLarge;
  }
  if (bytes.empty()) return Fill::kOk;
  if (grpc_ && slab_.size() + bytes.size() > *expected_) return Fill::kExtraMessage;
  if (slab_.size() + bytes.size() > max_bytes_) return Fill::kTooLarge;
  if (!Grow(bytes.size())) return Fill::kNoMemory;
  slab_.Append(bytes);
  return Fill::kOk;
}

char* BodyBuffer::Window(size_t limit, size_t* size) {
  if (!Grow(1)) return nullptr;
  *size = std::min(limit, slab_.room());
  return slab_.data() + slab_.size();
}

Status BodyBuffer::CheckGrpcEnd() const {
  if (prefix_size_ == 0) return Unimplemented("grpc: the call has no message; exactly one is expected");
  if (prefix_size_ < kPrefix) return InvalidArgument("grpc: the stream ends within a message prefix");
  if (slab_.size() < *expected_) {
    return InvalidArgument("grpc: the stream ends after " + std::to_string(slab_.size()) + " of the " +
                           std::to_string(*expected_) + " bytes that the message prefix announces");
  }
  return {};
}

Slab BodyBuffer::Take() {
  if (!slab_) Grow(1);
  return std::move(slab_);
}

}  // namespace braid::ingest
