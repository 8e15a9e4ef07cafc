#include "gateway/doctor/datasource_files.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <system_error>
#include <utility>

#include "config/load.h"
#include "config/yaml.h"

namespace braid::gateway::doctor {

using config::Node;
using config::Position;

namespace {

constexpr const char* kShape =
    "apiVersion: 1\n"
    "datasources:\n"
    "  - name: Prometheus\n"
    "    uid: braid-prometheus\n"
    "    type: prometheus\n"
    "    url: http://127.0.0.1:9090";

bool IsYaml(const std::filesystem::path& path) {
  return path.extension() == ".yaml" || path.extension() == ".yml";
}

}  // namespace

std::vector<SourceText> ReadSourceTexts(const std::vector<std::string>& paths, Reporter& to) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    std::error_code error;
    if (!std::filesystem::is_directory(path, error)) {
      files.push_back(path);
      continue;
    }
    std::vector<std::string> found;
    // Grafana's own folder of provisioning files has them in one for each kind.
    const std::filesystem::path below = std::filesystem::path(path) / "datasources";
    const std::filesystem::path folder = std::filesystem::is_directory(below, error) ? below.string() : path;
    for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error)) {
      if (IsYaml(entry->path())) found.push_back(entry->path().string());
    }
    if (error || found.empty()) {
      to.Fail("parse", path + (error ? ": " + error.message() : ": no *.yaml in this folder"),
              "Grafana reads the *.yaml files directly in <provisioning>/datasources; name that folder, or "
              "the files.");
    }
    std::sort(found.begin(), found.end());
    files.insert(files.end(), found.begin(), found.end());
  }
  if (files.size() > kMaxSourceFiles) {
    to.Fail(
        "parse",
        std::to_string(files.size()) + " files; the first " + std::to_string(kMaxSourceFiles) + " are read",
        "Name the folder of data sources alone.");
    files.resize(kMaxSourceFiles);
  }

  std::vector<SourceText> texts;
  for (const std::string& file : files) {
    std::string text;
    if (const std::string problem = config::ReadSource(file, &text); !problem.empty()) {
      to.Fail("parse", file + ": " + problem, "Is the path right, and readable for you?");
      continue;
    }
    texts.push_back({file, std::move(text)});
  }
  return texts;
}

const Node* Member(const Node* node, std::string_view key) {
  return node != nullptr && node->kind == Node::Kind::kMap ? node->Find(key) : nullptr;
}

std::string MemberText(const Node* node, std::string_view key) {
  const Node* member = Member(node, key);
  return member != nullptr && member->scalar() ? member->text : std::string();
}

bool MemberTrue(const Node* node, std::string_view key) {
  const Node* member = Member(node, key);
  return member != nullptr && member->kind == Node::Kind::kBool && member->text == "true";
}

std::string Unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '$' && i + 1 < text.size() && text[i + 1] == '$') ++i;
    out += text[i];
  }
  return out;
}

DataSources::DataSources(const std::vector<SourceText>& texts, Reporter& to) : to_(to) {
  std::vector<config::Diagnostic> errors;
  roots_.reserve(texts.size());  // sources_ points into it
  for (const SourceText& text : texts) {
    const int file = static_cast<int>(names_.size());
    names_.push_back(text.name);
    roots_.push_back(config::ParseYaml(text.text, file, &errors));
    for (const config::Diagnostic& error : errors) Fail("parse", error.at, error.message, "");
    if (errors.empty()) ReadFile(roots_.back(), file);
    errors.clear();
  }
  CheckUnique();
}

