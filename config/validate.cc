#include "config/validate.h"

#include <re2/re2.h>

#include <algorithm>
#include <boost/json.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <charconv>
#include <filesystem>
#include <numeric>
#include <set>

#include "config/units.h"

namespace braid::config {
namespace {

using Kind = Node::Kind;

std::string Quote(std::string_view text) {
  constexpr size_t kLongest = 60;
  std::string out = "'";
  for (const char c : text.substr(0, kLongest)) out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  // Not in the middle of a UTF-8 character.
  if (text.size() > kLongest) {
    while (out.size() > 1 && (static_cast<unsigned char>(out.back()) & 0xc0) == 0x80) out.pop_back();
    if (static_cast<unsigned char>(out.back()) >= 0xc0) out.pop_back();
    out += "...";
  }
  return out + "'";
}

std::string Join(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

// What stands there, for "expected X, got Y". A secret, or what an environment variable or file may have made
// one, is not shown.
std::string Found(const Node& node, bool secret) {
  switch (node.kind) {
    case Kind::kNull: return "nothing";
    case Kind::kList: return "a list";
    case Kind::kMap: return "a map";
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
    case Kind::kString: break;
  }
  if (!node.raw.empty()) return "the value of " + std::string(secret ? "a substitution" : Quote(node.raw));
  if (secret) return "something else";
  if (node.kind == Kind::kInt || node.kind == Kind::kFloat) return "the number " + node.text;
  if (node.kind == Kind::kString) return Quote(node.text);
  return node.text;
}

std::string ExpectedType(const Schema& schema) {
  if (!schema.expected.empty()) return schema.expected;
  if (!schema.values.empty()) {
    return schema.values.size() == 1 ? Quote(schema.values.front()) : "one of " + Join(schema.values);
  }
  if (schema.object) return "a map";
  if (schema.array) return "a list";
  if (schema.boolean) return "true or false";
  if (schema.integer) return "a whole number";
  if (schema.number) return "a number";
  return "a text";
}

Node FromJson(const boost::json::value& value, const Position& at) {
  Node node;
  node.at = at;
  if (value.is_object()) {
    node.kind = Kind::kMap;
    for (const auto& [key, member] : value.as_object()) {
      node.members.push_back({std::string(key), at, FromJson(member, at)});
    }
  } else if (value.is_array()) {
    node.kind = Kind::kList;
    for (const auto& item : value.as_array()) node.items.push_back(FromJson(item, at));
  } else if (value.is_string()) {
    node.kind = Kind::kString;
    node.text = value.as_string();
  } else if (value.is_bool()) {
    node.kind = Kind::kBool;
    node.text = value.as_bool() ? "true" : "false";
  } else if (!value.is_null()) {
    node.kind = Kind::kInt;
    node.text = boost::json::serialize(value);
  }
  return node;
}

class Validator {
 public:
  Validator(const Schema& root, const std::vector<std::string>& directories, std::vector<Diagnostic>* errors,
            std::vector<FileUse>* files)
      : root_(root), directories_(directories), errors_(errors), files_(files) {}

  // Checks and completes `node`. `at` is where to point for what is missing: the key in front of it. False if
  // the node is of no use.
  bool Check(const Schema& schema, Node* node, const std::string& path, const Position& at) {
    if (node->broken) return false;  // reported already
    if (!schema.one_of.empty()) return CheckAlternatives(schema, node, path, at);
    if (node->kind == Kind::kNull) return CheckNull(schema, node, path, at);
    if (schema.object) return CheckObject(schema, node, path, at);
    if (schema.array && !(schema.string && node->scalar())) return CheckList(schema, node, path);
    return CheckScalar(schema, node, path);
  }

 private:
  static std::string Under(const std::string& path, const std::string& key) {
    return path.empty() ? key : path + '.' + key;
  }

  bool Fail(const Position& at, const std::string& path, std::string message) {
    errors_->push_back({.at = at, .source = {}, .path = path, .message = std::move(message)});
    return false;
  }

  bool Mismatch(const Schema& schema, const Node& node, const std::string& path,
                const std::string& hint = {}) {
    return Fail(node.at, path,
                "expected " + ExpectedType(schema) + ", got " + Found(node, schema.secret) +
                    (hint.empty() ? "" : ": " + hint));
  }

  bool CheckNull(const Schema& schema, Node* node, const std::string& path, const Position& at) {
    if (schema.nullable) return true;
    // A key with all its children commented out.
    if (schema.object || schema.array) {
      *node = schema.default_value ? FromJson(*schema.default_value, {}) : Node{};
      if (!schema.default_value) node->at = at;
      if (node->kind == Kind::kNull) node->kind = schema.object ? Kind::kMap : Kind::kList;
      return Check(schema, node, path, at);
    }
    node->at = at;
    return Mismatch(schema, *node, path);
  }

  bool CheckAlternatives(const Schema& schema, Node* node, const std::string& path, const Position& at) {
    const std::string& key = schema.discriminator;
    std::vector<std::string> values;
    for (const Schema& one : schema.one_of) values.push_back(one.Property(key)->values.front());

    if (node->kind != Kind::kMap) {
      if (node->kind == Kind::kNull) node->at = at;
      return Fail(node->at, path, "expected a map with '" + key + "', got " + Found(*node, false));
    }
    const Node* which = node->Find(key);
    if (which == nullptr) {
      return Fail(at, path, "missing key '" + key + "', one of " + Join(values) + SimilarKey(*node, key));
    }
    const Schema* alternative = which->scalar() ? schema.Alternative(which->text) : nullptr;
    if (alternative == nullptr) {
      return Fail(which->kind == Kind::kNull ? at : which->at, Under(path, key),
                  "expected one of " + Join(values) + ", got " + Found(*which, false) +
                      DidYouMean(which->text, values));
    }
    alternatives_.push_back(&schema);
    const bool ok = Check(*alternative, node, path, at);
    alternatives_.pop_back();
    return ok;
  }

  static std::string SimilarKey(const Node& node, const std::string& key) {
    for (const Node::Member& member : node.members) {
      if (Nearest(member.key, {key}) == key) return "; is '" + member.key + "' meant to be it?";
    }
    return {};
  }

  static std::string DidYouMean(std::string_view word, const std::vector<std::string>& candidates) {
    const std::string nearest = Nearest(word, candidates);
    return nearest.empty() ? "" : "; did you mean '" + nearest + "'?";
  }

  bool CheckObject(const Schema& schema, Node* node, const std::string& path, const Position& at) {
    if (node->kind != Kind::kMap) return Mismatch(schema, *node, path);
    if (schema.additional != nullptr) return CheckMap(schema, node, path);

    for (const Node::Member& member : node->members) {
      if (schema.Property(member.key) == nullptr) {
        Fail(member.at, Under(path, member.key), UnknownKey(schema, member.key));
      }
    }

    bool ok = true;
    std::vector<Node::Member> complete;
    for (const auto& [key, property] : schema.properties) {
      Node::Member member{key, {}, {}};
      const std::string below = Under(path, key);
      const auto given = std::find_if(node->members.begin(), node->members.end(),
                                      [&name = key](const Node::Member& m) { return m.key == name; });
      if (given != node->members.end()) {
        member = std::move(*given);
        given->key = key;
        if (!Check(property, &member.value, below, member.at)) {
          member.value = property.default_value ? FromJson(*property.default_value, {}) : Node{};
          ok = ok && property.default_value.has_value();
          if (property.default_value) Check(property, &member.value, below, {});
          member.value.broken = true;
        }
      } else if (property.default_value) {
        member.value = FromJson(*property.default_value, {});
        Check(property, &member.value, below, {});
      } else {
        ok = Fail(at, path, "missing key '" + key + "'" + Example(property));
      }
      complete.push_back(std::move(member));
    }
    node->members = std::move(complete);
    return ok;
  }

  static std::string Example(const Schema& property) {
    return property.example.empty() ? "" : ", such as " + property.example;
  }

  std::string UnknownKey(const Schema& schema, const std::string& key) const {
    std::vector<std::string> keys;
    for (const auto& [name, property] : schema.properties) keys.push_back(name);
    const std::string nearest = DidYouMean(key, keys);
    if (!nearest.empty()) return "unknown key" + nearest;

    // A key of a sibling type: right word, wrong place.
    if (!alternatives_.empty()) {
      std::vector<std::string> owners;
      for (const Schema& one : alternatives_.back()->one_of) {
        if (one.Property(key) != nullptr) owners.push_back(one.title);
      }
      if (!owners.empty()) {
        return "key of " + Join(owners) + ", not of " + (schema.title.empty() ? "this" : schema.title);
      }
    }
    const std::string elsewhere = FindKey(root_, key, "");
    if (!elsewhere.empty()) return "unknown key here; there is " + elsewhere;
    std::sort(keys.begin(), keys.end());
    return "unknown key; there are " + Join(keys);
  }

  static std::string FindKey(const Schema& schema, const std::string& key, const std::string& path) {
    if (schema.Property(key) != nullptr) return Under(path, key);
    for (const auto& [name, property] : schema.properties) {
      std::string found = FindKey(property, key, Under(path, name));
      if (!found.empty()) return found;
    }
    return {};
  }

  bool CheckMap(const Schema& schema, Node* node, const std::string& path) {
    if (schema.max_properties && node->members.size() > *schema.max_properties) {
      return Fail(node->at, path,
                  "expected at most " + std::to_string(*schema.max_properties) + " entries, got " +
                      std::to_string(node->members.size()));
    }
    std::erase_if(node->members, [&](Node::Member& member) {
      const std::string below = Under(path, member.key);
      if (schema.key_pattern && !RE2::PartialMatch(member.key, *schema.key_pattern)) {
        Fail(member.at, below, "expected " + schema.key_expected + ", got " + Quote(member.key));
        return true;
      }
      return !Check(*schema.additional, &member.value, below, member.at);
    });
    return true;
  }

  bool CheckList(const Schema& schema, Node* node, const std::string& path) {
    if (node->kind != Kind::kList) return Mismatch(schema, *node, path);
    if (node->items.size() < schema.min_items) {
      return Fail(node->at, path,
                  "expected at least " + std::to_string(schema.min_items) + " entry, got none");
    }
    if (schema.max_items && node->items.size() > *schema.max_items) {
      return Fail(node->at, path,
                  "expected at most " + std::to_string(*schema.max_items) + " entries, got " +
                      std::to_string(node->items.size()));
    }
    size_t index = 0;
    bool ok = true;
    std::set<std::string> seen;
    std::erase_if(node->items, [&](Node& item) {
      const std::string below = path + '[' + std::to_string(index++) + ']';
      if (!Check(*schema.items, &item, below, item.at)) return true;
      if (schema.unique_items && !seen.insert(item.text).second) {
        Fail(item.at, below, Quote(item.text) + " is there twice");
        return true;
      }
      return false;
    });
    // A list that must have something and has only broken entries is broken.
    if (node->items.size() < schema.min_items) ok = false;
    return ok;
  }

  bool CheckScalar(const Schema& schema, Node* node, const std::string& path) {
    if (!node->scalar()) return Mismatch(schema, *node, path);
    if (node->coerce) ClassifyForCoercion(schema, node);
    if (schema.boolean) {
      if (node->kind == Kind::kBool) return true;
      return Mismatch(schema, *node, path, node->ambiguous ? "only true and false are booleans" : "");
    }
    if (schema.integer && node->kind == Kind::kInt) return CheckInteger(schema, *node, path);
    if (schema.number && (node->kind == Kind::kInt || node->kind == Kind::kFloat)) {
      return CheckNumber(schema, *node, path);
    }
    if (!schema.string) {
      return Mismatch(schema, *node, path,
                      node->ambiguous ? "write it in decimal, without leading zeros" : "");
    }
    // A word that looks like a number to YAML, such as a version.
    if (node->kind == Kind::kFloat &&
        std::find(schema.values.begin(), schema.values.end(), node->text) != schema.values.end()) {
      node->kind = Kind::kString;
    }
    if (node->kind != Kind::kString) {
      const bool plain_text = schema.kind == Schema::Kind::kNone && schema.values.empty();
      return Mismatch(schema, *node, path, plain_text ? "put it in quotes" : "");
    }
    if (node->ambiguous) {
      return Mismatch(schema, *node, path,
                      "YAML readers differ on what that is: put it in quotes if it is a text");
    }
    return CheckText(schema, node, path);
  }

  // Gives a value whose type is open the one that is expected, if it can have it.
  static void ClassifyForCoercion(const Schema& schema, Node* node) {
    ClassifyPlain(node);
    node->ambiguous = false;
    const bool wanted = (node->kind == Kind::kBool && schema.boolean) ||
                        (node->kind == Kind::kInt && (schema.integer || schema.number)) ||
                        (node->kind == Kind::kFloat && schema.number);
    if (!wanted) node->kind = Kind::kString;
  }

  bool CheckInteger(const Schema& schema, const Node& node, const std::string& path) {
    int64_t value = 0;
    const char* end = node.text.data() + node.text.size();
    const bool fits = std::from_chars(node.text.data(), end, value).ec == std::errc{};
    if (!fits || (schema.minimum && value < *schema.minimum) || (schema.maximum && value > *schema.maximum)) {
      std::string range = "a number of at least " + std::to_string(schema.minimum.value_or(0));
      if (schema.maximum) {
        range = "a number from " + std::to_string(schema.minimum.value_or(0)) + " to " +
                std::to_string(*schema.maximum);
      }
      return Fail(node.at, path, "expected " + range + ", got " + Found(node, schema.secret));
    }
    return CheckKind(schema, node, path);
  }

  bool CheckNumber(const Schema& schema, const Node& node, const std::string& path) {
    double value = 0;
    const char* end = node.text.data() + node.text.size();
    const bool fits = std::from_chars(node.text.data(), end, value).ec == std::errc{};
    if (!fits || (schema.exclusive_minimum && value <= *schema.exclusive_minimum) ||
        (schema.exclusive_maximum && value >= *schema.exclusive_maximum)) {
      return Mismatch(schema, node, path);
    }
    return true;
  }

  bool CheckText(const Schema& schema, Node* node, const std::string& path) {
    if (!schema.values.empty()) {
      if (std::find(schema.values.begin(), schema.values.end(), node->text) != schema.values.end())
        return true;
      return Fail(node->at, path,
                  "expected " + ExpectedType(schema) + ", got " + Found(*node, schema.secret) +
                      (node->raw.empty() ? DidYouMean(node->text, schema.values) : ""));
    }
    if (node->text.size() < schema.min_length) {
      return Fail(node->at, path, "expected " + ExpectedType(schema) + ", got an empty one");
    }
    if (schema.max_length && node->text.size() > *schema.max_length) {
      return Fail(node->at, path,
                  "expected at most " + std::to_string(*schema.max_length) + " bytes, got " +
                      std::to_string(node->text.size()));
    }
    if (schema.pattern && !RE2::PartialMatch(node->text, *schema.pattern))
      return Mismatch(schema, *node, path);
    if (!CheckKind(schema, *node, path)) return false;
    if (schema.kind == Schema::Kind::kInputFile || schema.kind == Schema::Kind::kOutputFile) {
      UseFile(schema, node, path);
    }
    return true;
  }

  // What the text must be beyond its pattern.
  bool CheckKind(const Schema& schema, const Node& node, const std::string& path) {
    switch (schema.kind) {
      case Schema::Kind::kNone:
      case Schema::Kind::kInputFile:
      case Schema::Kind::kOutputFile: return true;
      case Schema::Kind::kDuration: return CheckRange(ParseDuration, schema, node, path);
      case Schema::Kind::kSize: return CheckRange(ParseSize, schema, node, path);
      case Schema::Kind::kShare:
        return ParsePermille(node.text).value_or(0) > 0 || CheckRange(ParseSize, schema, node, path);
      case Schema::Kind::kAddress: return ParseAddress(node.text) || Mismatch(schema, node, path);
      case Schema::Kind::kUrl: return CheckUrl(schema, node, path);
      case Schema::Kind::kRegex: return CheckRegex(schema, node, path);
    }
    return true;
  }

  template <typename Parse>
  bool CheckRange(Parse parse, const Schema& schema, const Node& node, const std::string& path) {
    const auto value = parse(node.text);
    if (!value) return Mismatch(schema, node, path);
    if ((!schema.min.empty() && *value < *parse(schema.min)) ||
        (!schema.max.empty() && *value > *parse(schema.max))) {
      return Fail(node.at, path,
                  "expected " + schema.min + " to " + schema.max + ", got " + Found(node, schema.secret));
    }
    return true;
  }

  bool CheckUrl(const Schema& schema, const Node& node, const std::string& path) {
    const auto url = boost::urls::parse_uri(node.text);
    if (!url || url->encoded_host().empty()) return Mismatch(schema, node, path);
    if (url->has_userinfo()) {
      return Fail(node.at, path,
                  "user name and password do not belong into the URL: put them under auth.basic");
    }
    if (url->has_port() && url->port_number() == 0) return Mismatch(schema, node, path, "the port is wrong");
    return true;
  }

  bool CheckRegex(const Schema& schema, const Node& node, const std::string& path) {
    RE2::Options options(RE2::Quiet);
    options.set_max_mem(1 << 20);
    const RE2 compiled(node.text, options);
    return compiled.ok() || Mismatch(schema, node, path, compiled.error());
  }

  void UseFile(const Schema& schema, Node* node, const std::string& path) {
    if (node->text.empty()) return;
    if (node->at.source >= 0) {
      const std::filesystem::path directory = directories_[static_cast<size_t>(node->at.source)];
      node->text = (directory / node->text).lexically_normal().string();
    }
    files_->push_back({.path = node->text,
                       .output = schema.kind == Schema::Kind::kOutputFile,
                       .where = {.at = node->at, .source = {}, .path = path, .message = {}}});
  }

  const Schema& root_;
  const std::vector<std::string>& directories_;
  std::vector<Diagnostic>* const errors_;
  std::vector<FileUse>* const files_;
  std::vector<const Schema*> alternatives_;  // the oneOfs around what is checked
};

// Edits (insert, delete, replace, swap neighbours) from `a` to `b`; optimal string alignment.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> before, last(b.size() + 1), row(b.size() + 1);
  std::iota(last.begin(), last.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({replace, last[j] + 1, row[j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = last;
    std::swap(last, row);
  }
  return last[b.size()];
}

// Spelling that people vary without meaning it.
std::string Fold(std::string_view word) {
  std::string out;
  for (const char c : word) {
    if (c == '-' || c == '_' || c == ' ') continue;
    out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

}  // namespace

std::string Nearest(std::string_view word, const std::vector<std::string>& candidates) {
  constexpr size_t kLongest = 64;
  if (word.empty() || word.size() > kLongest) return {};
  const std::string folded = Fold(word);
  std::string best;
  size_t best_distance = 0;
  for (const std::string& candidate : candidates) {
    const std::string other = Fold(candidate);
    const size_t distance = EditDistance(folded, other);
    const size_t longest = std::max(folded.size(), other.size());
    const size_t shortest = std::min(folded.size(), other.size());
    const bool prefix = shortest >= 3 && folded.substr(0, shortest) == other.substr(0, shortest);
    const bool near = prefix || (distance <= 1 + longest / 5 && distance < shortest);
    if (near && (best.empty() || distance < best_distance)) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

void Validate(const Schema& schema, const std::vector<std::string>& directories, Node* root,
              std::vector<Diagnostic>* errors, std::vector<FileUse>* files) {
  if (root->kind == Kind::kNull) root->kind = Kind::kMap;
  if (!Validator(schema, directories, errors, files).Check(schema, root, "", root->at)) {
    // All defaults; what has none is missing for reasons that have been given.
    std::vector<Diagnostic> known;
    *root = Node{};
    root->kind = Kind::kMap;
    Validator(schema, directories, &known, files).Check(schema, root, "", root->at);
  }
}

}  // namespace braid::config
