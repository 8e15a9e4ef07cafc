#include "ingest/decode/filter.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>
#include <otlp.pb.h>

#include <random>
#include <string>

#include "base/wire.h"
#include "ingest/decode/decoder.h"
#include "tests/support/otlp/samples.h"

namespace braid::test {
namespace {

namespace oracle = braid::oracle;
using ingest::Filter;
using testing::HasSubstr;
using Action = Filter::Rule::Action;
using Field = Filter::Condition::Field;

template <typename Message>
Message Parse(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

std::string Text(std::string key, std::string value) {
  return "attributes { key: '" + key + "' value { string_value: '" + value + "' } } ";
}

class FilterTest : public testing::Test {
 protected:
  // It would print every bad string.
  FilterTest() { google::protobuf::SetLogHandler(nullptr); }

  void Rules(std::vector<Filter::Rule> rules) {
    Result<std::shared_ptr<const Filter>> filter = Filter::Create(std::move(rules));
    ASSERT_TRUE(filter.ok()) << filter.status().ToString();
    filter_ = std::move(*filter);
  }

  // What comes out; an empty request means that nothing was rewritten.
  template <typename Request>
  Request Apply(Signal signal, const Request& request) {
    const std::string bytes = request.SerializeAsString();
    Result<Filter::Outcome> outcome = filter_->Apply(signal, ToSlab(slabs_, bytes), slabs_);
    EXPECT_TRUE(outcome.ok());
    outcome_ = std::move(*outcome);
    Request result;
    if (outcome_.body) {
      EXPECT_TRUE(result.ParseFromString(std::string(outcome_.body.view())));
    }
    return result;
  }

  // A request of one resource with these spans.
  static oracle::ExportTraceServiceRequest Spans(const std::string& spans, const std::string& resource = "") {
    return Parse<oracle::ExportTraceServiceRequest>("resource_spans { resource { " + resource +
                                                    " } scope_spans { scope { name: 's' } " + spans + " } }");
  }

  SlabPool slabs_{{.max_bytes = 64u << 20}};
  BatchPool batches_;
  SlicePool slices_;
  std::shared_ptr<const Filter> filter_;
  Filter::Outcome outcome_;
};

// Scenario: health checks among other spans.
// Guarantees: only they go, they are counted, everything else stays as it was.
TEST_F(FilterTest, DropsByName) {
  Rules({{.name = "health", .conditions = {{.field = Field::kSpanName, .pattern = "^GET /healthz$"}}}});
  const auto result =
      Apply(Signal::kTraces, Spans("spans { name: 'GET /healthz' } spans { name: 'GET /cart' " +
                                   Text("a", "b") + "} spans { name: 'GET /healthz' }"));
  EXPECT_EQ(outcome_.dropped, 2u);
  EXPECT_EQ(result.SerializeAsString(),
            Spans("spans { name: 'GET /cart' " + Text("a", "b") + "}").SerializeAsString());
}

// Scenario: rules that match nothing, or concern other signals.
// Guarantees: the request is not rewritten at all.
TEST_F(FilterTest, LeavesTheRestAlone) {
  Rules({{.name = "a", .conditions = {{.field = Field::kSpanName, .pattern = "nothing"}}},
         {.name = "b", .signals = {false, true, false}},
         {.name = "c", .action = Action::kRemove, .key = "absent"},
         {.name = "d", .action = Action::kRedact, .key = ".*", .pattern = "absent"}});
  Apply(Signal::kTraces, Spans("spans { name: 'x' " + Text("k", "v") + "}", Text("service.name", "shop")));
  EXPECT_FALSE(outcome_.body);
  EXPECT_EQ(outcome_.dropped, 0u);
  Rules({{.name = "b", .signals = {false, true, false}}});
  EXPECT_FALSE(filter_->Concerns(Signal::kTraces));
  EXPECT_TRUE(filter_->Concerns(Signal::kLogs));
}

// Scenario: conditions on the resource and on attributes of every scalar type, together.
// Guarantees: all must hold; numbers and booleans match by their text, lists never; the resource may follow
// its spans.
TEST_F(FilterTest, CombinesConditions) {
  Rules({{.name = "r",
          .conditions = {{.field = Field::kResource, .key = "service.name", .pattern = "^load-"},
                         {.field = Field::kAttribute, .key = "k", .pattern = "^(5|true|0.5|x)$"}}}});
  const std::string spans =
      "spans { attributes { key: 'k' value { int_value: 5 } } } "
      "spans { attributes { key: 'k' value { bool_value: true } } } "
      "spans { attributes { key: 'k' value { double_value: 0.5 } } } "
      "spans { attributes { key: 'k' value { string_value: 'x' } } } "
      "spans { attributes { key: 'k' value { array_value { values { int_value: 5 } } } } } "
      "spans { attributes { key: 'l' value { int_value: 5 } } } ";
  Apply(Signal::kTraces, Spans(spans, Text("service.name", "load-1")));
  EXPECT_EQ(outcome_.dropped, 4u);
  Apply(Signal::kTraces, Spans(spans, Text("service.name", "shop")));
  EXPECT_EQ(outcome_.dropped, 0u);

  // The resource after its spans: by hand, since protobuf writes fields in order.
  const auto request = Spans(spans, Text("service.name", "load-1"));
  oracle::ResourceSpans first;
  *first.mutable_scope_spans() = request.resource_spans(0).scope_spans();
  oracle::ResourceSpans second;
  *second.mutable_resource() = request.resource_spans(0).resource();
  std::string bytes;
  wire::Writer(&bytes).Bytes(1, first.SerializeAsString() + second.SerializeAsString());
  const Result<Filter::Outcome> outcome = filter_->Apply(Signal::kTraces, ToSlab(slabs_, bytes), slabs_);
  ASSERT_TRUE(outcome.ok());
  EXPECT_EQ(outcome->dropped, 4u);
}

// Scenario: personal data in attributes of a span, its events and links, of nested maps, of the resource and
// the scope. Guarantees: what the pattern finds is replaced in strings everywhere below a named key; other
// values and keys stay.
TEST_F(FilterTest, RedactsWithinValues) {
  Rules({{.name = "mail",
          .action = Action::kRedact,
          .key = "user\\..*",
          .pattern = "(\\w+)@\\w+",
          .replacement = "\\1@***"}});
  const auto result = Apply(
      Signal::kTraces, Spans("spans { " + Text("user.mail", "ann@home bob@work") + Text("other", "ann@home") +
                                 " attributes { key: 'user.list' value { array_value { values { "
                                 "string_value: 'c@d' } values { int_value: 1 } } } } "
                                 " attributes { key: 'map' value { kvlist_value { values { key: 'user.x' "
                                 "value { string_value: 'e@f' } } } } } "
                                 " attributes { key: 'user.map' value { kvlist_value { values { key: 'y' "
                                 "value { string_value: 'g@h' } } } } } "
                                 " attributes { key: 'user.id' value { int_value: 7 } } "
                                 " events { " +
                                 Text("user.mail", "i@j") + " } links { " + Text("user.mail", "k@l") + " } }",
                             Text("user.mail", "m@n")));
  const oracle::Span& span = result.resource_spans(0).scope_spans(0).spans(0);
  EXPECT_EQ(span.attributes(0).value().string_value(), "ann@*** bob@***");
  EXPECT_EQ(span.attributes(1).value().string_value(), "ann@home");
  EXPECT_EQ(span.attributes(2).value().array_value().values(0).string_value(), "c@***");
  EXPECT_EQ(span.attributes(2).value().array_value().values(1).int_value(), 1);
  EXPECT_EQ(span.attributes(3).value().kvlist_value().values(0).value().string_value(), "e@***");
  EXPECT_EQ(span.attributes(4).value().kvlist_value().values(0).value().string_value(), "g@***");
  EXPECT_EQ(span.attributes(5).value().int_value(), 7);
  EXPECT_EQ(span.events(0).attributes(0).value().string_value(), "i@***");
  EXPECT_EQ(span.links(0).attributes(0).value().string_value(), "k@***");
  EXPECT_EQ(result.resource_spans(0).resource().attributes(0).value().string_value(), "m@***");
  EXPECT_EQ(result.resource_spans(0).scope_spans(0).scope().name(), "s");
}

// Scenario: whole values redacted, attributes removed, by keys that must match in full.
// Guarantees: any type of value is replaced; removed attributes are gone; similar keys stay.
TEST_F(FilterTest, ReplacesAndRemovesWhole) {
  Rules({{.name = "all", .action = Action::kRedact, .key = "secret"},
         {.name = "gone", .action = Action::kRemove, .key = "card"}});
  const auto result =
      Apply(Signal::kTraces, Spans("spans { attributes { key: 'secret' value { int_value: 7 } } " +
                                   Text("secrets", "s") + Text("card", "1") + Text("card.no", "2") + " }"));
  EXPECT_EQ(result.SerializeAsString(), Spans("spans { " + Text("secret", "[REDACTED]") +
                                              Text("secrets", "s") + Text("card.no", "2") + " }")
                                            .SerializeAsString());
}

// Scenario: a rule redacts what a later rule looks for; another has a condition on items.
// Guarantees: rules see what earlier ones left; a rule with a condition on items leaves the resource alone.
TEST_F(FilterTest, RunsInOrder) {
  Rules({{.name = "one", .action = Action::kRedact, .key = "k", .pattern = "v", .replacement = "w"},
         {.name = "two", .conditions = {{.field = Field::kAttribute, .key = "k", .pattern = "v"}}},
         {.name = "three",
          .conditions = {{.field = Field::kAttribute, .key = "k", .pattern = "w"}},
          .action = Action::kRemove,
          .key = "host"}});
  const auto result = Apply(Signal::kTraces,
                            Spans("spans { " + Text("k", "v") + Text("host", "h") + " }", Text("host", "h")));
  EXPECT_EQ(outcome_.dropped, 0u);
  EXPECT_EQ(result.SerializeAsString(),
            Spans("spans { " + Text("k", "w") + " }", Text("host", "h")).SerializeAsString());
}

// Scenario: logs by body, with a map body; metrics by name, with points and exemplars.
// Guarantees: the body's text decides; maps in bodies are redacted; metrics count as their points.
TEST_F(FilterTest, KnowsLogsAndMetrics) {
  Rules({{.name = "noise", .conditions = {{.field = Field::kLogBody, .pattern = "heartbeat"}}},
         {.name = "internal", .conditions = {{.field = Field::kMetricName, .pattern = "^go_"}}},
         {.name = "pii", .action = Action::kRedact, .key = "mail"}});
  const auto logs = Apply(Signal::kLogs, Parse<oracle::ExportLogsServiceRequest>(R"(
      resource_logs { scope_logs {
        log_records { body { string_value: 'a heartbeat' } }
        log_records { body { kvlist_value { values { key: 'mail' value { string_value: 'x' } } } } }
        log_records { body { string_value: 'ok' } } } })"));
  EXPECT_EQ(outcome_.dropped, 1u);
  ASSERT_EQ(logs.resource_logs(0).scope_logs(0).log_records_size(), 2);
  EXPECT_EQ(logs.resource_logs(0)
                .scope_logs(0)
                .log_records(0)
                .body()
                .kvlist_value()
                .values(0)
                .value()
                .string_value(),
            "[REDACTED]");

  const auto metrics = Apply(Signal::kMetrics, Parse<oracle::ExportMetricsServiceRequest>(R"(
      resource_metrics { scope_metrics {
        metrics { name: 'go_gc' gauge { data_points { } data_points { } } }
        metrics { name: 'm' sum { data_points { attributes { key: 'mail' value { string_value: 'x' } }
            exemplars { filtered_attributes { key: 'mail' value { string_value: 'y' } } } } } } } })"));
  EXPECT_EQ(outcome_.dropped, 2u);
  ASSERT_EQ(metrics.resource_metrics(0).scope_metrics(0).metrics_size(), 1);
  const auto& point = metrics.resource_metrics(0).scope_metrics(0).metrics(0).sum().data_points(0);
  EXPECT_EQ(point.attributes(0).value().string_value(), "[REDACTED]");
  EXPECT_EQ(point.exemplars(0).filtered_attributes(0).value().string_value(), "[REDACTED]");
}

// Scenario: a filtered request goes through the decoder, then a malformed one.
// Guarantees: dropped items are rejected{filter}, not told to the sender as rejected; counters move only for
// what was decoded.
TEST_F(FilterTest, CountsThroughTheDecoder) {
  Rules({{.name = "health", .conditions = {{.field = Field::kSpanName, .pattern = "health"}}},
         {.name = "pii", .action = Action::kRemove, .key = "mail"}});
  ingest::Decoder decoder({.shards = 2}, batches_, slices_, slabs_, filter_);
  const std::string ids = "trace_id: '0123456789abcdef' span_id: '01234567' ";
  const std::string request =
      Spans("spans { " + ids + "name: 'health' } spans { " + ids + "name: 'x' " + Text("mail", "a") + " }")
          .SerializeAsString();
  Result<ingest::Submission> submission = decoder.Decode(Signal::kTraces, ToSlab(slabs_, request), 0);
  ASSERT_TRUE(submission.ok());
  EXPECT_EQ(submission->items, 1u);
  EXPECT_EQ(submission->rejected[static_cast<size_t>(RejectReason::kFilter)], 1u);
  EXPECT_EQ(submission->rejected_for_sender(), 0u);
  EXPECT_EQ(submission->batch->bytes().find("mail"), std::string_view::npos);

  // Broken inside of a span that stays: an attribute's key is longer than the attribute.
  std::string span;
  wire::Writer(&span).Bytes(9, "\x0a\x7f");
  std::string items;
  wire::Writer(&items).Bytes(2, Parse<oracle::Span>("name: 'health'").SerializeAsString());
  wire::Writer(&items).Bytes(2, span);
  std::string group;
  wire::Writer(&group).Bytes(2, items);
  std::string broken;
  wire::Writer(&broken).Bytes(1, group);
  EXPECT_FALSE(decoder.Decode(Signal::kTraces, ToSlab(slabs_, broken), 0).ok());
  for (const Filter::RuleCount& count : filter_->Counts()) {
    EXPECT_EQ(count.items, count.signal == Signal::kTraces ? 1u : 0u) << count.rule;
  }
}

// Scenario: random and damaged requests under rules of every kind.
// Guarantees: no crash; what is rewritten parses if the original did.
TEST_F(FilterTest, SurvivesDamage) {
  Rules({{.name = "a", .conditions = {{.field = Field::kAttribute, .key = "k", .pattern = "e"}}},
         {.name = "b", .action = Action::kRedact, .key = "service.*", .pattern = "e", .replacement = "éé"},
         {.name = "c", .action = Action::kRemove, .key = "http.*"},
         {.name = "d", .action = Action::kRedact, .key = "span.name"}});
  std::mt19937_64 random(5);
  for (int i = 0; i < 5'000; ++i) {
    std::string bytes = RandomRequest(Signal::kTraces, random);
    oracle::ExportTraceServiceRequest before;
    if (i % 2 == 0) Mutate(&bytes, random);
    const bool good = before.ParseFromString(bytes);
    const Result<Filter::Outcome> outcome = filter_->Apply(Signal::kTraces, ToSlab(slabs_, bytes), slabs_);
    ASSERT_TRUE(outcome.ok());
    if (!good || !outcome->body) continue;
    oracle::ExportTraceServiceRequest after;
    ASSERT_TRUE(after.ParseFromString(std::string(outcome->body.view())));
    const std::string printed = after.ShortDebugString();
    ASSERT_EQ(printed.find("http.request.method"), std::string::npos) << printed;
  }
}

// Scenario: expressions that RE2 does not take.
// Guarantees: refused at start, naming the rule.
TEST_F(FilterTest, RefusesBadExpressions) {
  const auto error = [](Filter::Rule rule) {
    std::vector<Filter::Rule> rules;
    rules.push_back(std::move(rule));
    const auto filter = Filter::Create(std::move(rules));
    return filter.ok() ? "accepted" : filter.status().message();
  };
  EXPECT_THAT(error({.name = "x", .conditions = {{.field = Field::kSpanName, .pattern = "("}}}),
              HasSubstr("filter 'x': condition"));
  EXPECT_THAT(error({.name = "x", .action = Action::kRemove, .key = "["}), HasSubstr("filter 'x': key"));
  EXPECT_THAT(error({.name = "x", .action = Action::kRedact, .key = "k", .pattern = "*"}),
              HasSubstr("filter 'x': pattern"));
  EXPECT_THAT(
      error({.name = "x", .action = Action::kRedact, .key = "k", .pattern = "a", .replacement = "\\1"}),
      HasSubstr("filter 'x': replacement"));
}

// Scenario: the pool has no room for the copy.
// Guarantees: "try again", nothing counted.
TEST_F(FilterTest, SaysWhenMemoryIsShort) {
  Rules({{.name = "gone", .action = Action::kRemove, .key = "card"}});
  SlabPool empty({.max_bytes = 1});
  const Result<Filter::Outcome> outcome =
      filter_->Apply(Signal::kTraces,
                     ToSlab(slabs_, Spans("spans { " + Text("card", "1") + " }").SerializeAsString()), empty);
  ASSERT_FALSE(outcome.ok());
  EXPECT_EQ(outcome.status().code(), Code::kUnavailable);
}

}  // namespace
}  // namespace braid::test
