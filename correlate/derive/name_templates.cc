#include "correlate/derive/name_templates.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "correlate/model/epoch.h"

namespace braid::correlate {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHex(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Bytes of other scripts belong to words.
bool IsWord(char c) {
  return IsDigit(c) || IsLetter(c) || c == '_' || c == '-' || (static_cast<unsigned char>(c) & 0x80) != 0;
}

bool IsUuid(std::string_view word) {
  if (word.size() != 36) return false;
  for (size_t i = 0; i < word.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? word[i] != '-' : !IsHex(word[i])) return false;
  }
  return true;
}

// What a piece of a word without dashes and underscores is, empty if it is to stay.
std::string_view ClassOf(std::string_view piece) {
  const auto digits = static_cast<size_t>(std::count_if(piece.begin(), piece.end(), IsDigit));
  if (digits == 0) return {};
  if (digits == piece.size()) return "{id}";
  if (piece.size() >= 8 && std::all_of(piece.begin(), piece.end(), IsHex)) return "{hash}";
  // Letters and digits in turns, as in base-62 IDs; "utf8", "http2", "area51" are not.
  size_t turns = 0;
  for (size_t i = 1; i < piece.size(); ++i) turns += IsDigit(piece[i]) != IsDigit(piece[i - 1]);
  if (piece.size() >= 16 && digits >= 2 && turns >= 4) return "{hash}";
  return {};
}

}  // namespace

void NameTemplates::Split(std::string_view name, std::vector<Part>* parts) {
  parts->clear();
  for (size_t at = 0; at < name.size();) {
    size_t end = at + 1;
    const bool word = IsWord(name[at]);
    while (end < name.size() && IsWord(name[end]) == word) ++end;
    parts->push_back({name.substr(at, end - at), word});
    at = end;
  }
}

// ---- Nodes ------------------------------------------------------------------------------------------------

NameTemplates::NameTemplates(const Options& options, uint64_t seed)
    : options_(options), seed_(seed), admission_(options.max_nodes) {}

// At the end of its service's young nodes.
void NameTemplates::Link(uint32_t node) {
  Service& service = services_[nodes_[node].service];
  nodes_[node].older = service.newest;
  nodes_[node].newer = kNone;
  (service.newest == kNone ? service.oldest : nodes_[service.newest].newer) = node;
  service.newest = node;
}

void NameTemplates::Unlink(uint32_t node) {
  const Node& gone = nodes_[node];
  Service& service = services_[gone.service];
  (gone.older == kNone ? service.oldest : nodes_[gone.older].newer) = gone.newer;
  (gone.newer == kNone ? service.newest : nodes_[gone.newer].older) = gone.older;
}

uint32_t NameTemplates::ServiceOf(uint64_t key) {
  const auto [at, fresh] = services_by_key_.try_emplace(key, static_cast<uint32_t>(services_.size()));
  if (!fresh) return at->second;
  if (free_services_.empty()) {
    services_.emplace_back();
  } else {
    at->second = free_services_.back();
    free_services_.pop_back();
  }
  services_[at->second] = {.key = key};
  return at->second;
}

// A node without children, or kNone if there is no room for it.
uint32_t NameTemplates::Add(uint64_t service_key, uint64_t key) {
  const uint32_t owner = ServiceOf(service_key);
  Service& service = services_[owner];
  bool room = admission_.Admit(owner);
  if (!room && service.oldest != kNone) {
    ++service.nodes;  // so that it does not lose its number with its last node
    Remove(service.oldest);
    --service.nodes;
    room = admission_.Admit(owner);
    ++replaced_;
  }
  if (!room) {
    ++refused_;
    if (service.nodes == 0) {
      services_by_key_.erase(service.key);
      free_services_.push_back(owner);
    }
    return kNone;
  }
  ++service.nodes;
  uint32_t at = static_cast<uint32_t>(nodes_.size());
  if (free_nodes_.empty()) {
    nodes_.emplace_back();
  } else {
    at = free_nodes_.back();
    free_nodes_.pop_back();
  }
  nodes_[at].key = key;
  nodes_[at].service = owner;
  nodes_[at].live = true;
  nodes_by_key_.emplace(key, at);
  return at;
}

