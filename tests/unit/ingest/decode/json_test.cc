#include "ingest/decode/json.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>
#include <otlp.pb.h>

#include <cmath>
#include <random>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "ingest/decode/decoder.h"
#include "tests/support/otlp/samples.h"

namespace braid::test {
namespace {

namespace oracle = braid::oracle;
using testing::HasSubstr;
using testing::StartsWith;

class JsonTest : public testing::Test {
 protected:
  JsonTest() { google::protobuf::SetLogHandler(nullptr); }

  Result<Slab> Transcode(Signal signal, std::string_view json) {
    return transcoder_.Transcode(signal, ToSlab(slabs_, json), 100);
  }

  template <typename Request>
  Request Read(Signal signal, std::string_view json) {
    const Result<Slab> wire = Transcode(signal, json);
    EXPECT_TRUE(wire.ok()) << wire.status().ToString() << " in " << json;
    Request request;
    if (wire.ok()) {
      EXPECT_TRUE(request.ParseFromString(std::string(wire->view())));
    }
    return request;
  }

  // The one span of a request whose members are `members`.
  oracle::Span Span(std::string_view members) {
    const auto request = Read<oracle::ExportTraceServiceRequest>(Signal::kTraces, InSpan(members));
    return request.resource_spans_size() == 0 ? oracle::Span()
                                              : request.resource_spans(0).scope_spans(0).spans(0);
  }

  std::string SpanError(std::string_view members) { return Error(Signal::kTraces, InSpan(members)); }

  std::string Error(Signal signal, std::string_view json) {
    const Result<Slab> wire = Transcode(signal, json);
    if (wire.ok()) return "accepted";
    EXPECT_EQ(wire.status().code(), Code::kInvalidArgument);
    return wire.status().message();
  }

  static std::string InSpan(std::string_view members) {
    return R"({"resourceSpans":[{"scopeSpans":[{"spans":[{)" + std::string(members) + "}]}]}]}";
  }

