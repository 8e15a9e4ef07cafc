#include "exporters/encode/loki.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <snappy.h>

#include <map>

#include "loki_push.pb.h"
#include "tests/unit/exporters/chunk_builder.h"

namespace braid::exporters {
namespace {

using oracle::loki::PushRequest;
using test::LogSpec;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

constexpr uint64_t kTime = 1'700'000'000'123'456'789;

class LokiTest : public testing::Test {
 protected:
  // The encoder's output as generated protobuf reads it.
  PushRequest Push(const ChunkPtr& chunk) {
    return Push(chunk, 0, static_cast<uint32_t>(chunk->items.size()));
  }
  PushRequest Push(const ChunkPtr& chunk, uint32_t first, uint32_t count) {
    auto encoder = LokiEncoder::Make(options_);
    EXPECT_TRUE(encoder.ok());
    output_ = encoder->Encode(*chunk, first, count, slabs_);
    PushRequest request;
    if (output_.entries == 0) return request;
    std::string plain;
    EXPECT_TRUE(snappy::Uncompress(output_.body.data(), output_.body.size(), &plain));
    EXPECT_TRUE(request.ParseFromString(plain));
    return request;
  }
  ChunkPtr Chunk(const std::vector<LogSpec>& logs, const std::string& service = "shop") {
    return test::MakeChunk(Signal::kLogs, test::Logs(service, logs), slabs_);
  }
  static std::vector<std::pair<std::string, std::string>> Metadata(const oracle::loki::Entry& entry) {
    std::vector<std::pair<std::string, std::string>> out;
    for (const auto& pair : entry.structured_metadata()) out.emplace_back(pair.name(), pair.value());
    return out;
  }
  static std::vector<std::string> LinesOf(const oracle::loki::Stream& stream) {
    std::vector<std::string> lines;
    for (const auto& entry : stream.entries()) lines.push_back(entry.line());
    return lines;
  }

  SlabPool slabs_{SlabPool::Options{}};
  LokiEncoder::Options options_{.labels = {{"service.name", "service_name"}, {"env", "environment"}}};
  LokiEncoder::Output output_;
};

// Scenario: one stamped log with trace context and attributes.
// Guarantees: labels from the resource only; time, line and metadata as they were, IDs in hex, stamps before
// attributes, names with underscores.
TEST_F(LokiTest, EncodesOneEntry) {
  const auto request = Push(Chunk({{.trace = {0xab, 0xcd},
                                    .span = 0xef,
                                    .severity = 17,
                                    .body = "it broke",
                                    .time_ns = kTime,
                                    .attributes = {{"http.status-code", "500"}, {"span.name", "GET /"}}}}));
  ASSERT_EQ(request.streams_size(), 1);
  EXPECT_EQ(request.streams(0).labels(), "{service_name=\"shop\"}");
  ASSERT_EQ(request.streams(0).entries_size(), 1);
  const auto& entry = request.streams(0).entries(0);
  EXPECT_EQ(entry.timestamp().seconds(), 1'700'000'000);
  EXPECT_EQ(entry.timestamp().nanos(), 123'456'789);
  EXPECT_EQ(entry.line(), "it broke");
  EXPECT_THAT(Metadata(entry), ElementsAre(Pair("trace_id", "00000000000000ab00000000000000cd"),
                                           Pair("span_id", "00000000000000ef"), Pair("severity", "error"),
                                           Pair("severity_number", "17"), Pair("span_name", "GET /"),
                                           Pair("http_status_code", "500"), Pair("scope_name", "test")));
}

// Scenario: logs of three services, one named twice in the chunk, and severity as a label.
// Guarantees: one stream for each set of labels; entries of a stream in the chunk's order; labels sorted and
// quoted.
TEST_F(LokiTest, GroupsByStreamInOrder) {
  const std::string a = test::Logs("a", {{.body = "a1"}, {.body = "a2"}});
  const std::string b = test::Logs(
      "b\"\\\n",
      {{.severity = 17, .body = "b1"}, {.severity = 9, .body = "b2"}, {.severity = 18, .body = "b3"}});
  const std::string a2 = test::Logs("a", {{.body = "a3"}});
  const auto chunk = test::MakeChunk(Signal::kLogs, a + b + a2, slabs_);
  auto request = Push(chunk);
  ASSERT_EQ(request.streams_size(), 2);
  EXPECT_THAT(LinesOf(request.streams(0)), ElementsAre("a1", "a2", "a3"));
  EXPECT_EQ(request.streams(1).labels(), R"({service_name="b\"\\\n"})");
  options_.labels.push_back({"severity", "level"});
  request = Push(chunk);
  ASSERT_EQ(request.streams_size(), 3);
  EXPECT_EQ(request.streams(1).labels(), R"({level="error", service_name="b\"\\\n"})");
  EXPECT_THAT(LinesOf(request.streams(1)), ElementsAre("b1", "b3"));
  EXPECT_EQ(request.streams(2).labels(), R"({level="info", service_name="b\"\\\n"})");
}

// Scenario: no resource attribute matches a rule.
// Guarantees: the stream still has a label.
TEST_F(LokiTest, NeverSendsAnEmptyLabelSet) {
  EXPECT_EQ(Push(Chunk({{}}, "")).streams(0).labels(), "{service_name=\"unknown_service\"}");
}

