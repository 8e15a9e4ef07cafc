#include "ingest/decode/decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <otlp.pb.h>

#include <functional>
#include <string>
#include <string_view>

#include "base/wire.h"
#include "correlate/model/stamp.h"
#include "tests/support/otlp/samples.h"

namespace braid::test {
namespace {

using ingest::Decoder;
using ingest::Submission;
using testing::HasSubstr;
using wire::Writer;

const std::string kTraceId = "\x5b\x8e\xff\xf7\x98\x03\x81\x03\xd2\x69\xb6\x33\x81\x3f\xc6\x0c";
const std::string kSpanId = "\xee\xe1\x9b\x7e\xc3\xc1\xb1\x74";
constexpr uint64_t kSpan = 0xeee19b7ec3c1b174;
constexpr TraceId kTrace = {0x5b8efff798038103, 0xd269b633813fc60c};

// Messages by hand, so that order and oddities are the test's choice.
std::string Message(const std::function<void(Writer&)>& fill) {
  std::string bytes;
  Writer writer(&bytes);
  fill(writer);
  return bytes;
}
std::string Field(uint32_t number, std::string_view content) {
  return Message([&](Writer& w) { w.Bytes(number, content); });
}
std::string KeyValue(std::string_view key, std::string_view any_value) {
  return Field(1, key) + Field(2, any_value);
}
std::string StringValue(std::string_view text) { return Field(1, text); }
std::string Span(std::string_view more = {}) {
  return Field(1, kTraceId) + Field(2, kSpanId) + std::string(more);
}
std::string Attribute(uint32_t number, std::string_view key, std::string_view any_value) {
  return Field(number, KeyValue(key, any_value));
}
// A resource with one scope that holds these items.
std::string Home(std::string_view items, std::string_view rest = {}) {
  return Field(1, std::string(rest) + Field(2, items));
}
std::string Spans(std::initializer_list<std::string> spans) {
  std::string items;
  for (const std::string& span : spans) items += Field(2, span);
  return Home(items);
}
std::string Service(std::string_view name) {
  return Field(1, Attribute(1, "service.name", StringValue(name)));
}

// A value that nests `maps` maps and then `lists` lists.
std::string Nested(int maps, int lists) {
  std::string value;
  for (int i = 0; i < lists; ++i) value = Field(5, Field(1, value));
  for (int i = 0; i < maps; ++i) value = Field(6, Field(1, KeyValue("k", value)));
  return value;
}

class DecoderTest : public testing::TestWithParam<Decoder::Isa> {
 protected:
  // It would print every bad string.
  DecoderTest() { google::protobuf::SetLogHandler(nullptr); }

  Result<Submission> TryDecode(Signal signal, std::string_view request, uint32_t tenant = 0) {
    return decoder_.Decode(signal, ToSlab(slabs_, request), tenant);
  }

  Submission Decode(Signal signal, std::string_view request, uint32_t tenant = 0) {
    Result<Submission> result = TryDecode(signal, request, tenant);
    EXPECT_TRUE(result.ok()) << result.status().ToString();
    return result.ok() ? std::move(*result) : Submission();
  }

  // The only item of a request.
  Item One(Signal signal, std::string_view request) {
    last_ = Decode(signal, request);
    Item item;
    int items = 0;
    for (const SlicePtr& slice : last_.slices) {
      if (slice == nullptr) continue;
      items += static_cast<int>(slice->items.size());
      item = slice->items.front();
      slice_ = slice.get();
    }
    EXPECT_EQ(items, 1);
    return item;
  }

  std::string Refusal(Signal signal, std::string_view request) {
    const Result<Submission> result = TryDecode(signal, request);
    if (result.ok()) return "accepted";
    EXPECT_EQ(result.status().code(), Code::kInvalidArgument);
    return result.status().message();
  }

  static uint64_t Rejected(const Submission& submission, RejectReason reason) {
    return submission.rejected[static_cast<size_t>(reason)];
  }

