#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace braid {

// The attributes that decide in which series a span counts. Decode mixes their values into Item::series, so
// that spans with equal Item::series count alike in all respects and the fold need not look at attributes
// again once it knows one of them.
//
// Thread rule: immutable once built. Lifetime: outlives every Decoder that was given it.
class WatchList {
 public:
  // When a key takes part. The fewer do, the fewer distinct Item::series.
  enum Class : uint8_t {
    kAlways = 1,
    kPeer = 2,      // only of spans that may be one side of an edge to an uninstrumented peer: all kinds but
                    // internal, and servers only where they have no parent
    kDatabase = 4,  // as kPeer; marks a call to a database
    kAddress = 8,   // as kPeer, but only beside a database marker
  };

  struct Key {
    std::string key;
    uint8_t classes = 0;
    uint16_t next = 0;  // 1 + index of the next key in the same bucket
  };

  static constexpr size_t kBuckets = 256;

  // A key that is watched already gets the classes added.
  void WatchSpan(std::string_view key, uint8_t classes);
  void WatchResource(std::string_view key);

  // Spans of resources that differ in anything at all are told apart.
  bool whole_resource = false;
  bool status_message = false;

  const std::vector<Key>& span_keys() const { return span_keys_; }
  const std::vector<std::string>& resource_keys() const { return resource_keys_; }

  // Bit n: some span key is n bytes long; bit 63: or longer.
  uint64_t sizes() const { return sizes_; }
  const std::array<uint16_t, kBuckets>& buckets() const { return buckets_; }

 private:
  std::vector<Key> span_keys_;
  std::vector<std::string> resource_keys_;
  uint64_t sizes_ = 0;
  std::array<uint16_t, kBuckets> buckets_{};  // 1 + index of the first key
};

// The bucket of a key, which has at least one byte.
#define BRAID_WATCH_BUCKET(key, size)                                          \
  ((static_cast<uint32_t>(static_cast<unsigned char>((key)[0])) * 31 +         \
    static_cast<uint32_t>(static_cast<unsigned char>((key)[(size) - 1])) * 7 + \
    static_cast<uint32_t>(size)) &                                             \
   255)

}  // namespace braid