  SlabPool slabs_{{.max_bytes = 64u << 20}};
  ingest::JsonTranscoder transcoder_{slabs_};
};

constexpr std::string_view kSpanPath = "resourceSpans[0].scopeSpans[0].spans[0]";

// Scenario: the example of the OTLP specification, with IDs in hex, nanoseconds as strings and enums as
// numbers. Guarantees: every value arrives.
TEST_F(JsonTest, ReadsSpans) {
  const auto request = Read<oracle::ExportTraceServiceRequest>(Signal::kTraces, R"({
    "resourceSpans": [{
      "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "my.service"}}]},
      "scopeSpans": [{
        "scope": {"name": "my.library", "version": "1.0.0"},
        "spans": [{
          "traceId": "5B8EFFF798038103D269B633813FC60C",
          "spanId": "eee19b7ec3c1b174",
          "parentSpanId": "EEE19B7EC3C1B173",
          "name": "I'm a server span",
          "startTimeUnixNano": "1544712660000000000",
          "endTimeUnixNano": 1544712661000000000,
          "kind": 2,
          "flags": 257,
          "attributes": [{"key": "my.span.attr", "value": {"intValue": "-5"}}],
          "status": {"code": "STATUS_CODE_ERROR", "message": "no"}
        }]
      }]
    }]
  })");
  ASSERT_EQ(request.resource_spans_size(), 1);
  const auto& home = request.resource_spans(0);
  EXPECT_EQ(home.resource().attributes(0).value().string_value(), "my.service");
  EXPECT_EQ(home.scope_spans(0).scope().version(), "1.0.0");
  const oracle::Span& span = home.scope_spans(0).spans(0);
  EXPECT_EQ(span.trace_id(), "\x5b\x8e\xff\xf7\x98\x03\x81\x03\xd2\x69\xb6\x33\x81\x3f\xc6\x0c");
  EXPECT_EQ(span.span_id(), "\xee\xe1\x9b\x7e\xc3\xc1\xb1\x74");
  EXPECT_EQ(span.parent_span_id(), "\xee\xe1\x9b\x7e\xc3\xc1\xb1\x73");
  EXPECT_EQ(span.name(), "I'm a server span");
  EXPECT_EQ(span.start_time_unix_nano(), 1544712660000000000u);
  EXPECT_EQ(span.end_time_unix_nano(), 1544712661000000000u);
  EXPECT_EQ(span.kind(), oracle::Span::SPAN_KIND_SERVER);
  EXPECT_EQ(span.flags(), 257u);
  EXPECT_EQ(span.attributes(0).value().int_value(), -5);
  EXPECT_EQ(span.status().code(), oracle::Status::STATUS_CODE_ERROR);
}

// Scenario: numbers in every notation that protobuf's JSON knows.
// Guarantees: they mean the same; what does not fit, or is no integer, is refused in its place.
TEST_F(JsonTest, ReadsNumbers) {
  EXPECT_EQ(Span(R"("startTimeUnixNano":18446744073709551615)").start_time_unix_nano(), UINT64_MAX);
  EXPECT_EQ(Span(R"("startTimeUnixNano":"18446744073709551615")").start_time_unix_nano(), UINT64_MAX);
  EXPECT_EQ(Span(R"("startTimeUnixNano":1.0)").start_time_unix_nano(), 1u);
  EXPECT_EQ(Span(R"("startTimeUnixNano":1e3)").start_time_unix_nano(), 1000u);
  EXPECT_EQ(Span(R"("droppedLinksCount":4294967295)").dropped_links_count(), 4294967295u);
  EXPECT_EQ(Span(R"("kind":-1)").kind(), -1);
  const auto value = [&](std::string_view member) {
    return Span(R"("attributes":[{"key":"k","value":{)" + std::string(member) + "}}]").attributes(0).value();
  };
  EXPECT_EQ(value(R"("intValue":"-9223372036854775808")").int_value(), INT64_MIN);
  EXPECT_EQ(value(R"("doubleValue":0.1)").double_value(), 0.1);
  EXPECT_EQ(value(R"("doubleValue":3)").double_value(), 3);
  EXPECT_EQ(value(R"("doubleValue":"2.5")").double_value(), 2.5);
  EXPECT_TRUE(std::isnan(value(R"("doubleValue":"NaN")").double_value()));
  EXPECT_EQ(value(R"("doubleValue":"-Infinity")").double_value(), -INFINITY);
  EXPECT_EQ(value(R"("doubleValue":"Infinity")").double_value(), INFINITY);
  EXPECT_TRUE(value(R"("stringValue":"")").has_string_value());
  EXPECT_TRUE(value(R"("boolValue":false)").has_bool_value());

  const std::string path(kSpanPath);
  EXPECT_EQ(SpanError(R"("startTimeUnixNano":18446744073709551616)"),
            path + ".startTimeUnixNano: out of range");
  EXPECT_EQ(SpanError(R"("startTimeUnixNano":-1)"), path + ".startTimeUnixNano: out of range");
  EXPECT_EQ(SpanError(R"("startTimeUnixNano":1.5)"), path + ".startTimeUnixNano: an integer is expected");
  EXPECT_EQ(SpanError(R"("startTimeUnixNano":"soon")"), path + ".startTimeUnixNano: a number is expected");
  EXPECT_EQ(SpanError(R"("startTimeUnixNano":"")"), path + ".startTimeUnixNano: a number is expected");
  EXPECT_EQ(SpanError(R"("startTimeUnixNano":true)"), path + ".startTimeUnixNano: a number is expected");
  EXPECT_EQ(SpanError(R"("flags":4294967296)"), path + ".flags: out of range");
  EXPECT_EQ(SpanError(R"("kind":"SPAN_KIND_TEAPOT")"), path + ".kind: not a value of this enum");
  EXPECT_EQ(SpanError(R"("attributes":[{},{"value":{"doubleValue":"inf"}}])"),
            path + ".attributes[1].value.doubleValue: a number is expected");
  EXPECT_THAT(SpanError(R"("kind":012)"), StartsWith(path));
  EXPECT_THAT(SpanError(R"("kind":1.)"), StartsWith(path));
  EXPECT_THAT(SpanError(R"("kind":12abc)"), StartsWith(path));
}

// Scenario: bytes in their two notations.
// Guarantees: IDs are hex, other bytes base64 of either alphabet with or without padding; anything else is
// located.
TEST_F(JsonTest, ReadsBytes) {
  const auto bytes = [&](std::string_view text) {
    return Span(R"("attributes":[{"value":{"bytesValue":")" + std::string(text) + "\"}}]")
        .attributes(0)
        .value()
        .bytes_value();
  };
  EXPECT_EQ(bytes("aGVsbG8="), "hello");
  EXPECT_EQ(bytes("aGVsbG8"), "hello");
  EXPECT_EQ(bytes("_-8="), "\xff\xef");
  EXPECT_EQ(bytes("/+8="), "\xff\xef");
  EXPECT_EQ(bytes(""), "");
  EXPECT_EQ(SpanError(R"("attributes":[{"value":{"bytesValue":"a"}}])"),
            std::string(kSpanPath) + ".attributes[0].value.bytesValue: not base64");
  EXPECT_EQ(SpanError(R"("attributes":[{"value":{"bytesValue":"a*bc"}}])"),
            std::string(kSpanPath) + ".attributes[0].value.bytesValue: not base64");
  EXPECT_EQ(SpanError(R"("traceId":"xyz0")"), std::string(kSpanPath) + ".traceId: not hex");
  EXPECT_EQ(SpanError(R"("traceId":"abc")"), std::string(kSpanPath) + ".traceId: not hex");
  EXPECT_EQ(SpanError(R"("traceId":5)"), std::string(kSpanPath) + ".traceId: a string is expected");
  EXPECT_EQ(Span(R"("parentSpanId":"")").parent_span_id(), "");
}