  const Epoch epoch_{.number = 1, .shards = 4, .seed = 99};
  SlabPool slabs_{{.max_bytes = 256u << 20}};
  BatchPool batches_;
  SlicePool slices_;
  Decoder decoder_{epoch_, batches_, slices_, slabs_, nullptr, {.isa = GetParam()}};
  Submission last_;
  const Slice* slice_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Isas, DecoderTest, testing::Values(Decoder::Isa::kBest, Decoder::Isa::kBaseline),
                         [](const auto& test) {
                           return test.param == Decoder::Isa::kBest ? "best" : "baseline";
                         });

// Scenario: nothing, or messages with nothing in them.
// Guarantees: success without a slice and without leftovers in the tables.
TEST_P(DecoderTest, EmptyEverything) {
  for (const std::string& request :
       {std::string(), Field(1, ""), Field(1, Field(1, "")), Field(1, Field(2, "")),
        Field(1, Service("a") + Field(2, Field(1, Field(1, "scope"))))}) {
    for (const Signal signal : {Signal::kTraces, Signal::kLogs, Signal::kMetrics}) {
      const Submission submission = Decode(signal, request);
      EXPECT_EQ(submission.items, 0u);
      EXPECT_EQ(submission.slices.size(), 4u);
      for (const SlicePtr& slice : submission.slices) EXPECT_EQ(slice, nullptr);
      EXPECT_TRUE(submission.batch->resources.empty());
      EXPECT_TRUE(submission.batch->groups.empty());
      EXPECT_TRUE(submission.batch->ranges.empty());
    }
  }
  EXPECT_TRUE(decoder_.Decode(Signal::kTraces, Slab(), 0).ok());
}

// Scenario: one span with every field that matters.
// Guarantees: the Item says what it says, in the shard of its trace, and its bytes are found at its offset.
TEST_P(DecoderTest, WritesSpans) {
  const std::string span = Span(Message([](Writer& w) {
    w.Bytes(4, "\x01\x02\x03\x04\x05\x06\x07\x08");
    w.Bytes(5, "GET /");
    w.Varint(6, 2);
    w.Fixed64(7, 100);
    w.Fixed64(8, 250);
    w.Bytes(15, Message([](Writer& status) { status.Varint(3, 2); }));
    w.Fixed32(16, 0x301);
  }));
  const Item item = One(Signal::kTraces, Home(Field(2, span), Service("shop")));
  EXPECT_EQ(item.trace(), kTrace);
  EXPECT_EQ(item.span, kSpan);
  EXPECT_EQ(item.parent, 0x0102030405060708u);
  EXPECT_EQ(item.start_ns, 100u);
  EXPECT_EQ(item.end_ns, 250u);
  EXPECT_EQ(item.series, ingest::SpanSeries(epoch_, "shop", "GET /", 2, 2));
  EXPECT_EQ(item.flags, 2 | 2 << item_flags::kStatusShift | item_flags::kParentRemote);
  EXPECT_EQ(last_.batch->ItemBytes(item.offset), span);
  EXPECT_EQ(last_.batch->ServiceName(item.group), "shop");
  EXPECT_NE(last_.slices[ShardOf(epoch_, TraceHash(epoch_, 0, kTrace.lo))], nullptr);
}

// Scenario: parts of a series' identity moved from one field to its neighbour.
// Guarantees: different series.
TEST_P(DecoderTest, TellsSeriesApart) {
  const uint64_t series = ingest::SpanSeries(epoch_, "ab", "c", 1, 2);
  EXPECT_NE(series, ingest::SpanSeries(epoch_, "a", "bc", 1, 2));
  EXPECT_NE(series, ingest::SpanSeries(epoch_, "c", "ab", 1, 2));
  EXPECT_NE(series, ingest::SpanSeries(epoch_, "ab", "c", 2, 1));
  EXPECT_NE(series, ingest::SpanSeries(epoch_, "ab", "c", 1, 0));
  EXPECT_NE(series, ingest::SpanSeries({.seed = 100}, "ab", "c", 1, 2));
}

// Scenario: enum values that no schema knows, and negative ones.
// Guarantees: they count as unset; the bytes stay.
TEST_P(DecoderTest, ForeignEnumsAreUnset) {
  for (const uint64_t value : {uint64_t{6}, uint64_t{8}, ~uint64_t{0}}) {
    const Item item = One(Signal::kTraces, Spans({Span(Message([&](Writer& w) {
                            w.Varint(6, value);
                            w.Bytes(15, Message([&](Writer& status) { status.Varint(3, value); }));
                          }))}));
    EXPECT_EQ(item.flags, 0u);
    EXPECT_EQ(item.series, ingest::SpanSeries(epoch_, "", "", 0, 0));
  }
}

// Scenario: the Resource after its spans, in two parts, with service.name twice, and once of another type.
// Guarantees: the last string wins for all spans; the ranges hold both parts; they do not include the scopes.
TEST_P(DecoderTest, ResolvesResourceAtItsEnd) {
  const std::string first = Service("first");
  const std::string second = Field(1, Attribute(1, "service.name", StringValue("second")) +
                                          Attribute(1, "service.name", "\x18\x05") +
                                          Attribute(1, "service.namespace", StringValue("no")));
  const Item item = One(Signal::kTraces, Home(Field(2, Span()), first) + "");
  EXPECT_EQ(item.series, ingest::SpanSeries(epoch_, "first", "", 0, 0));

  const std::string split = Field(1, first + Field(2, Field(2, Span())) + second + Field(3, "url"));
  const Item late = One(Signal::kTraces, split);
  EXPECT_EQ(late.series, ingest::SpanSeries(epoch_, "second", "", 0, 0));
  EXPECT_EQ(last_.batch->ServiceName(0), "second");
  ASSERT_EQ(last_.batch->resources[0].range_count, 2u);
  EXPECT_EQ(last_.batch->bytes(last_.batch->ranges[0]), first);
  EXPECT_EQ(last_.batch->bytes(last_.batch->ranges[1]), second + Field(3, "url"));

  // Equal content has an equal key, however it lies.
  const uint64_t key = last_.batch->resources[0].key;
  One(Signal::kTraces, Field(1, Field(2, Field(2, Span())) + first + second + Field(3, "url")));
  EXPECT_EQ(last_.batch->resources[0].key, key);
  EXPECT_EQ(last_.batch->resources[0].range_count, 1u);
}

// Scenario: a scalar, a oneof and a message twice each.
// Guarantees: the last scalar wins, an empty later value clears nothing, messages merge.
TEST_P(DecoderTest, LastOccurrenceWins) {
  const Item item = One(Signal::kTraces, Spans({Span(Message([](Writer& w) {
                          w.Bytes(5, "a");
                          w.Bytes(5, "b");
                          w.Fixed64(7, 1);
                          w.Fixed64(7, 2);
                          w.Bytes(15, Message([](Writer& status) { status.Varint(3, 2); }));
                          w.Bytes(15, Field(2, "message only"));
                        }))}));
  EXPECT_EQ(item.start_ns, 2u);
  EXPECT_EQ(item.series, ingest::SpanSeries(epoch_, "", "b", 0, 2));
  const std::string both = StringValue("x") + "\x18\x05";
  const Item numbered =
      One(Signal::kTraces, Home(Field(2, Span()), Field(1, Attribute(1, "service.name", both))));
  EXPECT_EQ(numbered.series, ingest::SpanSeries(epoch_, "", "", 0, 0));
  const std::string merged =
      Field(1, Field(1, Field(1, "service.name") + Field(2, StringValue("x")) + Field(2, "")));
  const Item kept = One(Signal::kTraces, Home(Field(2, Span()), merged));
  EXPECT_EQ(kept.series, ingest::SpanSeries(epoch_, "x", "", 0, 0));
}

// Scenario: spans whose IDs are missing, zero or of the wrong length.
// Guarantees: each is rejected for its ID, the first is named, the good one between them passes.
TEST_P(DecoderTest, RejectsBadIds) {
  const std::string zeros(16, '\0');
  const Submission submission =
      Decode(Signal::kTraces,
             Spans({Field(2, kSpanId), Field(1, kTraceId), Field(1, zeros) + Field(2, kSpanId),
                    Field(1, kTraceId) + Field(2, zeros.substr(0, 8)), Field(1, "short") + Field(2, kSpanId),
                    Span(), Span(Field(4, "123")), Span(Field(4, "")), Span(Field(4, zeros.substr(0, 8)))}));
  EXPECT_EQ(Rejected(submission, RejectReason::kBadId), 6u);
  EXPECT_EQ(submission.items, 3u);
  EXPECT_EQ(submission.first_error,
            "resource_spans[0].scope_spans[0].spans[0]: trace_id is missing, zero or not 16 bytes");
  EXPECT_EQ(Decode(Signal::kTraces, Spans({Span(), Span(Field(4, "123"))})).first_error,
            "resource_spans[0].scope_spans[0].spans[1]: parent_span_id is neither empty nor 8 bytes");
  EXPECT_EQ(Decode(Signal::kTraces, Spans({Field(1, kTraceId)})).first_error,
            "resource_spans[0].scope_spans[0].spans[0]: span_id is missing, zero or not 8 bytes");
}

// Scenario: a string that is not UTF-8 in each string field of a span, at several lengths.
// Guarantees: it costs that span only, and the message names the field.
TEST_P(DecoderTest, BadTextCostsItsItem) {
  struct Place {
    std::string path;
    std::function<std::string(const std::string&)> make;
  };
  const Place places[] = {
      {"trace_state", [](const std::string& bad) { return Field(3, bad); }},
      {"name", [](const std::string& bad) { return Field(5, bad); }},
      {"attributes[0].key", [](const std::string& bad) { return Attribute(9, bad, StringValue("v")); }},
      {"attributes[1].value.string_value",
       [](const std::string& bad) { return Attribute(9, "k", "") + Attribute(9, "k", StringValue(bad)); }},
      {"attributes[0].value.array_value.values[0].string_value",
       [](const std::string& bad) { return Attribute(9, "k", Field(5, Field(1, StringValue(bad)))); }},
      {"attributes[0].value.kvlist_value.values[0].key",
       [](const std::string& bad) { return Attribute(9, "k", Field(6, Field(1, KeyValue(bad, "")))); }},
      {"events[0].name", [](const std::string& bad) { return Field(11, Field(2, bad)); }},
      {"events[0].attributes[0].key",
       [](const std::string& bad) { return Field(11, Attribute(3, bad, "")); }},
      {"links[0].trace_state", [](const std::string& bad) { return Field(13, Field(3, bad)); }},
      {"links[0].attributes[0].key", [](const std::string& bad) { return Field(13, Attribute(4, bad, "")); }},
      {"status.message", [](const std::string& bad) { return Field(15, Field(2, bad)); }},
  };
  for (const Place& place : places) {
    for (const size_t size : {0, 1, 14, 15, 16, 17, 30, 31, 32, 33, 63, 64, 65, 127, 128, 300}) {
      for (const std::string_view bad : {"\xff", "\xc3", "\xed\xa0\x80", "\xc0\x80", "\xf5\x80\x80\x80"}) {
        const std::string text = std::string(size, 'a') + std::string(bad) + std::string(size / 2, 'b');
        const Submission submission =
            Decode(Signal::kTraces, Spans({Span(), Span(place.make(text)), Span(place.make("fine é"))}));
        ASSERT_EQ(submission.items, 2u) << place.path << " " << size;
        ASSERT_EQ(Rejected(submission, RejectReason::kBadUtf8), 1u);
        ASSERT_EQ(submission.first_error,
                  "resource_spans[0].scope_spans[0].spans[1]." + place.path + ": not UTF-8");
      }
    }
  }
}

// Scenario: bad text in a resource, a scope and their schema URLs, before and after the items.
// Guarantees: all items below are rejected and leave nothing behind; other groups are not touched.
TEST_P(DecoderTest, BadTextOfAGroupCostsItsItems) {
  const std::string bad = "\xff";
  const std::string items = Field(2, Span()) + Field(2, Span());
  const std::string scope = Field(1, Field(1, bad));
  for (const auto& [request, path] : {
           std::pair{Home(items, Service(bad)),
                     "resource_spans[1].resource.attributes[0].value.string_value"},
           std::pair{Field(1, Field(2, items) + Service(bad)),
                     "resource_spans[1].resource.attributes[0].value.string_value"},
           std::pair{Home(items, Field(3, bad)), "resource_spans[1].schema_url"},
           std::pair{Home(items, Field(1, Field(3, Field(2, bad)))),
                     "resource_spans[1].resource.entity_refs[0].type"},
           std::pair{Home(scope + items), "resource_spans[1].scope_spans[0].scope.name"},
           std::pair{Home(items + scope), "resource_spans[1].scope_spans[0].scope.name"},
           std::pair{Home(items + Field(3, bad)), "resource_spans[1].scope_spans[0].schema_url"},
       }) {
    const Submission submission = Decode(Signal::kTraces, Spans({Span()}) + request + Spans({Span()}));
    EXPECT_EQ(Rejected(submission, RejectReason::kBadUtf8), 2u) << path;
    EXPECT_EQ(submission.items, 2u);
    EXPECT_EQ(submission.first_error, std::string(path) + ": not UTF-8");
    EXPECT_EQ(submission.batch->groups.size(), 2u);
    EXPECT_EQ(submission.batch->resources.size(), 2u);
  }
}

// Scenario: values nested up to protobuf's limit and one beyond, in attributes, events, log bodies and data
// points. Guarantees: the limit is exactly that of generated protobuf; beyond it the item is rejected, and
// the next one is not.
TEST_P(DecoderTest, BoundsNestingLikeProtobuf) {
  struct Place {
    Signal signal;
    int maps;  // as many as are accepted
    int lists;
    std::function<std::string(const std::string&)> item;
  };
  const Place places[] = {
      {Signal::kTraces, 31, 47, [](const std::string& value) { return Span(Attribute(9, "k", value)); }},
      {Signal::kTraces, 31, 47,
       [](const std::string& value) { return Span(Field(11, Attribute(3, "k", value))); }},
      {Signal::kLogs, 32, 48, [](const std::string& value) { return Field(5, value); }},
      {Signal::kLogs, 31, 47, [](const std::string& value) { return Attribute(6, "k", value); }},
      {Signal::kMetrics, 31, 46,
       [](const std::string& value) { return Field(5, Field(1, Attribute(7, "k", value))); }},
  };
  for (const Place& place : places) {
    for (const auto& [maps, lists] : {std::pair{place.maps, 0}, std::pair{0, place.lists}}) {
      const std::string good = Home(Field(2, place.item(Nested(maps, lists))));
      const std::string deep =
          Home(Field(2, place.item(Nested(maps + (maps != 0 ? 1 : 0), lists + (lists != 0 ? 1 : 0)))) +
               Field(2, place.item("")));
      Submission submission = Decode(place.signal, good);
      EXPECT_EQ(submission.items, 1u) << submission.first_error;
      submission = Decode(place.signal, deep);
      EXPECT_EQ(submission.items, 1u);
      EXPECT_EQ(submission.first_error.substr(submission.first_error.size() - 17), ": nested too deep");
      EXPECT_EQ(Rejected(submission, RejectReason::kTooDeep), 1u);
      if (place.signal == Signal::kTraces) {
        EXPECT_TRUE(oracle::ExportTraceServiceRequest().ParseFromString(good));
        EXPECT_FALSE(oracle::ExportTraceServiceRequest().ParseFromString(deep));
      } else if (place.signal == Signal::kLogs) {
        EXPECT_TRUE(oracle::ExportLogsServiceRequest().ParseFromString(good));
        EXPECT_FALSE(oracle::ExportLogsServiceRequest().ParseFromString(deep));
      } else {
        EXPECT_TRUE(oracle::ExportMetricsServiceRequest().ParseFromString(good));
        EXPECT_FALSE(oracle::ExportMetricsServiceRequest().ParseFromString(deep));
      }
    }
  }
  // In a resource: all its items. A million levels: no deep stack.
  const Submission deep =
      Decode(Signal::kTraces, Home(Field(2, Span()), Field(1, Attribute(1, "k", Nested(0, 60)))));
  EXPECT_EQ(Rejected(deep, RejectReason::kTooDeep), 1u);
  EXPECT_EQ(Rejected(Decode(Signal::kTraces, Spans({Span(std::string(1'000'000, '\x33'))})),
                     RejectReason::kTooDeep),
            1u);
}

// Scenario: fields no schema knows, known numbers with another wire type, and groups, on every level.
// Guarantees: skipped, kept in the bytes and in the ranges; groups are followed to depth 31.
TEST_P(DecoderTest, SkipsWhatItDoesNotKnow) {
  const std::string unknown = Message([](Writer& w) {
                                w.Varint(100, 1);
                                w.Fixed64(101, 2);
                                w.Fixed32(102, 3);
                                w.Bytes(103, "\xff");
                              }) +
                              "\xa3\x06\x08\x01\x13\x14\xa4\x06";  // Group 100 around a varint and group 2.
  const std::string mistyped =
      "\x0d"
      "abcd"
      "\x11"
      "abcdefgh"
      "\x28\x05";  // Fields 1, 2 and 5 as numbers.
  const std::string span = unknown + mistyped + Span(unknown);
  const Item item = One(Signal::kTraces,
                        unknown + Field(1, unknown + Field(2, unknown + Field(2, span) + unknown) + unknown));
  EXPECT_EQ(item.span, kSpan);
  EXPECT_EQ(last_.batch->ItemBytes(item.offset), span);
  EXPECT_EQ(last_.batch->resources[0].range_count, 2u);
  EXPECT_EQ(last_.batch->groups[0].range_count, 2u);

  const auto groups = [](int levels) {
    return std::string(static_cast<size_t>(levels), '\x33') +
           std::string(static_cast<size_t>(levels), '\x34');
  };
  EXPECT_EQ(Decode(Signal::kTraces, Spans({Span(groups(31))})).items, 1u);
  const Submission deep = Decode(Signal::kTraces, Spans({Span(groups(32)), Span()}));
  EXPECT_EQ(deep.items, 1u);
  EXPECT_EQ(Rejected(deep, RejectReason::kTooDeep), 1u);
  EXPECT_THAT(deep.first_error, HasSubstr("spans[0]: nested too deep"));
}

// Scenario: varints, tags and lengths written with more bytes than they need.
// Guarantees: taken up to protobuf's limits (5 for tags and lengths, 10 for values) and not beyond.
TEST_P(DecoderTest, TakesPaddedVarints) {
  const std::string tag("\xaa\x80\x80\x80\x00", 5);                            // Field 5, bytes.
  const std::string length("\x83\x80\x80\x80\x00", 5);                         // 3
  const std::string kind("\x30\x82\x80\x80\x80\x80\x80\x80\x80\x80\x00", 11);  // Field 6 = 2.
  const Item item = One(Signal::kTraces, Spans({Span(tag + length + "abc" + kind)}));
  EXPECT_EQ(item.series, ingest::SpanSeries(epoch_, "", "abc", 2, 0));
  const std::string in_span = "resource_spans[0].scope_spans[0].spans[0]";
  EXPECT_EQ(Refusal(Signal::kTraces, Spans({Span(std::string("\xaa\x80\x80\x80\x80\x00\x00", 7))})),
            in_span + ": a tag is longer than 5 bytes or cut off");
  EXPECT_EQ(Refusal(Signal::kTraces, Spans({Span(std::string("\x2a\x80\x80\x80\x80\x80\x00", 7))})),
            in_span + ".name: length is cut off or longer than 5 bytes");
  EXPECT_EQ(Refusal(Signal::kTraces, Spans({Span("\x30" + std::string(10, '\x80') + std::string(1, '\0'))})),
            in_span + ".kind: varint is cut off or longer than 10 bytes");
  EXPECT_EQ(Refusal(Signal::kTraces, Spans({Span("\xaa\x80\x80\x80\x10")})),
            in_span + ": a tag is longer than 5 bytes or cut off");
}

// Scenario: framing broken at each level.
// Guarantees: the request is refused, with the place and the reason.
TEST_P(DecoderTest, RefusesBrokenFraming) {
  const std::string in_span = "resource_spans[0].scope_spans[0].spans[0]";
  EXPECT_EQ(Refusal(Signal::kTraces, "\x0a\x05\x0a"), "resource_spans[0]: length runs past its message");
  EXPECT_EQ(Refusal(Signal::kTraces, Field(1, "\x12\x7f")),
            "resource_spans[0].scope_spans[0]: length runs past its message");
  EXPECT_EQ(Refusal(Signal::kTraces, Spans({Span(), Span(Attribute(9, "a", "") + "\x4a\x03"
                                                                                 "x")})),
            "resource_spans[0].scope_spans[0].spans[1].attributes[1]: length runs past its message");
  EXPECT_EQ(Refusal(Signal::kTraces, Spans({Span(Field(9,
                                                       "\x0a\x05"
                                                       "ab"))})),
            in_span + ".attributes[0].key: length runs past its message");
  EXPECT_EQ(Refusal(Signal::kTraces, Spans({Span("\x39"
                                                 "1234567")})),
            in_span + ".start_time_unix_nano: 8-byte number is cut off");
  EXPECT_EQ(Refusal(Signal::kTraces, Spans({Span(std::string("\x00\x00", 2))})),
            in_span + ": field number 0");
  EXPECT_EQ(Refusal(Signal::kTraces, Spans({Span("\x0e")})), in_span + ": wire type 6 does not exist");
  EXPECT_EQ(Refusal(Signal::kTraces, Spans({Span("\x0f")})), in_span + ": wire type 7 does not exist");
  EXPECT_EQ(Refusal(Signal::kTraces, Spans({Span("\x0c")})),
            in_span + ": end of a group that was not started");
  EXPECT_EQ(Refusal(Signal::kTraces, Spans({Span("\x33")})), in_span + ": a group has no end");
  EXPECT_EQ(Refusal(Signal::kTraces, Spans({Span("\x33\x3c")})),
            in_span + ": the end of a group does not match its start");
  EXPECT_EQ(Refusal(Signal::kTraces, "\x80"), "a tag is longer than 5 bytes or cut off");
  EXPECT_EQ(Refusal(Signal::kTraces, std::string(40, '\x33') + std::string(40, '\x34')), "nested too deep");
  EXPECT_EQ(Refusal(Signal::kMetrics, Home(Field(2, Field(9, Field(1, Field(6, "1234567")))))),
            "resource_metrics[0].scope_metrics[0].metrics[0].histogram.data_points[0].bucket_counts: a "
            "packed number is cut off");
}

// Scenario: a request cut off after each of its bytes.
// Guarantees: never a read beyond the end (under ASan), never success but at the seams between resources.
TEST_P(DecoderTest, SurvivesTruncation) {
  const std::string request = Home(Field(2, Span(Attribute(9, "key", StringValue("value")))), Service("a"));
  for (size_t size = 1; size < request.size(); ++size) {
    EXPECT_NE(Refusal(Signal::kTraces, request.substr(0, size)), "accepted") << size;
  }
}

// Scenario: user attributes whose keys are those that Braid appends, and near misses.
// Guarantees: flagged on spans for span stamps, on logs for log stamps, and not otherwise.
TEST_P(DecoderTest, FlagsStampCollisions) {
  const auto span = [&](std::string_view key) {
    return (One(Signal::kTraces, Spans({Span(Attribute(9, key, StringValue("1")))})).flags &
            item_flags::kStampCollision) != 0;
  };
  const auto log = [&](std::string_view key) {
    return (One(Signal::kLogs, Home(Field(2, Attribute(6, key, StringValue("1"))))).flags &
            item_flags::kStampCollision) != 0;
  };
  for (const std::string_view key : stamp::kSpanKeys) {
    EXPECT_TRUE(span(key)) << key;
    EXPECT_FALSE(log(key)) << key;
  }
  for (const std::string_view key : stamp::kLogKeys) {
    EXPECT_TRUE(log(key)) << key;
    EXPECT_FALSE(span(key)) << key;
  }
  EXPECT_FALSE(span("log.count.errors"));
  EXPECT_FALSE(span("log.count.erro"));
  EXPECT_FALSE(log("span.names"));
  EXPECT_FALSE(log("Span.name"));
  // Also in an attribute that the quick path does not take.
  EXPECT_NE(
      One(Signal::kTraces, Spans({Span(Attribute(9, "log.first_error", StringValue(std::string(500, 'x'))))}))
              .flags &
          item_flags::kStampCollision,
      0);
}

// Scenario: logs with good, missing and malformed context, times and severities.
// Guarantees: each becomes the Item that the model describes.
TEST_P(DecoderTest, WritesLogs) {
  const auto log = [&](const std::function<void(Writer&)>& fill) {
    return One(Signal::kLogs, Home(Field(2, Message(fill)), Service("a")));
  };
  Item item = log([](Writer& w) {
    w.Fixed64(1, 5);
    w.Varint(2, 13);
    w.Fixed32(8, 1);
    w.Bytes(9, kTraceId);
    w.Bytes(10, kSpanId);
    w.Fixed64(11, 6);
  });
  EXPECT_EQ(item.trace(), kTrace);
  EXPECT_EQ(item.span, kSpan);
  EXPECT_EQ(item.start_ns, 5u);
  EXPECT_EQ(item.flags, static_cast<uint16_t>(SeverityClass::kWarn));
  EXPECT_EQ(item.parent, 0u);
  EXPECT_EQ(last_.slices[ShardOf(epoch_, TraceHash(epoch_, 0, kTrace.lo))].get(), slice_);

  item = log([](Writer& w) { w.Fixed64(11, 6); });
  EXPECT_EQ(item.start_ns, 6u);
  EXPECT_FALSE(item.trace().valid());
  EXPECT_EQ(item.flags, 0u);
  EXPECT_EQ(last_.slices[ShardOf(epoch_, last_.batch->resources[0].key)].get(), slice_);

  item = log([](Writer& w) { w.Bytes(9, kTraceId); });
  EXPECT_EQ(item.trace(), kTrace);
  EXPECT_EQ(item.span, 0u);
  EXPECT_EQ(item.flags, 0u);

  for (const auto& [trace, span] : {std::pair<std::string, std::string>{"short", kSpanId},
                                    {std::string(16, '\0'), ""},
                                    {kTraceId, "abc"},
                                    {kTraceId, std::string(8, '\0')},
                                    {"", kSpanId}}) {
    item = log([&](Writer& w) {
      w.Bytes(9, trace);
      w.Bytes(10, span);
    });
    EXPECT_EQ(item.flags, item_flags::kBadId);
    EXPECT_FALSE(item.trace().valid());
    EXPECT_EQ(item.span, 0u);
  }

  EXPECT_EQ(log([](Writer& w) { w.Fixed32(8, 2); }).flags, item_flags::kUnsampled);
  EXPECT_EQ(log([](Writer& w) { w.Fixed32(8, 3); }).flags, 0u);
  EXPECT_EQ(log([](Writer& w) { w.Fixed32(8, 0); }).flags, 0u);
  EXPECT_EQ(log([](Writer& w) { w.Varint(2, 25); }).flags, 0u);
  EXPECT_EQ(log([](Writer& w) { w.Varint(2, 24); }).flags, static_cast<uint16_t>(SeverityClass::kFatal));
}

// Scenario: ERROR and FATAL logs with a text, an exception, both, neither, and very long ones.
// Guarantees: the note is the body, else exception.message, at most 256 bytes and whole characters; others
// have none.
TEST_P(DecoderTest, NotesErrors) {
  const auto note = [&](uint64_t severity, std::string_view more) {
    const Item item =
        One(Signal::kLogs,
            Home(Field(2, std::string(more) + Message([&](Writer& w) { w.Varint(2, severity); }))));
    if (item.parent == 0) return std::string("(none)");
    return std::string(last_.batch->bytes(slice_->notes[item.parent - 1]));
  };
  const std::string exception = Attribute(6, "exception.message", StringValue("boom"));
  EXPECT_EQ(note(17, Field(5, StringValue("failed")) + exception), "failed");
  EXPECT_EQ(note(21, exception), "boom");
  EXPECT_EQ(note(17, Field(5, StringValue("")) + exception), "boom");
  EXPECT_EQ(note(17, Field(5, "\x18\x05") + exception), "boom");
  EXPECT_EQ(note(17, Field(5, "\x18\x05")), "(none)");
  EXPECT_EQ(note(16, Field(5, StringValue("warn"))), "(none)");
  EXPECT_EQ(note(17, Field(5, StringValue(std::string(255, 'a') + "éx"))), std::string(255, 'a'));
  EXPECT_EQ(note(17, Field(5, StringValue(std::string(254, 'a') + "éx"))), std::string(254, 'a') + "é");
  EXPECT_EQ(note(17, Field(5, StringValue(std::string(256, 'a')))), std::string(256, 'a'));
}

// Scenario: error logs of a scope that turns out bad after them.
// Guarantees: their notes go with them; those of earlier scopes stay.
TEST_P(DecoderTest, TakesNotesBack) {
  const std::string error =
      Field(2, Message([](Writer& w) { w.Varint(2, 17); }) + Field(5, StringValue("e")));
  const Submission submission =
      Decode(Signal::kLogs,
             Field(1, Field(2, error) + Field(2, error + error + Field(3, "\xff")) + Field(2, error)));
  EXPECT_EQ(submission.items, 2u);
  EXPECT_EQ(Rejected(submission, RejectReason::kBadUtf8), 2u);
  for (const SlicePtr& slice : submission.slices) {
    if (slice == nullptr) continue;
    EXPECT_EQ(slice->notes.size(), 2u);
    EXPECT_EQ(slice->items[1].parent, 2u);
  }
}

// Scenario: metrics of each type, of two types at once, without points, and a bad one.
// Guarantees: a Metric counts as the points of the member that wins; it is accepted or rejected whole.
TEST_P(DecoderTest, CountsPoints) {
  const auto points = [](uint32_t member, int count) {
    std::string data;
    for (int i = 0; i < count; ++i) data += Field(1, "");
    return Field(member, data);
  };
  for (const uint32_t member : {5u, 7u, 9u, 10u, 11u}) {
    EXPECT_EQ(One(Signal::kMetrics, Home(Field(2, points(member, 3)))).span, 3u);
    EXPECT_EQ(last_.items, 3u);
  }
  EXPECT_EQ(One(Signal::kMetrics, Home(Field(2, points(5, 3) + points(7, 2)))).span, 2u);
  EXPECT_EQ(One(Signal::kMetrics, Home(Field(2, points(5, 3) + points(5, 2)))).span, 5u);
  EXPECT_EQ(One(Signal::kMetrics, Home(Field(2, points(5, 3) + points(7, 2) + points(5, 1)))).span, 1u);
  EXPECT_EQ(One(Signal::kMetrics, Home(Field(2, Field(1, "name")))).span, 0u);
  EXPECT_EQ(last_.items, 0u);

  const Submission bad = Decode(
      Signal::kMetrics,
      Home(Field(2, points(5, 3)) + Field(2, points(7, 4) + Field(1, "\xff")) + Field(2, points(9, 1))));
  EXPECT_EQ(bad.items, 4u);
  EXPECT_EQ(Rejected(bad, RejectReason::kBadUtf8), 4u);
  EXPECT_EQ(bad.first_error, "resource_metrics[0].scope_metrics[0].metrics[1].name: not UTF-8");
}

// Scenario: the same request twice, and requests that differ in one place.
// Guarantees: equal digests for equal requests of one tenant only; different ones for any difference.
TEST_P(DecoderTest, DigestsSlices) {
  const auto digest = [&](Signal signal, const std::string& request, uint32_t tenant = 0) {
    const Submission submission = Decode(signal, request, tenant);
    for (const SlicePtr& slice : submission.slices) {
      if (slice != nullptr) return slice->digest;
    }
    return SliceDigest{};
  };
  const std::string log = Home(Field(2, Field(5, StringValue("a"))), Service("s"));
  const SliceDigest once = digest(Signal::kLogs, log);
  EXPECT_EQ(once, digest(Signal::kLogs, log));
  EXPECT_NE(once, digest(Signal::kLogs, log, 1));
  EXPECT_NE(once, digest(Signal::kLogs, Home(Field(2, Field(5, StringValue("b"))), Service("s"))));
  EXPECT_NE(once, digest(Signal::kLogs, Home(Field(2, Field(5, StringValue("a"))), Service("t"))));
  EXPECT_NE(digest(Signal::kLogs, Home(Field(1, Field(1, "x")) + Field(2, ""))),
            digest(Signal::kLogs, Home(Field(1, Field(1, "y")) + Field(2, ""))));
  EXPECT_NE(digest(Signal::kTraces, Spans({Span()})), digest(Signal::kTraces, Spans({Span(Field(5, "x"))})));
}

// Scenario: more scopes than a Batch can address, some of them empty.
// Guarantees: 65,536 with items are accepted, further items are rejected by that reason, and the shares of
// shards agree.
TEST_P(DecoderTest, BoundsScopes) {
  std::string scopes;
  for (int i = 0; i < 65'536 + 3; ++i) {
    scopes += Field(
        2, Field(2, Field(1, kTraceId) +
                        Field(2, Message([&](Writer& w) { w.Fixed64(1, 0); }).substr(1, 4) +
                                     std::string(reinterpret_cast<const char*>(&i), 4).replace(3, 1, "x"))));
    if (i % 1000 == 0) scopes += Field(2, "");
  }
  const Submission submission = Decode(Signal::kTraces, Field(1, scopes));
  EXPECT_EQ(submission.items, 65'536u);
  EXPECT_EQ(submission.batch->groups.size(), 65'536u);
  EXPECT_EQ(Rejected(submission, RejectReason::kTooManyScopes), 3u);
  EXPECT_THAT(submission.first_error, HasSubstr(": more than 65536 scopes"));
  EXPECT_THAT(submission.first_error, HasSubstr("resource_spans[0].scope_spans["));
}

// Scenario: many traces over four shards, under two seeds and two tenants.
// Guarantees: every item is in the shard of its trace, in wire order; tenants and epochs are spread
// differently.
TEST_P(DecoderTest, RoutesByTrace) {
  std::string items;
  for (uint64_t i = 1; i <= 1'000; ++i) {
    char id[16] = {};
    StoreBigEndian64(i, id + 8);
    items += Field(2, Field(1, std::string(id, 16)) + Field(2, kSpanId));
  }
  const Epoch other{.number = 2, .shards = 3, .seed = 5};
  for (const Epoch& epoch : {epoch_, other}) {
    decoder_.SetEpoch(epoch);
    for (const uint32_t tenant : {0u, 9u}) {
      const Submission submission = Decode(Signal::kTraces, Home(items), tenant);
      ASSERT_EQ(submission.slices.size(), epoch.shards);
      for (uint32_t shard = 0; shard < epoch.shards; ++shard) {
        ASSERT_NE(submission.slices[shard], nullptr);
        uint32_t last = 0;
        for (const Item& item : submission.slices[shard]->items) {
          EXPECT_EQ(ShardOf(epoch, TraceHash(epoch, tenant, item.trace_lo)), shard);
          EXPECT_GT(item.offset, last);
          last = item.offset;
        }
        EXPECT_GT(submission.slices[shard]->items.size(), 200u);
      }
    }
  }
}

}  // namespace
}  // namespace braid::test
