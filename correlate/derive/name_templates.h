#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "correlate/derive/admission.h"

namespace braid::correlate {

// Finds what varies in span names, so that "GET /cart/8731" and "GET /cart/9204" count as one operation.
//
// In this order: parts that are numbers, UUIDs, hashes or long random words become {id}, {uuid}, {hash};
// where that changed anything and instrumentation gave a route or operation, that is the name instead; then
// parts that have taken more than `max_children` values behind the same beginning become <_>. The first part
// of a name is never learned away, so that unlike operations stay apart.
//
// Values are collected in nodes, one for each beginning of a service's names. Nodes are shared fairly between
// services (see Admission). A service that wants one too many gives up its oldest *young* node, one that has
// seen a single value, because names that begin differently every time teach nothing; where it has none, the
// new beginning is not learned. A node that no name has come for in `idle_ticks` is forgotten, and what
// follows is learned anew.
//
// What it has learned depends on the order of the names it saw and on the ticks between them, so learned
// names are a function of the shard's records, as all of the fold.
//
// Thread rule: one shard's thread. Time rule: Advance(), from Tick records.
// Bound: `max_nodes` beginnings of at most `max_children` hashes, four bytes each.
class NameTemplates {
 public:
  struct Options {
    size_t max_children = 100;
    size_t max_nodes = 8192;

    // An hour. Names that are known to the SeriesTable do not come here, so a node whose names all repeat
    // looks idle; one that is forgotten costs up to max_children series until it has learned again.
    uint64_t idle_ticks = 72'000;
  };

  NameTemplates(const Options& options, uint64_t seed);

  // The name that `name` of `service` counts under, which may be `name` itself. The view lives until the next
  // call.
  std::string_view Apply(std::string_view service, std::string_view name, std::string_view route);

  // The fold's clock. Looks at a part of the nodes at a time, so that an idle one is forgotten at most an
  // eighth of `idle_ticks` late.
  void Advance(uint64_t tick);

  size_t nodes() const { return admission_.total(); }
  size_t bytes() const;

  // Since the last call: parts of names that found no node, and young nodes that gave way to another.
  uint64_t TakeRefused() { return std::exchange(refused_, 0); }
  uint64_t TakeReplaced() { return std::exchange(replaced_, 0); }

 private:
  static constexpr uint32_t kNone = ~0u;

  struct Node {
    uint64_t key = 0;
    std::vector<uint32_t> children;  // hashes, sorted
    uint32_t service = 0;            // index of services_
    uint32_t last_tick = 0;
    uint32_t older = kNone;  // among the young nodes of its service
    uint32_t newer = kNone;
    bool live = false;
    bool open = false;  // has had too many: anything goes
    bool young() const { return live && !open && children.size() == 1; }
  };
  struct Service {
    uint64_t key = 0;
    uint32_t nodes = 0;
    uint32_t oldest = kNone;  // of its young nodes
    uint32_t newest = kNone;
  };
  struct Part {
    std::string_view text;
    bool word = false;  // else what stands between words
  };

  static void Split(std::string_view name, std::vector<Part>* parts);
  bool Learn(uint64_t service, uint64_t node, std::string_view word);
  uint32_t Add(uint64_t service, uint64_t key);
  void Remove(uint32_t node);
  uint32_t ServiceOf(uint64_t key);
  void Link(uint32_t node);
  void Unlink(uint32_t node);

  const Options options_;
  const uint64_t seed_;
  uint64_t now_ = 0;
  Admission admission_;

  // Both maps are looked up, never iterated.
  std::vector<Node> nodes_;
  std::vector<uint32_t> free_nodes_;
  absl::flat_hash_map<uint64_t, uint32_t> nodes_by_key_;
  size_t sweep_ = 0;
  std::vector<Service> services_;  // those without nodes are free
  std::vector<uint32_t> free_services_;
  absl::flat_hash_map<uint64_t, uint32_t> services_by_key_;
  uint64_t refused_ = 0;
  uint64_t replaced_ = 0;

  std::vector<Part> parts_;
  std::string masked_;
  std::string out_;
};

}  // namespace braid::correlate
