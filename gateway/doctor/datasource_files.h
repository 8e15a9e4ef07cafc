#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "config/node.h"
#include "gateway/doctor/report.h"

namespace braid::gateway::doctor {

// One file of Grafana's data source provisioning.
struct SourceText {
  std::string name;  // as it is shown
  std::string text;
};

constexpr size_t kMaxSourceFiles = 200;

// Reads files, and of folders what Grafana reads: *.yaml and *.yml directly in them, in order. What cannot be
// read is reported as "parse".
std::vector<SourceText> ReadSourceTexts(const std::vector<std::string>& paths, Reporter& to);

// One data source of the files. Texts are as written: environment variables and $$ are still in them.
struct DataSource {
  const config::Node* node = nullptr;
  const config::Node* json = nullptr;  // jsonData; null if it has none
  std::string name, uid, type, url, org;

  bool IsTraces() const { return type == "tempo" || type == "jaeger" || type == "zipkin"; }
};

// All files together, and what is reported about them with its place: "braid.yaml:12:7: ...".
class DataSources {
 public:
  // Parses, and reports "parse", "api_version" and "unique". `to` outlives it.
  DataSources(const std::vector<SourceText>& texts, Reporter& to);

  // Pointers into itself.
  DataSources(const DataSources&) = delete;
  DataSources& operator=(const DataSources&) = delete;

  const std::vector<DataSource>& all() const { return sources_; }

  // The first of this type in the organisation of `source`; null if there is none.
  const DataSource* OfType(std::string_view type, const DataSource& source) const;
  const DataSource* Traces(const DataSource& source) const;

  // The one that `source` calls by its uid; null if there is none.
  const DataSource* ByUid(std::string_view uid, const DataSource& source) const;

  void Warn(std::string_view name, const config::Position& at, const std::string& message,
            std::string advice);
  void Fail(std::string_view name, const config::Position& at, const std::string& message,
            std::string advice);
  Reporter& to() { return to_; }

 private:
  std::string Where(const config::Position& at) const;
  void ReadFile(const config::Node& root, int file);
  void ReadSource(const config::Node& node);
  void CheckUnique();

  Reporter& to_;
  std::vector<std::string> names_;
  std::vector<config::Node> roots_;
  std::vector<DataSource> sources_;
};

// A map's member, or null: also if `node` is null or no map.
const config::Node* Member(const config::Node* node, std::string_view key);

// A member that is a scalar, as text; empty for anything else.
std::string MemberText(const config::Node* node, std::string_view key);

// Whether a member is the boolean true.
bool MemberTrue(const config::Node* node, std::string_view key);

// What Grafana makes of a text, apart from environment variables: $$ is a dollar.
std::string Unescaped(std::string_view text);

}  // namespace braid::gateway::doctor
