#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <list>
#include <sstream>

#include "gateway/cli/commands.h"

namespace braid::gateway::cli {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class CliTest : public testing::Test {
 protected:
  CliTest() {
    engines_.run = [this](const config::Config& config, const RunOptions& options) {
      ran_ = config;
      run_ = options;
      return 7;
    };
    engines_.demo = [this](const DemoOptions& options) {
      demo_ = options;
      return 0;
    };
    engines_.replay = [this](const ReplayOptions& options) {
      replay_ = options;
      return 0;
    };
    unsetenv("BRAID_CONFIG");
  }

  int Braid(std::vector<const char*> words) {
    words.insert(words.begin(), "braid");
    out_.str("");
    err_.str("");
    return RunCli(static_cast<int>(words.size()), words.data(), engines_, out_, err_);
  }

  // A file with this content; its path lives as long as the test.
  const char* File(const std::string& name, const std::string& content) {
    paths_.push_back((std::filesystem::path(testing::TempDir()) / ("braid-cli-" + name)).string());
    std::ofstream(paths_.back()) << content;
    return paths_.back().c_str();
  }

  Commands engines_;
  std::ostringstream out_, err_;
  config::Config ran_;
  RunOptions run_;
  DemoOptions demo_;
  ReplayOptions replay_;
  std::list<std::string> paths_;
};

// Scenario: help is asked for, of the whole and of each command.
// Guarantees: exit code 0, on standard output, with examples.
TEST_F(CliTest, HelpTeaches) {
  EXPECT_EQ(Braid({"--help"}), kExitOk);
  EXPECT_THAT(out_.str(),
              AllOf(HasSubstr("braid demo"), HasSubstr("OTEL_EXPORTER_OTLP_ENDPOINT"), HasSubstr("78")));
  for (const char* command : {"run", "validate", "print-config", "schema", "demo", "replay", "trace",
                              "doctor", "rules", "dashboards"}) {
    EXPECT_EQ(Braid({command, "--help"}), kExitOk) << command;
    EXPECT_THAT(out_.str(), HasSubstr("Examples:\n  braid " + std::string(command))) << command;
    EXPECT_EQ(err_.str(), "");
  }
}

// Scenario: wrong command lines.
// Guarantees: exit code 64, a reason and where to read on; no engine runs.
TEST_F(CliTest, WrongUse) {
  for (const std::vector<const char*>& words :
       std::vector<std::vector<const char*>>{{},
                                             {"runn"},
                                             {"run", "--nope"},
                                             {"demo", "--rate", "-1"},
                                             {"demo", "--duration", "10"},
                                             {"replay"},
                                             {"replay", "/nonexistent"},
                                             {"replay", "--pace", "fast", "/dev/null"},
                                             {"trace"},
                                             {"trace", "xyz"},
                                             {"trace", "1", "--url", "ftp://x"},
                                             {"doctor", "here"},
                                             {"doctor", "--url", "ftp://x"},
                                             {"doctor", "--prometheus", "127.0.0.1:9090"},
                                             {"doctor", "--loki", "http://user:secret@h"},
                                             {"doctor", "--tempo", "http://h/?a=b"},
                                             {"doctor", "--datasources", "/nonexistent"},
                                             {"doctor", "--org-id", "a\nb"},
                                             {"doctor", "--timeout", "5"},
                                             {"validate", "-o", "xml"},
                                             {"schema", "a", "b"},
                                             {"dashboards"},
                                             {"dashboards", "export"},
                                             {"dashboards", "export", "--out", "x", "--dialect", "grafana"},
                                             {"dashboards", "export", "--out", "x", "--loki", "http://a"},
                                             {"rules"},
                                             {"rules", "export", "--dialect", "otel"},
                                             {"rules", "exprot"}}) {
    EXPECT_EQ(Braid(words), kExitUsage) << testing::PrintToString(words) << out_.str();
    EXPECT_NE(err_.str(), "") << testing::PrintToString(words);
  }
}

// Scenario: run with a file and overrides, then with a broken one.
// Guarantees: the engine gets the configuration and its exit code is ours; a broken one never reaches it.
TEST_F(CliTest, RunLoadsTheConfiguration) {
  const char* file = File("good.yaml", "threads: {cores: 2}\n");
  EXPECT_EQ(Braid({"run", "--config", file, "--set", "threads.cores=3", "--set", "log.level=debug"}), 7);
  EXPECT_EQ(ran_.threads.cores, 3u);
  EXPECT_EQ(ran_.log.level, config::Log::Level::kDebug);
  EXPECT_EQ(run_.config_file, file);

  ran_ = {};
  EXPECT_EQ(Braid({"run", "-c", File("bad.yaml", "thread: {}\n")}), kExitConfig);
  EXPECT_EQ(ran_, config::Config{});
  EXPECT_THAT(err_.str(), HasSubstr(":1:1: thread: unknown key; did you mean 'threads'?"));
}

// Scenario: good, broken and doubtful files are validated.
// Guarantees: exit codes, and the same findings as text and as JSON.
TEST_F(CliTest, Validate) {
  EXPECT_EQ(Braid({"validate", File("v.yaml", "sinks: {a: {type: stdout}}\n")}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("OK, 1 sink, 0 filter rules"));
  const char* bad = File("v-bad.yaml", "log: {level: loud}\n");
  EXPECT_EQ(Braid({"validate", bad}), kExitConfig);
  EXPECT_THAT(err_.str(), HasSubstr(":1:14: log.level: expected one of"));
  EXPECT_EQ(Braid({"validate", bad, "-o", "json"}), kExitConfig);
  EXPECT_THAT(out_.str(),
              AllOf(HasSubstr("\"line\": 1"), HasSubstr("\"column\": 14"), HasSubstr("\"ok\": false")));
  const char* odd =
      File("v-odd.yaml",
           "sinks:\n  a: {type: otlp_http, endpoint: 'https://h', tls: {insecure_skip_verify: true}}\n");
  EXPECT_EQ(Braid({"validate", odd}), kExitOk);
  EXPECT_EQ(Braid({"validate", odd, "--deny-warnings"}), kExitConfig);
  const char* files = File("v-files.yaml", "web: {tls: {cert_file: none, key_file: none}}\n");
  EXPECT_EQ(Braid({"validate", files}), kExitConfig);
  EXPECT_EQ(Braid({"validate", files, "--no-files"}), kExitOk);
}

// Scenario: the configuration, the schema and the version are printed in every format.
// Guarantees: exit code 0 and the format asked for; where a value is from is told.
TEST_F(CliTest, Prints) {
  EXPECT_EQ(Braid({"print-config", File("p.yaml", "log: {level: warn}\n")}), kExitOk);
  EXPECT_THAT(out_.str(),
              AllOf(HasSubstr("  level: warn  # "), HasSubstr("p.yaml:1\n"), HasSubstr("budget: 512MiB\n")));
  EXPECT_EQ(Braid({"print-config", "-o", "json"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("\"budget\": \"512MiB\""));
  EXPECT_EQ(Braid({"print-config", "--descriptions"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("# How much memory Braid may take.\nmemory:\n"));
  EXPECT_EQ(Braid({"schema"}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("\"$schema\": \"http://json-schema.org/draft-07/schema#\""));
  EXPECT_EQ(Braid({"schema", "-o", "markdown"}), kExitOk);
  EXPECT_THAT(out_.str(), testing::StartsWith("# Configuration\n"));
  EXPECT_EQ(Braid({"version"}), kExitOk);
  EXPECT_THAT(out_.str(), testing::MatchesRegex("braid [0-9.]+\n"));
}

// Scenario: every flag of demo and replay.
// Guarantees: each arrives in the engine's options.
TEST_F(CliTest, DemoAndReplay) {
  EXPECT_EQ(Braid({"demo", "--url", "h:1", "--rate", "2.5", "--duration", "1m", "--seed", "9",
                   "--connect-for", "3s", "-o", "json"}),
            kExitOk);
  EXPECT_EQ(demo_.endpoint, "h:1");
  EXPECT_EQ(demo_.rate, 2.5);
  EXPECT_EQ(demo_.duration, std::chrono::minutes(1));
  EXPECT_EQ(demo_.seed, 9u);
  EXPECT_EQ(demo_.connect_for, std::chrono::seconds(3));
  EXPECT_TRUE(demo_.json);

  const char* a = File("a.otlp", "");
  const char* b = File("b.otlp", "");
  EXPECT_EQ(Braid({"replay", a, b, "--pace", "10x", "--order", "shuffle", "--shuffle-window", "5s", "--seed",
                   "4", "--in-flight", "8", "--no-progress", "--endpoint", "h:2"}),
            kExitOk);
  EXPECT_THAT(replay_.files, ElementsAre(a, b));
  EXPECT_EQ(replay_.pace.factor, 10);
  EXPECT_EQ(replay_.order, ReplayOrder::kShuffle);
  EXPECT_EQ(replay_.shuffle_window, std::chrono::seconds(5));
  EXPECT_EQ(replay_.seed, 4u);
  EXPECT_EQ(replay_.in_flight, 8);
  EXPECT_FALSE(replay_.progress);
  EXPECT_EQ(replay_.endpoint, "h:2");
  EXPECT_EQ(Braid({"replay", a}), kExitOk);
  EXPECT_EQ(replay_.order, ReplayOptions{}.order);
}

// Scenario: the doctor where nobody is, with a file of data sources; then with that file alone, good and bad;
// for people and for programs. Guarantees: exit code 69, 0, 1; the file is looked at in each case; all that
// was not named says how to include it.
TEST_F(CliTest, Doctor) {
  const char* good =
      File("sources.yaml", "apiVersion: 1\ndatasources:\n  - {name: P, type: prometheus, uid: p}\n");
  EXPECT_EQ(Braid({"doctor", "--url", "http://127.0.0.1:1", "--datasources", good}), kExitUnavailable);
  EXPECT_THAT(out_.str(),
              AllOf(HasSubstr("FAIL     braid.ready "), HasSubstr("Is Braid running"),
                    HasSubstr("ok       datasources.parse "), HasSubstr("1 data source in 1 file\n")));
  EXPECT_EQ(Braid({"doctor", "--url", "", "--datasources", good}), kExitOk);
  for (const char* hint : {"--prometheus http://", "--loki http://", "--tempo http://", "--jaeger http://"}) {
    EXPECT_THAT(out_.str(), HasSubstr(hint));
  }
  const char* bad = File("bad-sources.yaml", "apiVersion: 1\ndatasources:\n  - {type: prometheus}\n");
  EXPECT_EQ(Braid({"doctor", "--url", "", "--datasources", good, "--datasources", bad, "-o", "json"}),
            kExitFailure);
  EXPECT_THAT(out_.str(), AllOf(testing::StartsWith("{\n  \"ok\": false"),
                                HasSubstr("bad-sources.yaml:3:5: a data source needs")));
  EXPECT_EQ(Braid({"doctor", "--url", ""}), kExitOk);
  EXPECT_THAT(out_.str(), HasSubstr("--datasources FILE_OR_DIR"));
}

}  // namespace
}  // namespace braid::gateway::cli
