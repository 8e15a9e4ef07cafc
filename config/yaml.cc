#include "config/yaml.h"

#include <re2/re2.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <unordered_map>
#include <utility>

namespace braid::config {
namespace {

// Ends the walk over a document that cannot be made sense of; caught in ParseYaml().
struct Refused {
  Position at;
  std::string message;
};

// Builds Nodes from yaml-cpp's events, and not from its node graph, so that an alias is seen before it is
// followed and every bound is kept while the document is read.
class Builder : public YAML::EventHandler {
 public:
  Builder(int source, std::vector<Diagnostic>* errors) : source_(source), errors_(errors) {}

  Node TakeRoot() { return std::move(root_); }

  // Where the last quoted text begins; line 0: there is none.
  const Position& last_quoted() const { return last_quoted_; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0) {
      throw Refused{At(mark), "a second document starts here; only one is read: put everything into one"};
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Node node;
    node.at = At(mark);
    Count(1, node.at);
    if (WantsKey()) throw Refused{node.at, "a key is missing here"};
    Add(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const Position at = At(mark);
    if (WantsKey()) throw Refused{at, "an alias cannot be a key"};
    const auto known = anchors_.find(anchor);
    if (known == anchors_.end()) throw Refused{at, "this alias is inside what it stands for"};
    Count(known->second.nodes, at);
    Add(known->second.node, YAML::NullAnchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Node node;
    node.at = At(mark);
    node.text = value;
    Count(1, node.at);
    if (WantsKey()) {
      RefuseTag(tag, node.at);
      Key(value, node.at);
      return;
    }
    if (tag == "!") {  // quoted, or a block of text
      node.kind = Node::Kind::kString;
      last_quoted_ = node.at;
    } else {
      RefuseTag(tag, node.at);
      ClassifyPlain(&node);
    }
    Add(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, Node::Kind::kList);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, Node::Kind::kMap);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapEnd() override { Close(); }

 private:
  struct Frame {
    Node node;
    YAML::anchor_t anchor = YAML::NullAnchor;
    size_t nodes_before = 0;
    bool has_key = false;
    bool skip = false;  // the key was a duplicate: its value is read and forgotten
    std::string key;
    Position key_at;
    std::unordered_map<std::string, int> key_lines;
  };
  struct Anchored {
    Node node;
    size_t nodes = 0;
  };

  Position At(const YAML::Mark& mark) const {
    return {.source = source_, .line = mark.line + 1, .column = mark.column + 1};
  }

  void Count(size_t nodes, const Position& at) {
    nodes_ += nodes;
    if (nodes_ > kMaxYamlNodes) {
      throw Refused{at, "more than " + std::to_string(kMaxYamlNodes) + " values, aliases included"};
    }
  }

  void RefuseTag(const std::string& tag, const Position& at) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    throw Refused{at, "tags such as '" + tag.substr(0, 60) + "' are not supported"};
  }

  bool WantsKey() const {
    return !frames_.empty() && frames_.back().node.kind == Node::Kind::kMap && !frames_.back().has_key;
  }

  void Key(const std::string& key, const Position& at) {
    Frame& frame = frames_.back();
    frame.has_key = true;
    frame.key = key;
    frame.key_at = at;
    frame.skip = true;
    const auto [known, fresh] = frame.key_lines.emplace(key, at.line);
    if (key == "<<") {
      Report(at, "merge keys (<<) are not supported: write the keys out");
    } else if (!fresh) {
      Report(at, "duplicate key '" + key + "'; the first is in line " + std::to_string(known->second));
    } else {
      frame.skip = false;
    }
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, Node::Kind kind) {
    Frame frame;
    frame.node.kind = kind;
    frame.node.at = At(mark);
    frame.anchor = anchor;
    frame.nodes_before = nodes_;
    RefuseTag(tag, frame.node.at);
    Count(1, frame.node.at);
    if (WantsKey()) throw Refused{frame.node.at, "a key must be a text, not a list or a map"};
    if (frames_.size() >= kMaxYamlDepth) {
      throw Refused{frame.node.at, "nested deeper than " + std::to_string(kMaxYamlDepth)};
    }
    frames_.push_back(std::move(frame));
  }

  void Close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    Add(std::move(frame.node), frame.anchor, nodes_ - frame.nodes_before);
  }

  void Add(Node node, YAML::anchor_t anchor, size_t nodes = 1) {
    if (anchor != YAML::NullAnchor) anchors_[anchor] = {.node = node, .nodes = nodes};
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& parent = frames_.back();
    if (parent.node.kind == Node::Kind::kList) {
      parent.node.items.push_back(std::move(node));
      return;
    }
    parent.has_key = false;
    // yaml-cpp marks an absent value at whatever token comes next.
    if (node.kind == Node::Kind::kNull) node.at = parent.key_at;
    if (!parent.skip) parent.node.members.push_back({parent.key, parent.key_at, std::move(node)});
  }

