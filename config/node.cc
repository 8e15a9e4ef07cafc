#include "config/node.h"

#include <re2/re2.h>

#include <utility>

namespace braid::config {

const Node* Node::Find(std::string_view key) const {
  for (const Member& member : members) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

Node* Node::Find(std::string_view key) { return const_cast<Node*>(std::as_const(*this).Find(key)); }

void ClassifyPlain(Node* node) {
  static const RE2 kInt("-?(?:0|[1-9][0-9]*)");
  static const RE2 kFloat(R"(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)");
  // Booleans of YAML 1.1, and numbers that are octal, hexadecimal, binary, signed, with underscores or
  // without leading digit in one version of YAML or another.
  static const RE2 kAmbiguous(
      R"((?i:y|n|yes|no|on|off|true|false|null)|[-+]?0[0-9_]+|[-+]?0[xob][0-9a-fA-F_]+|\+[0-9].*)"
      R"(|[-+]?[0-9][0-9_]*_[0-9_.]*|[-+]?\.[0-9]+|[0-9]+\.|(?i:[-+]?\.inf|\.nan))");

  if (node->text == "true" || node->text == "false") {
    node->kind = Node::Kind::kBool;
  } else if (RE2::FullMatch(node->text, kInt)) {
    node->kind = Node::Kind::kInt;
  } else if (RE2::FullMatch(node->text, kFloat)) {
    node->kind = Node::Kind::kFloat;
  } else {
    node->kind = Node::Kind::kString;
    node->ambiguous = RE2::FullMatch(node->text, kAmbiguous);
  }
}

}  // namespace braid::config