// Scenario: strings with escapes, long ones, and ones at every alignment.
// Guarantees: they arrive exactly; bad escapes, lone surrogates, control characters and bad UTF-8 are
// refused.
TEST_F(JsonTest, ReadsStrings) {
  EXPECT_EQ(Span(R"("name":"a\"\\\/\b\f\n\r\té数\ud83d\ude80z")").name(), "a\"\\/\b\f\n\r\té数🚀z");
  EXPECT_EQ(Span(R"("name":"\u0000")").name(), std::string(1, '\0'));
  for (size_t size = 0; size < 200; ++size) {
    const std::string name(size, 'x');
    EXPECT_EQ(Span(R"("name":")" + name + "\"").name(), name);
    EXPECT_EQ(Span(R"("name":")" + name + "\\n" + name + "\"").name(), name + "\n" + name);
  }
  const std::string large(300'000, 'y');
  EXPECT_EQ(Span(R"("name":")" + large + "\"").name(), large);

  EXPECT_THAT(SpanError(R"("name":"\x")"), HasSubstr("bad escape"));
  EXPECT_THAT(SpanError(R"("name":"\u12g4")"), HasSubstr("bad escape"));
  EXPECT_THAT(SpanError(R"("name":"\ud83d")"), HasSubstr("bad escape"));
  EXPECT_THAT(SpanError(R"("name":"\ude80")"), HasSubstr("bad escape"));
  EXPECT_THAT(SpanError(R"("name":"\ud83dA")"), HasSubstr("bad escape"));
  EXPECT_THAT(SpanError("\"name\":\"a\nb\""), HasSubstr("not JSON"));
  EXPECT_THAT(SpanError("\"name\":\"\xc3\""), HasSubstr("not JSON"));
  EXPECT_EQ(SpanError(R"("name":5)"), std::string(kSpanPath) + ".name: a string is expected");
}

// Scenario: names as a Collector would take them, null, what is not known, and what occurs twice.
// Guarantees: snake_case works, null is absent, unknown members are ignored, and doubled ones mean what they
// would on the wire.
TEST_F(JsonTest, TakesNamesAsTheyCome) {
  const oracle::Span snake =
      Span(R"("trace_id":"5b8efff798038103d269b633813fc60c","start_time_unix_nano":7)");
  EXPECT_EQ(snake.trace_id().size(), 16u);
  EXPECT_EQ(snake.start_time_unix_nano(), 7u);
  EXPECT_EQ(Span(R"("n\u0061me":"escaped")").name(), "escaped");
  EXPECT_EQ(Span(R"("name":null,"attributes":null,"status":null,"kind":null)").ByteSizeLong(), 0u);
  EXPECT_EQ(Span(R"("future":{"a":[1,2.5e3,"x\n",{"b":null}],"c":true},"name":"n")").name(), "n");
  const oracle::Span doubled = Span(
      R"("name":"a","name":"b","attributes":[{"key":"1"}],"attributes":[{"key":"2"}],
         "status":{"code":2},"status":{"message":"m"})");
  EXPECT_EQ(doubled.name(), "b");
  EXPECT_EQ(doubled.attributes_size(), 2);
  EXPECT_EQ(doubled.status().code(), oracle::Status::STATUS_CODE_ERROR);
  EXPECT_EQ(doubled.status().message(), "m");
}

