#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "config/diagnostic.h"

namespace braid::config {

// One value of the configuration, with the place it came from. What YAML has and JSON has not (anchors, tags,
// several spellings of a boolean) is gone or refused by the time a Node exists.
struct Node {
  enum class Kind { kNull, kBool, kInt, kFloat, kString, kList, kMap };

  struct Member;

  Kind kind = Kind::kNull;
  std::string text;  // scalars: after substitution; kBool: "true" or "false"
  std::string raw;   // scalars with a substitution: as written; otherwise empty
  std::vector<Node> items;
  std::vector<Member> members;  // in order of the file; keys are unique
  Position at;

  // A plain scalar that some YAML readers take for a boolean, a number or nothing, and others for a text.
  bool ambiguous = false;

  // The text came from a substitution or the command line, where quotes cannot tell a number from a text: it
  // is whatever is expected.
  bool coerce = false;

  // What the user wrote was refused, and this is the default in its place, so that checking can go on.
  bool broken = false;

  bool scalar() const { return kind != Kind::kNull && kind != Kind::kList && kind != Kind::kMap; }
  Node* Find(std::string_view key);
  const Node* Find(std::string_view key) const;
};

struct Node::Member {
  std::string key;
  Position at;  // of the key
  Node value;
};

// Decides kind and `ambiguous` of a plain (unquoted) scalar. Only true and false are booleans, only JSON's
// numbers are numbers.
void ClassifyPlain(Node* node);

}  // namespace braid::config
