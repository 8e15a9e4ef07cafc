#include "config/print.h"

#include <re2/re2.h>

#include <algorithm>
#include <boost/json.hpp>
#include <string_view>

#include "config/schema.h"
#include "config/secret.h"

namespace braid::config {
namespace {

namespace json = boost::json;
using Kind = Node::Kind;

constexpr size_t kWidth = 110;

// The schema of a value: its alternative where there are several.
const Schema& Choose(const Schema& schema, const Node& node) {
  if (schema.one_of.empty()) return schema;
  const Schema* alternative = schema.Alternative(node.Find(schema.discriminator)->text);
  return alternative == nullptr ? schema : *alternative;
}

const Schema* Below(const Schema& schema, const std::string& key) {
  const Schema* property = schema.Property(key);
  return property != nullptr ? property : schema.additional.get();
}

// What may be shown of a scalar.
std::string Shown(const Schema& schema, const Node& node) {
  static const RE2 kReference(R"(\$\{(?:env:[A-Za-z0-9_]+|file:[^}]*)\})");
  if (!schema.secret || node.text.empty()) return node.text;
  return RE2::FullMatch(node.raw, kReference) ? node.raw : Secret::kMask;
}

bool IsReference(const Schema& schema, const Node& node) {
  return schema.secret && !node.text.empty() && Shown(schema, node) != Secret::kMask;
}

std::string Scalar(const Schema& schema, const Node& node) {
  static const RE2 kPlain(R"([A-Za-z0-9/_.][A-Za-z0-9/_.%+-]*(?::[A-Za-z0-9/_.%+-]+)*)");
  switch (node.kind) {
    case Kind::kNull: return "null";
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat: return node.text;
    case Kind::kString:
    case Kind::kList:
    case Kind::kMap: break;
  }
  std::string text = Shown(schema, node);
  // A dollar in front of another, or of a brace, would be read as a substitution.
  if (!IsReference(schema, node) &&
      (text.find("${") != std::string::npos || text.find("$$") != std::string::npos)) {
    RE2::GlobalReplace(&text, R"(\$)", "$$");
  }
  Node plain;
  plain.text = text;
  ClassifyPlain(&plain);
  if (RE2::FullMatch(text, kPlain) && plain.kind == Kind::kString && !plain.ambiguous) return text;
  // Single quotes leave backslashes alone, which patterns are full of.
  static const RE2 kNoEscapes(R"([^\x00-\x1f\x7f']*)");
  if (text.find('\\') != std::string::npos && RE2::FullMatch(text, kNoEscapes)) return '\'' + text + '\'';
  return json::serialize(json::string_view(text));
}

std::string Key(const std::string& key) {
  static const RE2 kPlain("[A-Za-z_][A-Za-z0-9_-]*");
  return RE2::FullMatch(key, kPlain) ? key : json::serialize(json::string_view(key));
}

// What stands for the whole map in its short form: the text of its one key that is not at its default. Null
// if there is no such form.
const Node* ShortForm(const Schema& schema, const Node& node) {
  if (schema.text_key.empty() || node.kind != Kind::kMap) return nullptr;
  for (const auto& [key, property] : schema.properties) {
    const Node* member = node.Find(key);
    if (key == schema.text_key || member == nullptr) continue;
    const bool text = property.default_value && property.default_value->is_string();
    if (!text || member->text != property.default_value->as_string()) return nullptr;
  }
  return node.Find(schema.text_key);
}

class Printer {
 public:
  Printer(const Loaded& loaded, const PrintOptions& options) : loaded_(loaded), options_(options) {}

  std::string Run() {
    Members(RootSchema(), loaded_.effective, "");
    return std::move(out_);
  }

 private:
  void Comment(const std::string& indent, std::string_view text) {
    const size_t room = kWidth - indent.size() - 2;
    while (!text.empty()) {
      size_t end = text.size();
      if (end > room) {
        end = text.rfind(' ', room);
        if (end == std::string_view::npos) end = text.size();
      }
      out_ += indent + "# " + std::string(text.substr(0, end)) + '\n';
      text.remove_prefix(std::min(end + 1, text.size()));
    }
  }