// Scenario: metrics of every kind, with exemplars, as SDKs write them.
// Guarantees: all arrive; an absent optional stays absent.
TEST_F(JsonTest, ReadsMetrics) {
  const auto request = Read<oracle::ExportMetricsServiceRequest>(
      Signal::kMetrics, R"({"resourceMetrics":[{"scopeMetrics":[{"metrics":[
    {"name":"g","gauge":{"dataPoints":[{"asDouble":0.5,"timeUnixNano":"3"}]}},
    {"name":"s","unit":"1","sum":{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{"asInt":"-4","exemplars":[
       {"timeUnixNano":"5","asInt":6,"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174",
        "filteredAttributes":[{"key":"k","value":{"boolValue":true}}]}]}]}},
    {"name":"h","histogram":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA","dataPoints":[
       {"count":"3","sum":0,"bucketCounts":["1",2,"0"],"explicitBounds":[10,"20.5"],"min":1}]}},
    {"name":"e","exponentialHistogram":{"dataPoints":[{"scale":-2,"zeroCount":"1","positive":{"offset":-7,"bucketCounts":[1,"300"]},
       "zeroThreshold":0.001}]}},
    {"name":"q","summary":{"dataPoints":[{"quantileValues":[{"quantile":0.5,"value":2}]}]}}
  ]}]}]})");
  const auto& metrics = request.resource_metrics(0).scope_metrics(0).metrics();
  ASSERT_EQ(metrics.size(), 5);
  EXPECT_EQ(metrics[0].gauge().data_points(0).as_double(), 0.5);
  EXPECT_TRUE(metrics[1].sum().is_monotonic());
  EXPECT_EQ(metrics[1].sum().data_points(0).as_int(), -4);
  EXPECT_EQ(metrics[1].sum().data_points(0).exemplars(0).as_int(), 6);
  EXPECT_EQ(metrics[1].sum().data_points(0).exemplars(0).trace_id().size(), 16u);
  const auto& histogram = metrics[2].histogram().data_points(0);
  EXPECT_THAT(histogram.bucket_counts(), testing::ElementsAre(1, 2, 0));
  EXPECT_THAT(histogram.explicit_bounds(), testing::ElementsAre(10, 20.5));
  EXPECT_TRUE(histogram.has_sum());
  EXPECT_TRUE(histogram.has_min());
  EXPECT_FALSE(histogram.has_max());
  const auto& exponential = metrics[3].exponential_histogram().data_points(0);
  EXPECT_EQ(exponential.scale(), -2);
  EXPECT_EQ(exponential.positive().offset(), -7);
  EXPECT_THAT(exponential.positive().bucket_counts(), testing::ElementsAre(1, 300));
  EXPECT_EQ(metrics[4].summary().data_points(0).quantile_values(0).quantile(), 0.5);
}

// Scenario: what is not JSON, or not of the expected shape, also inside of values that are ignored.
// Guarantees: refused with a place.
TEST_F(JsonTest, RefusesWhatIsNotJson) {
  for (const std::string_view json : {"",
                                      " ",
                                      "{",
                                      "}",
                                      "[]",
                                      "1",
                                      "null",
                                      "\"x\"",
                                      "{}}",
                                      "{},",
                                      "{} x",
                                      "{\"resourceSpans\":[}",
                                      "{\"resourceSpans\":[{]}",
                                      "{\"resourceSpans\":[{},]}",
                                      "{\"resourceSpans\":[{}{}]}",
                                      "{\"resourceSpans\" [{}]}",
                                      "{\"resourceSpans\":[{}]",
                                      "{\"resourceSpans\":{}}",
                                      "{\"resourceSpans\":[1]}",
                                      "{\"resourceSpans\":[null]}",
                                      "{\"a\":12abc}",
                                      "{\"a\":[1,2}}",
                                      "{\"a\":nul}",
                                      "{\"a\":nulll}",
                                      "{\"a\":tru}",
                                      "{\"a\":\"\\q\"}",
                                      "{\"\\q\":1}",
                                      "{\"a\":-}",
                                      "{\"a\":01}",
                                      "{'a':1}",
                                      "{a:1}",
                                      "{\"a\":1,}",
                                      "{\"a\"}",
                                      "{\"a\":}",
                                      "{\"a\":1 \"b\":2}",
                                      "{\"resourceSpans\":nul}",
                                      "\xff",
                                      "{\"a\":\"\xff\"}"}) {
    EXPECT_NE(Error(Signal::kTraces, json), "accepted") << json;
  }
  EXPECT_EQ(Error(Signal::kTraces, R"({"resourceSpans":[{},{"scopeSpans":[{"spans":{}}]}]})"),
            "resourceSpans[1].scopeSpans[0].spans: a list is expected");
  EXPECT_EQ(Error(Signal::kTraces, R"({"resourceSpans":[{"resource":[]}]})"),
            "resourceSpans[0].resource: an object is expected");
  EXPECT_TRUE(Transcode(Signal::kTraces, "{}").ok());
  EXPECT_TRUE(Transcode(Signal::kTraces, " {\"resourceSpans\":[]} \n").ok());
}

