#include "config/load.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "config/bind.h"
#include "config/checks.h"
#include "config/schema.h"
#include "config/yaml.h"

namespace braid::config {
namespace {

constexpr std::string_view kOverride = "--set ";

class Loader {
 public:
  explicit Loader(const LoadOptions& options) : options_(options) {}

  Loaded Run() {
    ReadFile();
    for (const std::string& override : options_.overrides) Override(override);
    SubstituteIn(&root_, "");

    std::vector<FileUse> files;
    Validate(RootSchema(), directories_, &root_, &errors_, &files);
    loaded_.config = Bind(root_);
    CheckTogether(loaded_.config, root_, &errors_, &loaded_.warnings);
    if (options_.check_files) CheckFiles(files);

    loaded_.effective = std::move(root_);
    Finish(&errors_);
    Finish(&loaded_.warnings);
    loaded_.more_errors = errors_.size() - std::min(errors_.size(), kMaxErrors);
    errors_.resize(errors_.size() - loaded_.more_errors);
    loaded_.errors = std::move(errors_);
    return std::move(loaded_);
  }

 private:
  int AddSource(std::string name, std::string directory) {
    loaded_.sources.push_back(std::move(name));
    directories_.push_back(std::move(directory));
    return static_cast<int>(loaded_.sources.size()) - 1;
  }

  void Fail(const Position& at, const std::string& path, std::string message) {
    errors_.push_back({.at = at, .source = {}, .path = path, .message = std::move(message)});
  }

  void ReadFile() {
    if (options_.file.empty() && !options_.text) return;
    const int source = AddSource(options_.file, std::filesystem::path(options_.file).parent_path().string());
    std::string text;
    if (options_.text) {
      text = *options_.text;
    } else if (std::string problem = ReadSource(options_.file, &text); !problem.empty()) {
      return Fail({.source = source, .line = 0, .column = 0}, "", std::move(problem));
    }
    root_ = ParseYaml(text, source, &errors_);
    if (root_.kind != Node::Kind::kMap && root_.kind != Node::Kind::kNull) {
      Fail(root_.at, "", "expected a map of settings, such as 'sinks:', at the top");
      root_ = Node{};
    }
  }

  void Override(const std::string& override) {
    const size_t equals = override.find('=');
    const std::string path = override.substr(0, equals);
    // The name shows the path only: the value may be a secret.
    const int source = AddSource(std::string(kOverride) + path, "");
    const Position at{.source = source, .line = 0, .column = 0};
    if (equals == std::string::npos || path.empty()) {
      return Fail(at, "", "expected path.to.key=value, such as log.level=debug");
    }

    std::vector<Diagnostic> problems;
    Node value = ParseYaml(std::string_view(override).substr(equals + 1), source, &problems);
    if (!problems.empty()) return Fail(at, "", problems.front().message);
    FromCommandLine(&value, at);

    Node* place = &root_;
    for (size_t begin = 0; begin <= path.size();) {
      const size_t end = std::min(path.find('.', begin), path.size());
      const std::string key = path.substr(begin, end - begin);
      if (key.empty()) return Fail(at, "", "expected path.to.key=value: a key is missing in the path");
      if (place->kind == Node::Kind::kNull) *place = EmptyMap(at);
      if (place->kind != Node::Kind::kMap) {
        return Fail(at, "", "'" + path.substr(0, begin - 1) + "' is not a map: set it as a whole");
      }
      if (place->Find(key) == nullptr) place->members.push_back({key, at, {}});
      place = place->Find(key);
      begin = end + 1;
    }
    *place = std::move(value);
  }

  static Node EmptyMap(const Position& at) {
    Node node;
    node.kind = Node::Kind::kMap;
    node.at = at;
    return node;
  }

  // An override is one place, and a shell has taken its quotes away.
  static void FromCommandLine(Node* node, const Position& at) {
    node->at = at;
    node->coerce = node->scalar();
    for (Node& item : node->items) FromCommandLine(&item, at);
    for (Node::Member& member : node->members) {
      member.at = at;
      FromCommandLine(&member.value, at);
    }
  }

  void SubstituteIn(Node* node, const std::string& path) {
    for (size_t i = 0; i < node->items.size(); ++i) {
      SubstituteIn(&node->items[i], path + '[' + std::to_string(i) + ']');
    }
    for (Node::Member& member : node->members) {
      SubstituteIn(&member.value, path.empty() ? member.key : path + '.' + member.key);
    }
    if (node->kind != Node::Kind::kString || node->text.find('$') == std::string::npos) return;

    const std::string& directory = directories_[static_cast<size_t>(node->at.source)];
    Substituted result = Substitute(node->text, options_.environment, directory);
    if (!result.error.empty()) {
      node->broken = true;
      return Fail(node->at, path, std::move(result.error));
    }
    if (result.changed) {
      node->raw = std::move(node->text);
      node->coerce = true;
    }
    node->text = std::move(result.text);
  }

  void CheckFiles(const std::vector<FileUse>& files) {
    for (const FileUse& use : files) {
      std::string problem;
      if (use.output) {
        const std::filesystem::path path(use.path);
        const std::string directory = path.has_parent_path() ? path.parent_path().string() : ".";
        const bool there = access(path.c_str(), F_OK) == 0;
        if (std::error_code error; std::filesystem::is_directory(path, error)) {
          problem = "is a directory";
        } else if (access(there ? path.c_str() : directory.c_str(), there ? W_OK : W_OK | X_OK) != 0) {
          problem = "cannot be written: " + std::generic_category().message(errno);
        }
      } else if (access(use.path.c_str(), R_OK) != 0) {
        problem = "cannot be read: " + std::generic_category().message(errno);
      }
      if (!problem.empty()) Fail(use.where.at, use.where.path, use.path + " " + problem);
    }
  }

  void Finish(std::vector<Diagnostic>* diagnostics) {
    for (Diagnostic& one : *diagnostics) {
      if (one.at.source >= 0) one.source = loaded_.sources[static_cast<size_t>(one.at.source)];
    }
    std::stable_sort(diagnostics->begin(), diagnostics->end());
  }

  const LoadOptions& options_;
  Loaded loaded_;
  std::vector<std::string> directories_;  // that relative paths start from, by source
  std::vector<Diagnostic> errors_;
  Node root_;
};

}  // namespace

std::string ReadSource(const std::string& file, std::string* text) {
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) return "is a directory";
  std::ifstream in(file, std::ios::binary);
  if (!in) return "cannot be read: " + std::generic_category().message(errno);
  // One byte more than is allowed, so that ParseYaml() sees it is too much.
  text->resize(kMaxYamlBytes + 1);
  in.read(text->data(), static_cast<std::streamsize>(text->size()));
  text->resize(static_cast<size_t>(in.gcount()));
  return {};
}

Loaded Load(const LoadOptions& options) { return Loader(options).Run(); }

std::string Loaded::Report() const {
  std::string out;
  for (const Diagnostic& error : errors) out += error.ToString() + '\n';
  if (more_errors > 0) out += "and " + std::to_string(more_errors) + " more errors\n";
  for (const Diagnostic& warning : warnings) out += "warning: " + warning.ToString() + '\n';
  return out;
}

}  // namespace braid::config