// Scenario: a body that is a map, one that is a number, one that is empty.
// Guarantees: the line is JSON, text, and empty.
TEST_F(LokiTest, LinesFromOtherBodies) {
  const auto log = [](const std::string& any) {
    std::string out;
    wire::Writer w(&out);
    w.Fixed64(1, kTime);
    w.Bytes(5, any);
    return out;
  };
  std::string map;
  {
    wire::Writer w(&map);
    const size_t list = w.Begin(6);
    test::WriteAttributes(w, 1, {{"a", "x\"y"}});
    const size_t pair = w.Begin(1);
    w.Bytes(1, "n");
    const size_t value = w.Begin(2);
    w.Varint(3, static_cast<uint64_t>(-7));
    w.End(value);
    w.End(pair);
    w.End(list);
  }
  std::string number;
  wire::Writer(&number).Double(4, 1.5);
  const auto request =
      Push(test::MakeChunk(Signal::kLogs, test::Request("shop", {log(map), log(number), log("")}), slabs_));
  EXPECT_THAT(LinesOf(request.streams(0)), ElementsAre("{\"a\":\"x\\\"y\",\"n\":-7}", "1.5", ""));
}

// Scenario: 200 attributes on one log, 70 KB in one attribute of another, two attributes that become one
// name. Guarantees: 128 entries and 64 KiB at most; IDs and stamps survive; what is left out is counted.
TEST_F(LokiTest, ShedsMetadataBeyondLokisLimits) {
  test::Attributes many;
  for (int i = 0; i < 200; ++i) many.emplace_back("key" + std::to_string(i), "v");
  many.emplace_back("trace.error", "true");
  auto request = Push(Chunk({{.trace = {1, 2}, .span = 3, .time_ns = kTime, .attributes = many}}));
  const auto metadata = Metadata(request.streams(0).entries(0));
  EXPECT_EQ(metadata.size(), 128u);
  EXPECT_EQ(metadata[0].first, "trace_id");
  EXPECT_EQ(metadata[4].first, "trace_error");
  EXPECT_EQ(output_.shed_fields, 5u + 200 + 1 - 128);  // 5 of our own, the attributes, the scope

  request = Push(Chunk({{.trace = {1, 2},
                         .span = 3,
                         .time_ns = kTime,
                         .attributes = {{"big", std::string(70'000, 'x')}, {"small", "y"}}}}));
  size_t bytes = 0;
  for (const auto& [name, value] : Metadata(request.streams(0).entries(0)))
    bytes += name.size() + value.size();
  EXPECT_LE(bytes, 65'536u);
  EXPECT_THAT(Metadata(request.streams(0).entries(0)), testing::Contains(Pair("small", "y")));
  EXPECT_EQ(output_.shed_fields, 1u);

  request = Push(Chunk({{.time_ns = kTime, .attributes = {{"a.b", "1"}, {"a_b", "2"}, {"9", "3"}}}}));
  EXPECT_THAT(Metadata(request.streams(0).entries(0)), testing::Contains(Pair("a_b", "1")));
  EXPECT_THAT(Metadata(request.streams(0).entries(0)), testing::Contains(Pair("_9", "3")));
  EXPECT_EQ(output_.shed_fields, 1u);
}

// Scenario: a line beyond the limit among good ones; a chunk with records without time.
// Guarantees: too long lines are counted and the rest sent; a record without time takes the chunk's latest,
// the same in a part of the chunk; where none has a time they are counted.
TEST_F(LokiTest, CountsWhatCannotBeSent) {
  options_.max_line_bytes = 10;
  auto request = Push(Chunk({{.body = "ok"}, {.body = "eleven bytes"}, {.body = "ten bytes!"}}));
  EXPECT_THAT(LinesOf(request.streams(0)), ElementsAre("ok", "ten bytes!"));
  EXPECT_EQ(output_.too_large, 1u);
  EXPECT_EQ(output_.entries, 2u);

  const auto chunk = Chunk({{.body = "a", .time_ns = 0}, {.body = "b", .time_ns = kTime}});
  request = Push(chunk);
  EXPECT_EQ(request.streams(0).entries(0).timestamp().nanos(), 123'456'789);
  EXPECT_EQ(Push(chunk, 0, 1).streams(0).entries(0).SerializeAsString(),
            request.streams(0).entries(0).SerializeAsString());
  Push(Chunk({{.time_ns = 0}, {.time_ns = 0}}));
  EXPECT_EQ(output_.unencodable, 2u);
  EXPECT_EQ(output_.entries, 0u);
}

// Scenario: label rules that Loki would refuse.
// Guarantees: refused when the encoder is made.
TEST_F(LokiTest, ChecksLabelRules) {
  options_.labels = {{"a", "9a"}};
  EXPECT_THAT(LokiEncoder::Make(options_).status().message(), HasSubstr("9a"));
  options_.labels.clear();
  for (int i = 0; i < 16; ++i) options_.labels.push_back({"a", "l" + std::to_string(i)});
  EXPECT_THAT(LokiEncoder::Make(options_).status().message(), HasSubstr("15"));
}

}  // namespace
}  // namespace braid::exporters