// Scenario: values nested as deep as wire bytes may be, and deeper; also where they are ignored.
// Guarantees: the limit is that of the wire; beyond it an error, not a deep stack.
TEST_F(JsonTest, BoundsNesting) {
  const auto nested = [&](int lists) {
    std::string text = R"("attributes":[{"key":"k","value":)";
    for (int i = 0; i < lists; ++i) text += R"({"arrayValue":{"values":[)";
    text += "{}";
    for (int i = 0; i < lists; ++i) text += "]}}";
    return text + "}]";
  };
  EXPECT_EQ(SpanError(nested(47)), "accepted");
  EXPECT_THAT(SpanError(nested(48)), HasSubstr("nested too deep"));
  const auto ignored = [](size_t lists) {
    return "\"x\":" + std::string(lists, '[') + std::string(lists, ']');
  };
  EXPECT_EQ(SpanError(ignored(90)), "accepted");
  EXPECT_THAT(SpanError(ignored(100'000)), HasSubstr("nested too deep"));
}

// Scenario: JSON of 300 kB with the pool nearly empty.
// Guarantees: "try again", and the memory comes back.
TEST_F(JsonTest, SaysWhenMemoryIsShort) {
  SlabPool small({.max_bytes = 64u << 10});
  ingest::JsonTranscoder transcoder(small);
  const std::string json = InSpan("\"name\":\"" + std::string(300'000, 'x') + "\"");
  const Result<Slab> wire = transcoder.Transcode(Signal::kTraces, ToSlab(slabs_, json), 100);
  ASSERT_FALSE(wire.ok());
  EXPECT_EQ(wire.status().code(), Code::kUnavailable);
  EXPECT_EQ(small.used_bytes(), 0u);
}

// Scenario: two documents of 8 MiB with 24 MiB in the pool: one long string, and one of nothing but commas.
// Guarantees: the first is taken; the second, whose index alone would take 32 MiB, is told to try again.
TEST_F(JsonTest, CountsTheIndexOfLargeDocuments) {
  SlabPool pool({.max_bytes = 24u << 20});
  ingest::JsonTranscoder transcoder(pool);
  const std::string text = InSpan("\"name\":\"" + std::string(8u << 20, 'x') + "\"");
  EXPECT_TRUE(transcoder.Transcode(Signal::kTraces, ToSlab(slabs_, text), 100).ok());
  std::string commas = "\"x\":[0";
  for (int i = 0; i < 4 << 20; ++i) commas += ",0";
  const Result<Slab> hostile =
      transcoder.Transcode(Signal::kTraces, ToSlab(slabs_, InSpan(commas + "]")), 100);
  ASSERT_FALSE(hostile.ok());
  EXPECT_EQ(hostile.status().code(), Code::kUnavailable);
  EXPECT_EQ(pool.used_bytes(), 0u);
}

// protobuf prints bytes in base64; OTLP wants IDs in hex.
std::string WithHexIds(const std::string& json) {
  std::string out;
  size_t at = 0;
  const auto digit = [](char c) -> uint32_t {
    if (c >= 'A' && c <= 'Z') return static_cast<uint32_t>(c - 'A');
    if (c >= 'a' && c <= 'z') return static_cast<uint32_t>(c - 'a' + 26);
    if (c >= '0' && c <= '9') return static_cast<uint32_t>(c - '0' + 52);
    return c == '+' ? 62 : 63;
  };
  for (;;) {
    size_t begin = std::string::npos;
    for (const std::string_view key : {"\"traceId\":\"", "\"spanId\":\"", "\"parentSpanId\":\""}) {
      const size_t found = json.find(key, at);
      if (found != std::string::npos) begin = std::min(begin, found + key.size());
    }
    if (begin == std::string::npos) return out + json.substr(at);
    out += json.substr(at, begin - at);
    const size_t end = json.find('"', begin);
    uint32_t bits = 0;
    int count = 0;
    for (size_t i = begin; i < end && json[i] != '='; ++i) {
      bits = bits << 6 | digit(json[i]);
      count += 6;
      if (count >= 8) {
        count -= 8;
        constexpr char kDigits[] = "0123456789abcdef";
        out += kDigits[bits >> count >> 4 & 15];
        out += kDigits[bits >> count & 15];
      }
    }
    at = end;
  }
}

template <typename Request>
void RoundTrip(ingest::JsonTranscoder& transcoder, SlabPool& slabs, Signal signal) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 1'000; ++i) {
    Request request;
    ASSERT_TRUE(request.ParseFromString(RandomRequest(signal, random)));
    std::string json;
    google::protobuf::util::JsonPrintOptions options;
    options.always_print_enums_as_ints = i % 2 == 0;
    options.preserve_proto_field_names = false;
    ASSERT_TRUE(google::protobuf::util::MessageToJsonString(request, &json, options).ok());
    json = WithHexIds(json);
    const Result<Slab> wire = transcoder.Transcode(signal, ToSlab(slabs, json), 100);
    ASSERT_TRUE(wire.ok()) << wire.status().ToString() << " in " << json;
    Request back;
    ASSERT_TRUE(back.ParseFromString(std::string(wire->view())));
    EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(request, back)) << json;
  }
}

// Scenario: random requests, printed by protobuf's own JSON printer.
// Guarantees: what the transcoder makes of them parses back to the same message.
TEST_F(JsonTest, UndoesProtobufsPrinter) {
  RoundTrip<oracle::ExportTraceServiceRequest>(transcoder_, slabs_, Signal::kTraces);
  RoundTrip<oracle::ExportLogsServiceRequest>(transcoder_, slabs_, Signal::kLogs);
  RoundTrip<oracle::ExportMetricsServiceRequest>(transcoder_, slabs_, Signal::kMetrics);
}

// Scenario: the same, damaged. IDs are left out, because protobuf reads them as base64.
// Guarantees: what the transcoder accepts, protobuf's JSON parser accepts too and reads the same way. (The
// reverse does not hold: protobuf 3.21 also takes single quotes, bare keys and more.)
TEST_F(JsonTest, AcceptsNoMoreThanProtobuf) {
  std::mt19937_64 random(4);
  int accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    oracle::ExportMetricsServiceRequest request;
    ASSERT_TRUE(request.ParseFromString(RandomRequest(Signal::kMetrics, random)));
    std::string json;
    ASSERT_TRUE(google::protobuf::util::MessageToJsonString(request, &json).ok());
    if (json.find("raceId") != std::string::npos || json.find("panId") != std::string::npos) continue;
    for (size_t edits = random() % 3; edits > 0; --edits) {
      static constexpr std::string_view kPieces[] = {"\"", ",", "}",    "]",  "{", "[", "1", "-",
                                                     ".",  "e", "null", "\\", ":", " ", "x"};
      const size_t at = random() % (json.size() + 1);
      switch (random() % 3) {
        case 0: json.insert(at, kPieces[random() % std::size(kPieces)]); break;
        case 1: json.erase(at, 1); break;
        default:
          if (at < json.size()) json[at] = kPieces[random() % std::size(kPieces)][0];
      }
    }
    const Result<Slab> wire = Transcode(Signal::kMetrics, json);
    if (!wire.ok()) continue;
    ++accepted;
    oracle::ExportMetricsServiceRequest back;
    ASSERT_TRUE(back.ParseFromString(std::string(wire->view())));
    google::protobuf::util::JsonParseOptions options;
    options.ignore_unknown_fields = true;
    oracle::ExportMetricsServiceRequest other;
    const auto status = google::protobuf::util::JsonStringToMessage(json, &other, options);
    ASSERT_TRUE(status.ok()) << status.ToString() << " in " << json;
    google::protobuf::util::MessageDifferencer differencer;
    ASSERT_TRUE(differencer.Compare(other, back)) << json << "\n"
                                                  << other.DebugString() << "\n"
                                                  << back.DebugString();
  }
  EXPECT_GT(accepted, 3'000);
}

}  // namespace
}  // namespace braid::test