  void Report(const Position& at, std::string message) {
    errors_->push_back({.at = at, .source = {}, .path = {}, .message = std::move(message)});
  }

  const int source_;
  std::vector<Diagnostic>* const errors_;
  std::vector<Frame> frames_;
  std::unordered_map<YAML::anchor_t, Anchored> anchors_;
  Node root_;
  Position last_quoted_;
  int documents_ = 0;
  size_t nodes_ = 0;
};

// Where `offset` lies in `text`.
Position Locate(std::string_view text, size_t offset, int source) {
  Position at{.source = source, .line = 1, .column = 1};
  for (const char c : text.substr(0, offset)) {
    if (c == '\n') {
      ++at.line;
      at.column = 1;
    } else {
      ++at.column;
    }
  }
  return at;
}

std::string_view LineOf(std::string_view text, int line) {
  while (--line > 0) text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  return text.substr(0, text.find('\n'));
}

// What yaml-cpp says is right but rarely names the usual mistake.
std::string Explain(const YAML::Exception& error, std::string_view text) {
  if (error.mark.is_null()) return error.msg;
  const std::string_view line = LineOf(text, error.mark.line + 1);
  const std::string_view indent = line.substr(0, line.find_first_not_of(" \t"));
  if (indent.find('\t') != std::string_view::npos) {
    return "a tab stands in the indentation; YAML is indented with blanks";
  }
  if (line.find("${") != std::string_view::npos && line.find_first_of("[{") < line.find("${")) {
    return error.msg + "; inside [...] and {...}, ${...} must be in quotes";
  }
  return error.msg;
}

// Whether the quoted text that begins at `at` has no end: yaml-cpp then takes all the rest of the file for
// its text.
bool Unclosed(std::string_view text, const Position& at) {
  const std::string_view line = LineOf(text, at.line);
  const std::string_view rest = text.substr(static_cast<size_t>(line.data() - text.data()));
  size_t begin = std::min(static_cast<size_t>(at.column - 1), rest.size());
  while (begin < rest.size() && (rest[begin] == '&' || rest[begin] == '!')) {  // an anchor, a tag
    begin = std::min(rest.find_first_of(" \t\n", begin), rest.size());
    begin = std::min(rest.find_first_not_of(" \t\n", begin), rest.size());
  }
  if (begin == rest.size() || (rest[begin] != '"' && rest[begin] != '\'')) return false;  // a block of text
  const char quote = rest[begin];
  for (size_t i = begin + 1; i < rest.size(); ++i) {
    if (quote == '"' && rest[i] == '\\') {
      ++i;
    } else if (rest[i] == quote) {
      if (quote == '"' || i + 1 == rest.size() || rest[i + 1] != quote) return false;
      ++i;
    }
  }
  return true;
}

}  // namespace

Node ParseYaml(std::string_view text, int source, std::vector<Diagnostic>* errors) {
  const auto refuse = [&](const Position& at, std::string message) {
    errors->push_back({.at = at, .source = {}, .path = {}, .message = std::move(message)});
  };

  if (text.size() > kMaxYamlBytes) {
    refuse({.source = source, .line = 1, .column = 1},
           "larger than " + std::to_string(kMaxYamlBytes >> 20) + " MiB");
    return {};
  }

  // YAML's printable characters; RE2 matches well-formed UTF-8 only, so this finds both kinds of bad byte.
  static const RE2 kPrintable("[\t\n\r -~\\x{85}\\x{a0}-\\x{10ffff}]*");
  re2::StringPiece rest(text.data(), text.size());
  RE2::Consume(&rest, kPrintable);
  if (!rest.empty()) {
    refuse(Locate(text, text.size() - rest.size(), source), "not UTF-8, or a control character");
    return {};
  }

  std::istringstream in{std::string(text)};
  Builder builder(source, errors);
  try {
    YAML::Parser parser(in);
    while (parser.HandleNextDocument(builder)) {
    }
    const Position& last = builder.last_quoted();
    if (last.line > 0 && Unclosed(text, last))
      refuse(last, "not YAML: the quote that begins here is not closed");
  } catch (const Refused& refused) {
    refuse(refused.at, refused.message);
  } catch (const YAML::Exception& error) {
    refuse({.source = source, .line = error.mark.line + 1, .column = error.mark.column + 1},
           "not YAML: " + Explain(error, text));
  }
  return builder.TakeRoot();
}

}  // namespace braid::config