void DataSources::ReadFile(const Node& root, int file) {
  const Position top{.source = file, .line = 1, .column = 1};
  if (root.kind != Node::Kind::kMap) {
    return Fail("parse", top, "no map of settings", kShape);
  }
  const Node* version = Member(&root, "apiVersion");
  if (version == nullptr || version->kind != Node::Kind::kInt || version->text != "1") {
    Fail("api_version", version == nullptr ? top : version->at,
         version == nullptr ? "apiVersion is missing" : "apiVersion is not 1",
         "Without it Grafana reads the file by other rules, in which nothing below is "
         "understood:\napiVersion: 1");
  }
  const Node* list = Member(&root, "datasources");
  if (list == nullptr && Member(&root, "deleteDatasources") != nullptr) return;
  if (list == nullptr || list->kind != Node::Kind::kList) {
    return Fail("parse", list == nullptr ? top : list->at, "no list of datasources", kShape);
  }
  for (const Node& one : list->items) ReadSource(one);
}

void DataSources::ReadSource(const Node& node) {
  DataSource source;
  source.node = &node;
  source.name = MemberText(&node, "name");
  source.uid = MemberText(&node, "uid");
  source.type = MemberText(&node, "type");
  source.url = MemberText(&node, "url");
  source.org = MemberText(&node, "orgId");
  if (source.org.empty() || source.org == "0") source.org = "1";
  source.json = Member(&node, "jsonData");
  if (source.name.empty() || source.type.empty()) {
    Fail("parse", node.at, "a data source needs a name and a type", kShape);
  }
  if (source.json != nullptr && source.json->kind != Node::Kind::kMap &&
      source.json->kind != Node::Kind::kNull) {
    Fail("parse", source.json->at, "jsonData is to be a map", "    jsonData:\n      httpMethod: POST");
  }
  sources_.push_back(std::move(source));
}

void DataSources::CheckUnique() {
  std::map<std::string, const Node*> names, uids, defaults;
  const auto once = [&](std::map<std::string, const Node*>& seen, const DataSource& source,
                        const std::string& key, const Position& at, const std::string& what,
                        const std::string& advice) {
    const auto [first, fresh] = seen.emplace(source.org + '/' + key, source.node);
    if (!fresh) Fail("unique", at, what + "; the first is at " + Where(first->second->at), advice);
  };
  for (const DataSource& source : sources_) {
    const auto place = [&](const char* key) { return Member(source.node, key)->at; };
    if (!source.name.empty()) {
      once(names, source, source.name, place("name"), "name '" + source.name + "' occurs twice",
           "The later overwrites the earlier: give one another name.");
    }
    if (!source.uid.empty()) {
      once(uids, source, source.uid, place("uid"), "uid '" + source.uid + "' occurs twice",
           "Grafana does not start with it: give one another uid, and change what refers to it.");
    }
    if (MemberTrue(source.node, "isDefault")) {
      once(defaults, source, "", place("isDefault"), "a second data source is the default",
           "Grafana does not start with it:\n    isDefault: false");
    }
  }
}

const DataSource* DataSources::OfType(std::string_view type, const DataSource& source) const {
  const auto found = std::find_if(sources_.begin(), sources_.end(), [&](const DataSource& one) {
    return one.type == type && one.org == source.org && !one.uid.empty();
  });
  return found == sources_.end() ? nullptr : &*found;
}

const DataSource* DataSources::Traces(const DataSource& source) const {
  for (const char* type : {"tempo", "jaeger", "zipkin"}) {
    if (const DataSource* found = OfType(type, source)) return found;
  }
  return nullptr;
}

const DataSource* DataSources::ByUid(std::string_view uid, const DataSource& source) const {
  const auto found = std::find_if(sources_.begin(), sources_.end(), [&](const DataSource& one) {
    return one.uid == uid && one.org == source.org;
  });
  return found == sources_.end() ? nullptr : &*found;
}

std::string DataSources::Where(const Position& at) const {
  return names_[static_cast<size_t>(at.source)] + ":" + std::to_string(at.line) + ":" +
         std::to_string(at.column);
}

void DataSources::Warn(std::string_view name, const Position& at, const std::string& message,
                       std::string advice) {
  to_.Warn(name, Where(at) + ": " + message, std::move(advice));
}

void DataSources::Fail(std::string_view name, const Position& at, const std::string& message,
                       std::string advice) {
  to_.Fail(name, Where(at) + ": " + message, std::move(advice));
}

}  // namespace braid::gateway::doctor
