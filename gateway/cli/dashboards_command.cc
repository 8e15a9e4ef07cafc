#include "gateway/cli/dashboards_command.h"

#include <boost/json.hpp>
#include <filesystem>
#include <ostream>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "config/schema.h"
#include "dashboards/embedded.h"
#include "gateway/cli/commands.h"
#include "gateway/cli/write_file.h"

namespace braid::gateway::cli {
namespace {

namespace fs = std::filesystem;

struct Written {
  fs::path path;
  std::string content;
};

std::string_view Content(std::string_view path) {
  for (const EmbeddedFile& file : dashboards::EmbeddedFiles()) {
    if (file.path == path) return file.content;
  }
  return {};
}

// As text between single quotes in YAML, past Grafana, which replaces $NAME and ${NAME} in what it
// provisions.
std::string Provisioned(std::string_view text) {
  std::string out;
  for (const char c : text) {
    out.push_back(c);
    if (c == '\'' || c == '$') out.push_back(c);
  }
  return out;
}

std::string Replaced(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (size_t at = 0;;) {
    const size_t found = text.find(from, at);
    out.append(text, at, found == std::string_view::npos ? std::string_view::npos : found - at);
    if (found == std::string_view::npos) return out;
    out += to;
    at = found + from.size();
  }
}

// The files in the tree work as they are with everything on one machine; here its addresses are put in.
std::string DataSources(const ExportDashboardsOptions& options) {
  const ExportDashboardsOptions in_tree;
  const std::string_view path = options.dialect == "otel" ? "grafana/provisioning/otel/datasources/braid.yaml"
                                                          : "grafana/provisioning/datasources/braid.yaml";
  std::string text(Content(path));
  for (const auto member : {&ExportDashboardsOptions::prometheus, &ExportDashboardsOptions::loki,
                            &ExportDashboardsOptions::tempo, &ExportDashboardsOptions::jaeger}) {
    text = Replaced(text, "    url: " + in_tree.*member + "\n",
                    "    url: '" + Provisioned(options.*member) + "'\n");
  }
  std::string_view url = options.url;
  while (url.ends_with('/')) url.remove_suffix(1);
  return Replaced(text, in_tree.url + "/api/v1/traces/", Provisioned(url) + "/api/v1/traces/");
}

std::string Provider(const fs::path& folder) {
  return Replaced(Content("grafana/provisioning/dashboards/braid.yaml"),
                  "      path: /var/lib/grafana/dashboards/braid\n",
                  "      path: '" + Provisioned(folder.string()) + "'\n");
}

}  // namespace

int ExportDashboards(const ExportDashboardsOptions& options, std::ostream& out, std::ostream& err) {
  std::error_code error;
  const fs::path folder = fs::absolute(options.out, error).lexically_normal();
  std::vector<Written> files;
  const std::string prefix = "grafana/" + options.dialect + "/";
  for (const EmbeddedFile& file : dashboards::EmbeddedFiles()) {
    if (!file.path.starts_with(prefix)) continue;
    files.push_back({folder / file.path.substr(prefix.size()), std::string(file.content)});
  }
  if (!options.provisioning.empty()) {
    const fs::path provisioning = fs::absolute(options.provisioning, error).lexically_normal();
    files.push_back({provisioning / "dashboards" / "braid.yaml", Provider(folder)});
    files.push_back({provisioning / "datasources" / "braid.yaml", DataSources(options)});
  }
  boost::json::array list;
  for (const Written& file : files) {
    fs::create_directories(file.path.parent_path(), error);
    if (const Status written = WriteFile(file.path.string(), file.content); !written.ok()) {
      err << "braid: " << written.message() << '\n';
      return kExitFailure;
    }
    list.emplace_back(file.path.string());
    if (!options.json) out << file.path.string() << '\n';
  }
  if (options.json) out << config::PrettyJson(boost::json::object{{"files", std::move(list)}});
  return kExitOk;
}

}  // namespace braid::gateway::cli