  void Describe(const Schema& schema, const std::string& indent) {
    std::string text = schema.description;
    if (schema.values.size() > 1) {
      text += " One of";
      for (const std::string& value : schema.values)
        text += (&value == &schema.values.front() ? " " : ", ") + value;
      text += '.';
    }
    const bool scalar = !schema.object && !schema.array && schema.one_of.empty();
    if (scalar && schema.default_value && !schema.default_value->is_null()) {
      text += " Default: " + json::serialize(*schema.default_value) + '.';
    }
    Comment(indent, text);
  }

  std::string Origin(const Node& node) const {
    if (!options_.origins || node.at.source < 0) return {};
    std::string place = loaded_.sources[static_cast<size_t>(node.at.source)];
    if (node.at.line > 0) place += ':' + std::to_string(node.at.line);
    return "  # " + place;
  }

  void Members(const Schema& schema, const Node& node, const std::string& indent) {
    bool first = true;
    for (const Node::Member& member : node.members) {
      const Schema& below = Choose(*Below(schema, member.key), member.value);
      if (options_.descriptions) {
        if (!first && indent.empty()) out_ += '\n';
        Describe(below, indent);
      }
      first = false;
      out_ += indent + Key(member.key) + ':';
      Value(below, member.value, indent);
    }
  }

  // What follows "key:" or "-", up to and including the line break.
  void Value(const Schema& schema, const Node& node, const std::string& indent) {
    const bool simple_items = node.kind == Kind::kList && schema.items != nullptr &&
                              schema.items->one_of.empty() &&
                              (!schema.items->object || AllShort(*schema.items, node));
    if (node.kind == Kind::kMap && !node.members.empty()) {
      out_ += '\n';
      Members(schema, node, indent + "  ");
    } else if (node.kind == Kind::kMap) {
      out_ += " {}" + Origin(node) + '\n';
    } else if (node.kind == Kind::kList && (simple_items || node.items.empty())) {
      out_ += " [";
      for (const Node& item : node.items) {
        const Node* text = ShortForm(*schema.items, item);
        out_ += (&item == &node.items.front() ? "" : ", ") + Scalar(*schema.items, text ? *text : item);
      }
      out_ += ']' + Origin(node) + '\n';
    } else if (node.kind == Kind::kList) {
      out_ += '\n';
      for (const Node& item : node.items) Item(Choose(*schema.items, item), item, indent + "  ");
    } else {
      out_ += ' ' + Scalar(schema, node) + Origin(node) + '\n';
    }
  }

  static bool AllShort(const Schema& schema, const Node& list) {
    return std::all_of(list.items.begin(), list.items.end(),
                       [&](const Node& item) { return ShortForm(schema, item) != nullptr; });
  }

  // A map in a list: its first key stands beside the dash.
  void Item(const Schema& schema, const Node& item, const std::string& indent) {
    if (const Node* text = ShortForm(schema, item)) {
      out_ += indent + "- " + Scalar(schema, *text) + Origin(*text) + '\n';
      return;
    }
    const size_t begin = out_.size();
    Members(schema, item, indent + "  ");
    if (options_.descriptions) {
      out_.insert(begin, indent + "-\n");
    } else {
      out_[begin + indent.size()] = '-';
    }
  }

  const Loaded& loaded_;
  const PrintOptions& options_;
  std::string out_;
};

json::value ToJson(const Schema& schema, const Node& node) {
  if (const Node* text = ShortForm(schema, node)) return json::string(Shown(schema, *text));
  switch (node.kind) {
    case Kind::kNull: return nullptr;
    case Kind::kBool: return node.text == "true";
    case Kind::kInt: return std::stoll(node.text);
    case Kind::kFloat: return std::stod(node.text);
    case Kind::kString: return json::string(Shown(schema, node));
    case Kind::kList: {
      json::array array;
      for (const Node& item : node.items) array.push_back(ToJson(Choose(*schema.items, item), item));
      return array;
    }
    case Kind::kMap: {
      json::object object;
      for (const Node::Member& member : node.members) {
        object[member.key] = ToJson(Choose(*Below(schema, member.key), member.value), member.value);
      }
      return object;
    }
  }
  return nullptr;
}

}  // namespace

std::string PrintYaml(const Loaded& loaded, const PrintOptions& options) {
  return Printer(loaded, options).Run();
}

json::value PrintJson(const Loaded& loaded) { return ToJson(RootSchema(), loaded.effective); }

}  // namespace braid::config