void NameTemplates::Remove(uint32_t at) {
  Node& node = nodes_[at];
  if (node.young()) Unlink(at);
  nodes_by_key_.erase(node.key);
  admission_.Release(node.service);
  if (Service& service = services_[node.service]; --service.nodes == 0) {
    services_by_key_.erase(service.key);
    free_services_.push_back(node.service);
  }
  node = Node{};
  free_nodes_.push_back(at);
}

void NameTemplates::Advance(uint64_t tick) {
  const uint64_t passed = tick - std::exchange(now_, tick);
  const uint64_t period = std::max<uint64_t>(options_.idle_ticks / 8, 1);
  const size_t size = nodes_.size();
  const size_t part = passed >= period ? size : std::min<size_t>(size, size * passed / period + 1);
  for (size_t left = part; left != 0; --left) {
    if (++sweep_ >= size) sweep_ = 0;
    const Node& node = nodes_[sweep_];
    if (node.live && static_cast<uint32_t>(tick) - node.last_tick > options_.idle_ticks)
      Remove(static_cast<uint32_t>(sweep_));
  }
}

size_t NameTemplates::bytes() const {
  // Close enough: how much of their capacity the children use is not counted.
  constexpr size_t kMapEntry = sizeof(std::pair<uint64_t, uint32_t>) + 1;
  size_t bytes = nodes_.capacity() * sizeof(Node) + services_.capacity() * sizeof(Service) +
                 (nodes_by_key_.capacity() + services_by_key_.capacity()) * kMapEntry;
  for (const Node& node : nodes_) bytes += node.children.capacity() * sizeof(uint32_t);
  return bytes;
}

// ---- Names ------------------------------------------------------------------------------------------------

// Whether any word may stand behind this beginning.
bool NameTemplates::Learn(uint64_t service, uint64_t key, std::string_view word) {
  const auto known = nodes_by_key_.find(key);
  const uint32_t at = known != nodes_by_key_.end() ? known->second : Add(service, key);
  if (at == kNone) return false;
  Node& node = nodes_[at];
  node.last_tick = static_cast<uint32_t>(now_);
  if (node.open) return true;
  const auto hash = static_cast<uint32_t>(XXH3_64bits_withSeed(word.data(), word.size(), seed_));
  const auto place = std::lower_bound(node.children.begin(), node.children.end(), hash);
  if (place != node.children.end() && *place == hash) return false;
  if (node.young()) Unlink(at);
  if (node.children.size() >= options_.max_children) {
    node.open = true;
    node.children = {};
    return true;
  }
  node.children.insert(place, hash);
  if (node.young()) Link(at);
  return false;
}

std::string_view NameTemplates::Apply(std::string_view service, std::string_view name,
                                      std::string_view route) {
  Split(name, &parts_);
  masked_.clear();
  bool masked = false;
  for (const Part& part : parts_) {
    if (!part.word) {
      masked_.append(part.text);
      continue;
    }
    if (IsUuid(part.text)) {
      masked_.append("{uuid}");
      masked = true;
      continue;
    }
    for (std::string_view rest = part.text; !rest.empty();) {
      const size_t size = std::min(rest.find_first_of("-_"), rest.size());
      const std::string_view piece = rest.substr(0, size);
      const std::string_view what = ClassOf(piece);
      masked |= !what.empty();
      masked_.append(what.empty() ? piece : what);
      if (size < rest.size()) masked_ += rest[size];
      rest.remove_prefix(std::min(size + 1, rest.size()));
    }
  }
  if (masked && !route.empty()) {
    out_.assign(route);
    return out_;
  }

  Split(masked_, &parts_);
  const uint64_t whose = XXH3_64bits_withSeed(service.data(), service.size(), seed_);
  uint64_t node = Mix64(whose ^ parts_.size());
  out_.clear();
  bool first = true;
  for (const Part& part : parts_) {
    std::string_view text = part.text;
    // What has been recognised already is not learned again: "{id}" splits into '{', "id" and '}'.
    if (part.word && !first && Learn(whose, node, part.text)) text = "<_>";
    if (part.word) first = false;
    out_.append(text);
    node = XXH3_64bits_withSeed(text.data(), text.size(), node);
  }
  return out_;
}

}  // namespace braid::correlate
