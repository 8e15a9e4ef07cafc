#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace braid::correlate {

// Finds what varies in span names, so that "GET /cart/8731" and "GET /cart/9204" count as one operation.
//
// In this order: parts that are numbers, UUIDs, hashes or long random words become {id}, {uuid}, {hash};
// where that changed anything and instrumentation gave a route or operation, that is the name instead; then
// parts that have taken more than `max_children` values behind the same beginning become <_>. The first part
// of a name is never learned away, so that unlike operations stay apart.
//
// What it has learned depends on the order of the names it saw, so learned names are a function of the
// shard's records, as all of the fold.
//
// Thread rule: one shard's thread. Bound: `max_nodes` beginnings of at most `max_children` hashes; beyond it
// nothing new is learned.
class NameTemplates {
 public:
  struct Options {
    size_t max_children = 100;
    size_t max_nodes = 8192;
  };

  NameTemplates(const Options& options, uint64_t seed) : options_(options), seed_(seed) {}

  // The name that `name` of `service` counts under, which may be `name` itself. The view lives until the next
  // call.
  std::string_view Apply(std::string_view service, std::string_view name, std::string_view route);

  size_t nodes() const { return nodes_.size(); }

 private:
  struct Node {
    std::vector<uint32_t> children;  // hashes
    bool open = false;               // has had too many: anything goes
  };
  struct Part {
    std::string_view text;
    bool word = false;  // else what stands between words
  };

  static void Split(std::string_view name, std::vector<Part>* parts);
  bool Learn(uint64_t node, std::string_view word);

  const Options options_;
  const uint64_t seed_;
  absl::flat_hash_map<uint64_t, Node> nodes_;  // looked up, never iterated
  std::vector<Part> parts_;
  std::string masked_;
  std::string out_;
};

}  // namespace braid::correlate
