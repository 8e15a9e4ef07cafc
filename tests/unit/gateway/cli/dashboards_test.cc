// `braid dashboards export`.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "config/yaml.h"
#include "dashboards/embedded.h"
#include "gateway/cli/commands.h"
#include "gateway/cli/dashboards_command.h"

namespace braid::gateway::cli {
namespace {

namespace fs = std::filesystem;

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class DashboardsTest : public testing::Test {
 protected:
  DashboardsTest() { fs::remove_all(folder_); }
  ~DashboardsTest() override { fs::remove_all(folder_); }

  int Export(ExportDashboardsOptions options) {
    options.out = (folder_ / "dashboards").string();
    out_.str("");
    err_.str("");
    return ExportDashboards(options, out_, err_);
  }
  static std::string Read(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  const fs::path folder_ = fs::path(testing::TempDir()) / ("braid-dashboards-" + std::to_string(getpid()));
  std::ostringstream out_, err_;
};

// Scenario: each dialect is exported.
// Guarantees: six dashboards, each JSON with its file's name as uid, which ask for this dialect's metrics and
// for none of the other's; what was in the folder besides stays.
TEST_F(DashboardsTest, WritesOneDialect) {
  fs::create_directories(folder_ / "dashboards");
  std::ofstream(folder_ / "dashboards" / "own.json") << "{}";
  for (const bool otel : {false, true}) {
    ExportDashboardsOptions options;
    options.dialect = otel ? "otel" : "tempo";
    ASSERT_EQ(Export(options), kExitOk) << err_.str();
    size_t dashboards = 0;
    for (const auto& entry : fs::directory_iterator(folder_ / "dashboards")) {
      if (entry.path().filename() == "own.json") continue;
      ++dashboards;
      const std::string text = Read(entry.path());
      const boost::json::value board = boost::json::parse(text);
      EXPECT_EQ(board.at("uid").as_string(), entry.path().stem().string());
      EXPECT_THAT(text, Not(HasSubstr(otel ? "traces_spanmetrics_" : "traces_span_metrics_")));
      EXPECT_THAT(out_.str(), HasSubstr(entry.path().string() + "\n"));
    }
    EXPECT_EQ(dashboards, 6u);
    EXPECT_THAT(Read(folder_ / "dashboards" / "braid-services.json"),
                HasSubstr(otel ? "traces_span_metrics_calls_total" : "traces_spanmetrics_calls_total"));
  }
  EXPECT_EQ(Read(folder_ / "dashboards" / "own.json"), "{}");
}

// Scenario: provisioning files with other addresses, one of them with characters that YAML and Grafana read
// as something else. Guarantees: both files are YAML, name the folder of the dashboards and these addresses
// and no default; uids and the escapes of the file in the tree stay.
TEST_F(DashboardsTest, ProvisionsWithTheAddressesGiven) {
  ExportDashboardsOptions options;
  options.provisioning = (folder_ / "grafana").string();
  options.prometheus = "http://prom:9090/it's/$HOME";
  options.loki = "http://loki:1";
  options.tempo = "http://tempo:2";
  options.jaeger = "http://jaeger:3";
  options.url = "https://braid.test/";
  ASSERT_EQ(Export(options), kExitOk) << err_.str();
  const std::string sources = Read(folder_ / "grafana" / "datasources" / "braid.yaml");
  EXPECT_THAT(
      sources,
      AllOf(HasSubstr("    url: 'http://prom:9090/it''s/$$HOME'\n"), HasSubstr("    url: 'http://loki:1'\n"),
            HasSubstr("    url: 'http://tempo:2'\n"), HasSubstr("    url: 'http://jaeger:3'\n"),
            HasSubstr("url: 'https://braid.test/api/v1/traces/$${__value.raw}'"),
            HasSubstr("uid: braid-prometheus"), Not(HasSubstr("127.0.0.1"))));
  const std::string provider = Read(folder_ / "grafana" / "dashboards" / "braid.yaml");
  EXPECT_THAT(provider, HasSubstr("path: '" + (folder_ / "dashboards").lexically_normal().string() + "'\n"));
  for (const std::string& text : {sources, provider}) {
    std::vector<config::Diagnostic> errors;
    config::ParseYaml(text, 0, &errors);
    EXPECT_TRUE(errors.empty());
  }
}

// Scenario: nothing is changed; the addresses of the defaults stand in the tree's file as its own.
// Guarantees: each default address occurs in the files of both dialects, so that replacing it replaces
// something.
TEST_F(DashboardsTest, DefaultsAreThoseOfTheTree) {
  const ExportDashboardsOptions defaults;
  size_t files = 0;
  for (const EmbeddedFile& file : dashboards::EmbeddedFiles()) {
    if (!file.path.ends_with("datasources/braid.yaml")) continue;
    ++files;
    for (const std::string& url : {defaults.prometheus, defaults.loki, defaults.tempo, defaults.jaeger})
      EXPECT_THAT(std::string(file.content), HasSubstr("    url: " + url + "\n")) << file.path;
    EXPECT_THAT(std::string(file.content), HasSubstr(defaults.url + "/api/v1/traces/"));
  }
  EXPECT_EQ(files, 2u);
}

// Scenario: the folder cannot be made.
// Guarantees: exit code 1, and a message that names the file.
TEST_F(DashboardsTest, SaysWhatCannotBeWritten) {
  std::ofstream(folder_) << "a file";
  EXPECT_EQ(Export({}), kExitFailure);
  EXPECT_THAT(err_.str(), AllOf(HasSubstr("braid-correlation.json"), HasSubstr("cannot be written")));
}

// Scenario: for a program.
// Guarantees: one JSON object that lists the files.
TEST_F(DashboardsTest, ListsFilesAsJson) {
  ExportDashboardsOptions options;
  options.json = true;
  ASSERT_EQ(Export(options), kExitOk);
  EXPECT_EQ(boost::json::parse(out_.str()).at("files").as_array().size(), 6u);
}

}  // namespace
}  // namespace braid::gateway::cli
