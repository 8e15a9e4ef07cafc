#include "exporters/sinks/file_sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "tests/unit/exporters/sinks/sink_test_base.h"

namespace braid::exporters {
namespace {

using Kind = SendResult::Kind;
using testing::HasSubstr;

class FileSinkTest : public test::SinkTestBase {
 protected:
  SinkConfig Config() {
    SinkConfig config;
    config.name = "look";
    config.type = SinkConfig::Type::kFile;
    config.path = directory_ + "/out.jsonl";
    return config;
  }
  static std::vector<std::string> Lines(const std::string& path) {
    std::ifstream file(path);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
};

// Scenario: spans and logs go to a file as lines for people, twice.
// Guarantees: one JSON object a line, appended, with names, IDs in hex, attributes and the resource.
TEST_F(FileSinkTest, WritesLinesForPeople) {
  ASSERT_TRUE(Make(Config()).ok());
  const auto spans = test::MakeChunk(Signal::kTraces,
                                     test::Traces("shop", {{.trace = {0xab, 1},
                                                            .span = 2,
                                                            .parent = 3,
                                                            .name = "GET \"/\"",
                                                            .status = 2,
                                                            .start_ns = 1'700'000'000'000'000'001,
                                                            .end_ns = 1'700'000'000'002'500'001,
                                                            .attributes = {{"k", "v\n"}}}}),
                                     slabs_);
  EXPECT_EQ(Send(spans).kind, Kind::kDelivered);
  EXPECT_EQ(Send(test::LogChunk(2, slabs_)).kind, Kind::kDelivered);
  const auto lines = Lines(directory_ + "/out.jsonl");
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0],
            "{\"signal\":\"span\",\"time\":\"2023-11-14T22:13:20.000000001Z\",\"name\":\"GET "
            "\\\"/\\\"\",\"kind\":\"server\","
            "\"duration_ms\":2.5,\"status\":\"error\",\"trace_id\":\"00000000000000ab0000000000000001\","
            "\"span_id\":\"0000000000000002\",\"parent_span_id\":\"0000000000000003\",\"attributes\":{\"k\":"
            "\"v\\n\"},"
            "\"resource\":{\"service.name\":\"shop\"},\"scope\":\"test\"}");
  EXPECT_THAT(lines[2], HasSubstr("\"body\":\"line 1\""));
}

// Scenario: OTLP JSON of a part of a chunk.
// Guarantees: one request a line, with only those items.
TEST_F(FileSinkTest, WritesOtlpJson) {
  SinkConfig config = Config();
  config.file_format = SinkConfig::FileFormat::kOtlpJson;
  ASSERT_TRUE(Make(config).ok());
  EXPECT_EQ(Send({test::SpanChunk(10, slabs_), 4, 2}).kind, Kind::kDelivered);
  const auto lines = Lines(directory_ + "/out.jsonl");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], HasSubstr("\"name\":\"op4\""));
  EXPECT_THAT(lines[0], HasSubstr("\"name\":\"op5\""));
  EXPECT_THAT(lines[0], testing::Not(HasSubstr("\"name\":\"op6\"")));
}

// Scenario: the file may not grow beyond a limit (as a full disk).
// Guarantees: the request is to be retried with a located error, and leaves no half line behind; once there
// is room it is written.
TEST_F(FileSinkTest, FullDiskIsRetriedWithoutHalfLines) {
  ASSERT_TRUE(Make(Config()).ok());
  EXPECT_EQ(Send(test::SpanChunk(1, slabs_)).kind, Kind::kDelivered);
  const auto before = std::filesystem::file_size(directory_ + "/out.jsonl");
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old = {};
  getrlimit(RLIMIT_FSIZE, &old);
  rlimit small = old;
  small.rlim_cur = before + 100;
  setrlimit(RLIMIT_FSIZE, &small);
  const auto chunk = test::SpanChunk(5, slabs_);
  const SendResult full = Send(chunk);
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_EQ(full.kind, Kind::kRetry);
  EXPECT_THAT(full.message, HasSubstr("sink look: write " + directory_ + "/out.jsonl: "));
  EXPECT_EQ(std::filesystem::file_size(directory_ + "/out.jsonl"), before);
  EXPECT_EQ(Send(chunk).kind, Kind::kDelivered);
  EXPECT_EQ(Lines(directory_ + "/out.jsonl").size(), 6u);
}

// Scenario: a file whose directory does not exist; a dead letter path that is a directory.
// Guarantees: both fail at the start, located.
TEST_F(FileSinkTest, LocatesErrors) {
  SinkConfig config = Config();
  config.path = directory_ + "/missing/out";
  EXPECT_THAT(Make(config).message(), HasSubstr("sink look: path: open " + directory_ + "/missing/out"));
  config = Config();
  config.dead_letter_path = directory_;
  EXPECT_THAT(Make(config).message(), HasSubstr("dead_letter_path"));
}

// Scenario: one item of a chunk is refused for good.
// Guarantees: the dead letter file says why, and holds that item alone.
TEST_F(FileSinkTest, KeepsDeadLetters) {
  const std::string path = directory_ + "/dead.jsonl";
  auto dead_letter = OpenDeadLetter("backend", path, slabs_);
  ASSERT_TRUE(dead_letter.ok());
  EXPECT_TRUE((*dead_letter)->Write({test::SpanChunk(10, slabs_), 7, 1}, "HTTP 400: \"bad\"").ok());
  const auto lines = Lines(path);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0], "{\"reason\":\"HTTP 400: \\\"bad\\\"\",\"signal\":\"traces\"}");
  EXPECT_THAT(lines[1], HasSubstr("\"name\":\"op7\""));
  EXPECT_THAT(lines[1], testing::Not(HasSubstr("\"name\":\"op8\"")));
}

}  // namespace
}  // namespace braid::exporters
