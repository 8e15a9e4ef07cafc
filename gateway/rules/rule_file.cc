#include "gateway/rules/rule_file.h"

#include <re2/re2.h>

#include <array>
#include <boost/json.hpp>
#include <cstdio>

#include "config/node.h"
#include "config/schema.h"
#include "config/yaml.h"
#include "gateway/rules/promql.h"

namespace braid::gateway::rules {
namespace {

namespace json = boost::json;
using config::Node;

// --- writing ---

// A text that every YAML reader takes for that text as it stands.
bool Plain(const std::string& text) {
  static const RE2 kPlain(R"([A-Za-z][A-Za-z0-9_./:-]*|[0-9]+[smhdwy])");
  Node node;
  node.text = text;
  config::ClassifyPlain(&node);
  return RE2::FullMatch(text, kPlain) && text.back() != ':' && node.kind == Node::Kind::kString &&
         !node.ambiguous;
}

// Of one character of at most three bytes. REQUIRES: valid UTF-8.
unsigned CodePoint(std::string_view character) {
  unsigned out =
      static_cast<unsigned char>(character[0]) & (0xffu >> (character.size() + (character.size() > 1)));
  for (const char c : character.substr(1)) out = out << 6 | (static_cast<unsigned char>(c) & 0x3f);
  return out;
}

std::string Scalar(const std::string& text) {
  if (Plain(text)) return text;
  // JSON's strings are YAML's double-quoted ones, but for characters that JSON lets stand and YAML does not.
  const std::string quoted = json::serialize(json::string_view(text));
  std::string out;
  for (size_t i = 0; i < quoted.size();) {
    const size_t length = InvisibleLength(std::string_view(quoted).substr(i));
    if (length == 0) {
      out += quoted[i++];
      continue;
    }
    std::array<char, 8> escape{};
    std::snprintf(escape.data(), escape.size(), "\\u%04x",
                  CodePoint(std::string_view(quoted).substr(i, length)));
    out += escape.data();
    i += length;
  }
  return out;
}

void WriteText(std::string_view key, const std::string& text, const std::string& indent, std::string* out) {
  *out += indent;
  *out += key;
  if (key != "expr") {
    *out += ": " + Scalar(text) + '\n';
    return;
  }
  *out += ": |-\n";
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    *out += indent + "  " + text.substr(begin, end - begin) + '\n';
    begin = end + 1;
  }
}

void WriteTexts(std::string_view key, const Texts& texts, std::string* out) {
  if (texts.empty()) return;
  *out += "    ";
  *out += key;
  *out += ":\n";
  for (const auto& [name, value] : texts) WriteText(name, value, "      ", out);
}

json::object ToObject(const Texts& texts) {
  json::object out;
  for (const auto& [name, value] : texts) out[name] = value;
  return out;
}

// --- reading ---

// Reports the first mistake only: what is read here was written by us, or checked by promtool.
class Reader {
 public:
  Result<RuleFile> Read(std::string_view yaml) {
    std::vector<config::Diagnostic> errors;
    const Node root = config::ParseYaml(yaml, 0, &errors);
    if (!errors.empty()) return Wrong(errors.front().at, errors.front().message);
    RuleFile file;
    for (const Node::Member& member : Map(root)) {
      if (member.key != "groups") Fail(member.at, "unknown key " + member.key);
      for (const Node& group : member.value.items) file.groups.push_back(ReadGroup(group));
    }
    if (!status_.ok()) return status_;
    return file;
  }

 private:
  static Status Wrong(const config::Position& at, const std::string& what) {
    return InvalidArgument("rules:" + std::to_string(at.line) + ':' + std::to_string(at.column) + ": " +
                           what);
  }
  void Fail(const config::Position& at, const std::string& what) {
    if (status_.ok()) status_ = Wrong(at, what);
  }

  const std::vector<Node::Member>& Map(const Node& node) {
    if (node.kind != Node::Kind::kMap) Fail(node.at, "expected a map");
    return node.members;
  }

  std::string Text(const Node& node) {
    if (!node.scalar()) Fail(node.at, "expected a text");
    return node.text;
  }

  Texts ReadTexts(const Node& node) {
    Texts out;
    for (const Node::Member& member : Map(node)) out.emplace_back(member.key, Text(member.value));
    return out;
  }

  Group ReadGroup(const Node& node) {
    Group group;
    for (const auto& [key, at, value] : Map(node)) {
      if (key == "name") {
        group.name = Text(value);
      } else if (key == "interval") {
        group.interval = Text(value);
      } else if (key == "rules") {
        for (const Node& rule : value.items) group.rules.push_back(ReadRule(rule));
      } else {
        Fail(at, "unknown key " + key);
      }
    }
    return group;
  }

  Rule ReadRule(const Node& node) {
    Rule rule;
    for (const auto& [key, at, value] : Map(node)) {
      if (key == "labels") {
        rule.labels = ReadTexts(value);
      } else if (key == "annotations") {
        rule.annotations = ReadTexts(value);
      } else if (std::string* text = key == "record"  ? &rule.record
                                     : key == "alert" ? &rule.alert
                                     : key == "expr"  ? &rule.expr
                                     : key == "for"   ? &rule.hold
                                                      : nullptr) {
        *text = Text(value);
        text->erase(text->find_last_not_of('\n') + 1);
      } else {
        Fail(at, "unknown key " + key);
      }
    }
    if (rule.record.empty() == rule.alert.empty() || rule.expr.empty()) Fail(node.at, "this is no rule");
    return rule;
  }

  Status status_;
};

}  // namespace

std::string ToYaml(const RuleFile& file) {
  std::string out = file.groups.empty() ? "groups: []\n" : "groups:\n";
  for (const Group& group : file.groups) {
    out += "- name: " + Scalar(group.name) + '\n';
    if (!group.interval.empty()) out += "  interval: " + Scalar(group.interval) + '\n';
    out += "  rules:\n";
    for (const Rule& rule : group.rules) {
      out += rule.record.empty() ? "  - alert: " + Scalar(rule.alert) : "  - record: " + Scalar(rule.record);
      out += '\n';
      WriteText("expr", rule.expr, "    ", &out);
      if (!rule.hold.empty()) out += "    for: " + Scalar(rule.hold) + '\n';
      WriteTexts("labels", rule.labels, &out);
      WriteTexts("annotations", rule.annotations, &out);
    }
  }
  return out;
}

std::string ToJson(const RuleFile& file) {
  json::array groups;
  for (const Group& group : file.groups) {
    json::array rules;
    for (const Rule& rule : group.rules) {
      json::object one;
      one[rule.record.empty() ? "alert" : "record"] = rule.record.empty() ? rule.alert : rule.record;
      one["expr"] = rule.expr;
      if (!rule.hold.empty()) one["for"] = rule.hold;
      if (!rule.labels.empty()) one["labels"] = ToObject(rule.labels);
      if (!rule.annotations.empty()) one["annotations"] = ToObject(rule.annotations);
      rules.push_back(std::move(one));
    }
    json::object one{{"name", group.name}};
    if (!group.interval.empty()) one["interval"] = group.interval;
    one["rules"] = std::move(rules);
    groups.push_back(std::move(one));
  }
  return config::PrettyJson(json::object{{"groups", std::move(groups)}});
}

Result<RuleFile> ParseRuleFile(std::string_view yaml) { return Reader().Read(yaml); }

}  // namespace braid::gateway::rules
