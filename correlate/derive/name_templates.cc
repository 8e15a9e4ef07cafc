#include "correlate/derive/name_templates.h"

#include <xxhash.h>

#include <algorithm>

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

// Whether any word may stand behind this beginning.
bool NameTemplates::Learn(uint64_t node, std::string_view word) {
  auto at = nodes_.find(node);
  if (at == nodes_.end()) {
    if (nodes_.size() >= options_.max_nodes) return false;
    at = nodes_.try_emplace(node).first;
  }
  Node& known = at->second;
  if (known.open) return true;
  const auto hash = static_cast<uint32_t>(XXH3_64bits_withSeed(word.data(), word.size(), seed_));
  const auto place = std::lower_bound(known.children.begin(), known.children.end(), hash);
  if (place != known.children.end() && *place == hash) return false;
  if (known.children.size() >= options_.max_children) {
    known.open = true;
    known.children = {};
    return true;
  }
  known.children.insert(place, hash);
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
  uint64_t node = XXH3_64bits_withSeed(service.data(), service.size(), seed_ ^ parts_.size());
  out_.clear();
  bool first = true;
  for (const Part& part : parts_) {
    std::string_view text = part.text;
    // What has been recognised already is not learned again: "{id}" splits into '{', "id" and '}'.
    if (part.word && !first && Learn(node, part.text)) text = "<_>";
    if (part.word) first = false;
    out_.append(text);
    node = XXH3_64bits_withSeed(text.data(), text.size(), node);
  }
  return out_;
}

}  // namespace braid::correlate
