#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "gateway/cli/commands.h"

namespace braid::gateway::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class RulesTest : public testing::Test {
 protected:
  RulesTest() : folder_(std::filesystem::path(testing::TempDir()) / "braid-rules-test") {
    std::filesystem::create_directories(folder_);
  }
  ~RulesTest() override { std::filesystem::remove_all(folder_); }

  int Export(const std::vector<std::string>& words) {
    std::vector<const char*> all = {"braid", "rules", "export"};
    for (const std::string& word : words) all.push_back(word.c_str());
    out_.str("");
    err_.str("");
    return RunCli(static_cast<int>(all.size()), all.data(), engines_, out_, err_);
  }

  std::string File(const std::string& name, const std::string& content) {
    std::ofstream(folder_ / name) << content;
    return (folder_ / name).string();
  }
  std::string Read(const std::string& name) {
    std::ifstream in(folder_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  const std::string slo_ =
      "slos:\n- {name: a, service: s, objective: 99, indicator: latency, threshold: 8ms}\n";
  const std::filesystem::path folder_;
  const Commands engines_;
  std::ostringstream out_, err_;
};

// Scenario: rules with and without objectives, or one of both only.
// Guarantees: what was asked for is there and nothing else, in the dialect's names, with the runbooks' place.
TEST_F(RulesTest, PrintsWhatIsAskedFor) {
  const std::string slo = File("slo.yaml", slo_);
  EXPECT_EQ(Export({}), kExitOk);
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("- alert: BraidDown\n"), HasSubstr("docs/runbooks.md#braiddown"),
                                Not(HasSubstr("SLO"))));
  EXPECT_EQ(Export({"--slo", slo}), kExitOk);
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("BraidDown"), HasSubstr("SLOFastBurn"),
                                HasSubstr("traces_spanmetrics_latency_bucket")));
  EXPECT_EQ(
      Export({"--slo", slo, "--only", "slo", "--dialect", "otel", "--runbooks", "https://example.org/r"}),
      kExitOk);
  EXPECT_THAT(out_.str(), AllOf(Not(HasSubstr("BraidDown")),
                                HasSubstr("traces_span_metrics_duration_milliseconds_bucket"),
                                HasSubstr("https://example.org/r#slofastburn")));
  EXPECT_EQ(Export({"--only", "braid"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("BraidDown"));
  EXPECT_EQ(Export({"--slo", slo, "--dialect", "both"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("traces_spanmetrics_latency_bucket"));
  EXPECT_EQ(err_.str(), "");
}

// Scenario: JSON is asked for.
// Guarantees: valid JSON with the same groups.
TEST_F(RulesTest, PrintsJson) {
  EXPECT_EQ(Export({"--slo", File("slo.yaml", slo_), "-o", "json"}), kExitOk);
  const boost::json::value root = boost::json::parse(out_.str());
  EXPECT_EQ(root.at("groups").as_array().back().at("name").as_string(), "slo:a:long");
}

// Scenario: the rules go to a file, to one that is there, to where no file can be, and to something that is
// none. Guarantees: the file has them and nothing is left beside it; an error says why, and leaves nothing
// behind; what is no file stays what it is.
TEST_F(RulesTest, WritesAFile) {
  EXPECT_EQ(Export({}), kExitOk);
  const std::string all = out_.str();
  const std::string file = File("rules.yaml", "old");
  EXPECT_EQ(Export({"--out", file}), kExitOk);
  EXPECT_EQ(out_.str(), "");
  EXPECT_EQ(Read("rules.yaml"), all);
  EXPECT_FALSE(std::filesystem::exists(file + ".part"));

  EXPECT_EQ(Export({"--out", (folder_ / "none" / "rules.yaml").string()}), kExitFailure);
  EXPECT_THAT(err_.str(), HasSubstr("rules.yaml: cannot be written: No such file or directory"));
  EXPECT_EQ(Export({"--out", folder_.string()}), kExitFailure);
  EXPECT_TRUE(std::filesystem::is_directory(folder_));
  EXPECT_EQ(Export({"--out", "/dev/null"}), kExitOk);
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
}

// Scenario: an SLO file with mistakes, for a file that is there.
// Guarantees: exit code 78, every mistake located, nothing printed, the file as it was.
TEST_F(RulesTest, BrokenObjectivesChangeNothing) {
  const std::string file = File("rules.yaml", "old");
  const std::string slo =
      File("slo.yaml", "slos:\n- {name: a, service: s, objective: 100, indicator: speed}\n- {}\n");
  EXPECT_EQ(Export({"--slo", slo, "--out", file}), kExitConfig);
  EXPECT_THAT(err_.str(), AllOf(StartsWith(slo + ":2:"), HasSubstr(slo + ":3:")));
  EXPECT_EQ(out_.str(), "");
  EXPECT_EQ(Read("rules.yaml"), "old");
}

// Scenario: wrong command lines.
// Guarantees: exit code 64, a reason, and where to read on.
TEST_F(RulesTest, WrongUse) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"--only", "slo"},
                                             {"--only", "braid", "--slo", "x"},
                                             {"--only", "all"},
                                             {"--dialect", "jaeger"},
                                             {"--runbooks", "a#b"},
                                             {"--runbooks", ""},
                                             {"-o", "xml"},
                                             {"extra"}}) {
    EXPECT_EQ(Export(words), kExitUsage) << testing::PrintToString(words) << out_.str();
    EXPECT_THAT(err_.str(), HasSubstr("Try: braid rules export --help")) << testing::PrintToString(words);
  }
}

}  // namespace
}  // namespace braid::gateway::cli
