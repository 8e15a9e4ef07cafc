#include "exporters/encode/json.h"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <ctime>
#include <span>

#include "base/ids.h"
#include "base/wire.h"
#include "exporters/encode/otlp.h"

namespace braid::exporters {
namespace {

// Decode admits 31 levels of AnyValue; this only bounds recursion on bytes that did not come through it.
constexpr int kMaxDepth = 100;

template <typename Integer>
void AppendInteger(Integer value, std::string* out) {
  std::array<char, 24> buffer;
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  out->append(buffer.data(), end);
}

void AppendHex(std::string_view bytes, std::string* out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const char c : bytes) {
    out->push_back(kDigits[static_cast<uint8_t>(c) >> 4]);
    out->push_back(kDigits[static_cast<uint8_t>(c) & 15]);
  }
}

// The last of AnyValue's members, which is the one that counts.
bool LastMember(std::string_view any_value, wire::Field* last) {
  bool found = false;
  for (wire::Cursor c(any_value); c.Next();) {
    if (c.field().number < 1 || c.field().number > 7) continue;
    *last = c.field();
    found = true;
  }
  return found;
}

void AppendKeyValues(std::string_view message, uint32_t field, std::string* out, int depth);

void AppendAny(std::string_view any_value, std::string* out, int depth) {
  wire::Field field;
  if (depth > kMaxDepth || !LastMember(any_value, &field)) {
    *out += "null";
    return;
  }
  switch (field.number) {
    case 1: AppendJsonString(field.bytes, out); break;
    case 2: *out += field.scalar != 0 ? "true" : "false"; break;
    case 3: AppendInteger(static_cast<int64_t>(field.scalar), out); break;
    case 4: AppendJsonDouble(std::bit_cast<double>(field.scalar), out); break;
    case 5: {
      out->push_back('[');
      bool first = true;
      for (wire::Cursor c(field.bytes); c.Next();) {
        if (c.field().number != 1) continue;
        if (!first) out->push_back(',');
        first = false;
        AppendAny(c.field().bytes, out, depth + 1);
      }
      out->push_back(']');
      break;
    }
    case 6: AppendKeyValues(field.bytes, 1, out, depth + 1); break;
    case 7:
      out->push_back('"');
      AppendBase64(field.bytes, out);
      out->push_back('"');
      break;
    default: *out += "null"; break;
  }
}

// KeyValues of `field` in `message` as an object.
void AppendKeyValues(std::string_view message, uint32_t field, std::string* out, int depth) {
  out->push_back('{');
  bool first = true;
  for (wire::Cursor c(message); c.Next();) {
    if (c.field().number != field || c.field().type != wire::Type::kBytes) continue;
    std::string_view key;
    std::string value;  // a message that occurs twice is merged, and appending merges
    for (wire::Cursor pair(c.field().bytes); pair.Next();) {
      if (pair.field().number == 1) key = pair.field().bytes;
      if (pair.field().number == 2) value += pair.field().bytes;
    }
    if (!first) out->push_back(',');
    first = false;
    AppendJsonString(key, out);
    out->push_back(':');
    AppendAny(value, out, depth);
  }
  out->push_back('}');
}

// --- OTLP JSON, by tables (opentelemetry-proto at 1.x: common, resource, trace, logs, metrics). ---

enum class Kind : uint8_t {
  kString,
  kHex,
  kBase64,
  kBool,
  kUint32,
  kInt32,
  kSint32,
  kUint64,
  kInt64,
  kFixed32,
  kFixed64,
  kSfixed64,
  kDouble,
  kMessage,
};

struct MessageInfo;

struct FieldInfo {
  uint32_t number;
  const char* name;
  Kind kind;
  bool repeated = false;
  const MessageInfo* message = nullptr;
  bool oneof = false;  // of several such fields of a message, the last on the wire counts
};

struct MessageInfo {
  std::span<const FieldInfo> fields;
};

extern const MessageInfo kAnyValue;
extern const MessageInfo kKeyValue;

constexpr bool kRepeated = true;
constexpr bool kOneof = true;

constexpr FieldInfo kArrayFields[] = {{1, "values", Kind::kMessage, kRepeated, &kAnyValue}};
constexpr MessageInfo kArray = {kArrayFields};
constexpr FieldInfo kKeyValueListFields[] = {{1, "values", Kind::kMessage, kRepeated, &kKeyValue}};
constexpr MessageInfo kKeyValueList = {kKeyValueListFields};
constexpr FieldInfo kAnyValueFields[] = {{1, "stringValue", Kind::kString, false, nullptr, kOneof},
                                         {2, "boolValue", Kind::kBool, false, nullptr, kOneof},
                                         {3, "intValue", Kind::kInt64, false, nullptr, kOneof},
                                         {4, "doubleValue", Kind::kDouble, false, nullptr, kOneof},
                                         {5, "arrayValue", Kind::kMessage, false, &kArray, kOneof},
                                         {6, "kvlistValue", Kind::kMessage, false, &kKeyValueList, kOneof},
                                         {7, "bytesValue", Kind::kBase64, false, nullptr, kOneof}};
constexpr MessageInfo kAnyValue = {kAnyValueFields};
constexpr FieldInfo kKeyValueFields[] = {{1, "key", Kind::kString},
                                         {2, "value", Kind::kMessage, false, &kAnyValue}};
constexpr MessageInfo kKeyValue = {kKeyValueFields};

constexpr FieldInfo kEntityRefFields[] = {{1, "schemaUrl", Kind::kString},
                                          {2, "type", Kind::kString},
                                          {3, "idKeys", Kind::kString, kRepeated},
                                          {4, "descriptionKeys", Kind::kString, kRepeated}};
constexpr MessageInfo kEntityRef = {kEntityRefFields};
constexpr FieldInfo kResourceFields[] = {{1, "attributes", Kind::kMessage, kRepeated, &kKeyValue},
                                         {2, "droppedAttributesCount", Kind::kUint32},
                                         {3, "entityRefs", Kind::kMessage, kRepeated, &kEntityRef}};
constexpr MessageInfo kResource = {kResourceFields};
constexpr FieldInfo kScopeFields[] = {{1, "name", Kind::kString},
                                      {2, "version", Kind::kString},
                                      {3, "attributes", Kind::kMessage, kRepeated, &kKeyValue},
                                      {4, "droppedAttributesCount", Kind::kUint32}};
constexpr MessageInfo kScope = {kScopeFields};

constexpr FieldInfo kEventFields[] = {{1, "timeUnixNano", Kind::kFixed64},
                                      {2, "name", Kind::kString},
                                      {3, "attributes", Kind::kMessage, kRepeated, &kKeyValue},
                                      {4, "droppedAttributesCount", Kind::kUint32}};
constexpr MessageInfo kEvent = {kEventFields};
constexpr FieldInfo kLinkFields[] = {{1, "traceId", Kind::kHex},
                                     {2, "spanId", Kind::kHex},
                                     {3, "traceState", Kind::kString},
                                     {4, "attributes", Kind::kMessage, kRepeated, &kKeyValue},
                                     {5, "droppedAttributesCount", Kind::kUint32},
                                     {6, "flags", Kind::kFixed32}};
constexpr MessageInfo kLink = {kLinkFields};
constexpr FieldInfo kStatusFields[] = {{2, "message", Kind::kString}, {3, "code", Kind::kInt32}};
constexpr MessageInfo kStatus = {kStatusFields};
constexpr FieldInfo kSpanFields[] = {{1, "traceId", Kind::kHex},
                                     {2, "spanId", Kind::kHex},
                                     {3, "traceState", Kind::kString},
                                     {4, "parentSpanId", Kind::kHex},
                                     {16, "flags", Kind::kFixed32},
                                     {5, "name", Kind::kString},
                                     {6, "kind", Kind::kInt32},
                                     {7, "startTimeUnixNano", Kind::kFixed64},
                                     {8, "endTimeUnixNano", Kind::kFixed64},
                                     {9, "attributes", Kind::kMessage, kRepeated, &kKeyValue},
                                     {10, "droppedAttributesCount", Kind::kUint32},
                                     {11, "events", Kind::kMessage, kRepeated, &kEvent},
                                     {12, "droppedEventsCount", Kind::kUint32},
                                     {13, "links", Kind::kMessage, kRepeated, &kLink},
                                     {14, "droppedLinksCount", Kind::kUint32},
                                     {15, "status", Kind::kMessage, false, &kStatus}};
constexpr MessageInfo kSpan = {kSpanFields};
constexpr FieldInfo kLogRecordFields[] = {{1, "timeUnixNano", Kind::kFixed64},
                                          {11, "observedTimeUnixNano", Kind::kFixed64},
                                          {2, "severityNumber", Kind::kInt32},
                                          {3, "severityText", Kind::kString},
                                          {12, "eventName", Kind::kString},
                                          {5, "body", Kind::kMessage, false, &kAnyValue},
                                          {6, "attributes", Kind::kMessage, kRepeated, &kKeyValue},
                                          {7, "droppedAttributesCount", Kind::kUint32},
                                          {8, "flags", Kind::kFixed32},
                                          {9, "traceId", Kind::kHex},
                                          {10, "spanId", Kind::kHex}};
constexpr MessageInfo kLogRecord = {kLogRecordFields};

constexpr FieldInfo kExemplarFields[] = {{7, "filteredAttributes", Kind::kMessage, kRepeated, &kKeyValue},
                                         {2, "timeUnixNano", Kind::kFixed64},
                                         {3, "asDouble", Kind::kDouble, false, nullptr, kOneof},
                                         {6, "asInt", Kind::kSfixed64, false, nullptr, kOneof},
                                         {4, "spanId", Kind::kHex},
                                         {5, "traceId", Kind::kHex}};
constexpr MessageInfo kExemplar = {kExemplarFields};
constexpr FieldInfo kNumberPointFields[] = {{7, "attributes", Kind::kMessage, kRepeated, &kKeyValue},
                                            {2, "startTimeUnixNano", Kind::kFixed64},
                                            {3, "timeUnixNano", Kind::kFixed64},
                                            {4, "asDouble", Kind::kDouble, false, nullptr, kOneof},
                                            {6, "asInt", Kind::kSfixed64, false, nullptr, kOneof},
                                            {5, "exemplars", Kind::kMessage, kRepeated, &kExemplar},
                                            {8, "flags", Kind::kUint32}};
constexpr MessageInfo kNumberPoint = {kNumberPointFields};
constexpr FieldInfo kHistogramPointFields[] = {{9, "attributes", Kind::kMessage, kRepeated, &kKeyValue},
                                               {2, "startTimeUnixNano", Kind::kFixed64},
                                               {3, "timeUnixNano", Kind::kFixed64},
                                               {4, "count", Kind::kFixed64},
                                               {5, "sum", Kind::kDouble},
                                               {6, "bucketCounts", Kind::kFixed64, kRepeated},
                                               {7, "explicitBounds", Kind::kDouble, kRepeated},
                                               {8, "exemplars", Kind::kMessage, kRepeated, &kExemplar},
                                               {10, "flags", Kind::kUint32},
                                               {11, "min", Kind::kDouble},
                                               {12, "max", Kind::kDouble}};
constexpr MessageInfo kHistogramPoint = {kHistogramPointFields};
constexpr FieldInfo kBucketsFields[] = {{1, "offset", Kind::kSint32},
                                        {2, "bucketCounts", Kind::kUint64, kRepeated}};
constexpr MessageInfo kBuckets = {kBucketsFields};
constexpr FieldInfo kExponentialPointFields[] = {{1, "attributes", Kind::kMessage, kRepeated, &kKeyValue},
                                                 {2, "startTimeUnixNano", Kind::kFixed64},
                                                 {3, "timeUnixNano", Kind::kFixed64},
                                                 {4, "count", Kind::kFixed64},
                                                 {5, "sum", Kind::kDouble},
                                                 {6, "scale", Kind::kSint32},
                                                 {7, "zeroCount", Kind::kFixed64},
                                                 {8, "positive", Kind::kMessage, false, &kBuckets},
                                                 {9, "negative", Kind::kMessage, false, &kBuckets},
                                                 {10, "flags", Kind::kUint32},
                                                 {11, "exemplars", Kind::kMessage, kRepeated, &kExemplar},
                                                 {12, "min", Kind::kDouble},
                                                 {13, "max", Kind::kDouble},
                                                 {14, "zeroThreshold", Kind::kDouble}};
constexpr MessageInfo kExponentialPoint = {kExponentialPointFields};
constexpr FieldInfo kQuantileFields[] = {{1, "quantile", Kind::kDouble}, {2, "value", Kind::kDouble}};
constexpr MessageInfo kQuantile = {kQuantileFields};
constexpr FieldInfo kSummaryPointFields[] = {{7, "attributes", Kind::kMessage, kRepeated, &kKeyValue},
                                             {2, "startTimeUnixNano", Kind::kFixed64},
                                             {3, "timeUnixNano", Kind::kFixed64},
                                             {4, "count", Kind::kFixed64},
                                             {5, "sum", Kind::kDouble},
                                             {6, "quantileValues", Kind::kMessage, kRepeated, &kQuantile},
                                             {8, "flags", Kind::kUint32}};
constexpr MessageInfo kSummaryPoint = {kSummaryPointFields};
constexpr FieldInfo kGaugeFields[] = {{1, "dataPoints", Kind::kMessage, kRepeated, &kNumberPoint}};
constexpr MessageInfo kGauge = {kGaugeFields};
constexpr FieldInfo kSumFields[] = {{1, "dataPoints", Kind::kMessage, kRepeated, &kNumberPoint},
                                    {2, "aggregationTemporality", Kind::kInt32},
                                    {3, "isMonotonic", Kind::kBool}};
constexpr MessageInfo kSum = {kSumFields};
constexpr FieldInfo kHistogramFields[] = {{1, "dataPoints", Kind::kMessage, kRepeated, &kHistogramPoint},
                                          {2, "aggregationTemporality", Kind::kInt32}};
constexpr MessageInfo kHistogram = {kHistogramFields};
constexpr FieldInfo kExponentialFields[] = {{1, "dataPoints", Kind::kMessage, kRepeated, &kExponentialPoint},
                                            {2, "aggregationTemporality", Kind::kInt32}};
constexpr MessageInfo kExponential = {kExponentialFields};
constexpr FieldInfo kSummaryFields[] = {{1, "dataPoints", Kind::kMessage, kRepeated, &kSummaryPoint}};
constexpr MessageInfo kSummary = {kSummaryFields};
constexpr FieldInfo kMetricFields[] = {
    {1, "name", Kind::kString},
    {2, "description", Kind::kString},
    {3, "unit", Kind::kString},
    {5, "gauge", Kind::kMessage, false, &kGauge, kOneof},
    {7, "sum", Kind::kMessage, false, &kSum, kOneof},
    {9, "histogram", Kind::kMessage, false, &kHistogram, kOneof},
    {10, "exponentialHistogram", Kind::kMessage, false, &kExponential, kOneof},
    {11, "summary", Kind::kMessage, false, &kSummary, kOneof},
    {12, "metadata", Kind::kMessage, kRepeated, &kKeyValue}};
constexpr MessageInfo kMetric = {kMetricFields};

#define BRAID_REQUEST(Name, resources, scopes, items, Item)                                               \
  constexpr FieldInfo kScope##Name##Fields[] = {{1, "scope", Kind::kMessage, false, &kScope},             \
                                                {2, items, Kind::kMessage, kRepeated, &(Item)},           \
                                                {3, "schemaUrl", Kind::kString}};                         \
  constexpr MessageInfo kScope##Name = {kScope##Name##Fields};                                            \
  constexpr FieldInfo kResource##Name##Fields[] = {{1, "resource", Kind::kMessage, false, &kResource},    \
                                                   {2, scopes, Kind::kMessage, kRepeated, &kScope##Name}, \
                                                   {3, "schemaUrl", Kind::kString}};                      \
  constexpr MessageInfo kResource##Name = {kResource##Name##Fields};                                      \
  constexpr FieldInfo k##Name##RequestFields[] = {                                                        \
      {1, resources, Kind::kMessage, kRepeated, &kResource##Name}};                                       \
  constexpr MessageInfo k##Name##Request = {k##Name##RequestFields}
BRAID_REQUEST(Spans, "resourceSpans", "scopeSpans", "spans", kSpan);
BRAID_REQUEST(Logs, "resourceLogs", "scopeLogs", "logRecords", kLogRecord);
BRAID_REQUEST(Metrics, "resourceMetrics", "scopeMetrics", "metrics", kMetric);
#undef BRAID_REQUEST

void AppendMessage(const MessageInfo& info, std::string_view bytes, std::string* out, int depth);

// The wire type of a kind that stands alone; such kinds may also be packed.
wire::Type TypeOf(Kind kind) {
  switch (kind) {
    case Kind::kString:
    case Kind::kHex:
    case Kind::kBase64:
    case Kind::kMessage: return wire::Type::kBytes;
    case Kind::kBool:
    case Kind::kUint32:
    case Kind::kInt32:
    case Kind::kSint32:
    case Kind::kUint64:
    case Kind::kInt64: return wire::Type::kVarint;
    case Kind::kFixed32: return wire::Type::kFixed32;
    case Kind::kFixed64:
    case Kind::kSfixed64:
    case Kind::kDouble: return wire::Type::kFixed64;
  }
  return wire::Type::kBytes;
}

void AppendScalar(Kind kind, uint64_t raw, std::string* out) {
  const auto quoted = [out](auto value) {
    out->push_back('"');
    AppendInteger(value, out);
    out->push_back('"');
  };
  switch (kind) {
    case Kind::kBool: *out += raw != 0 ? "true" : "false"; break;
    case Kind::kUint32:
    case Kind::kFixed32: AppendInteger(static_cast<uint32_t>(raw), out); break;
    case Kind::kInt32: AppendInteger(static_cast<int32_t>(raw), out); break;
    case Kind::kSint32: {
      const uint32_t word = static_cast<uint32_t>(raw);
      AppendInteger(static_cast<int32_t>(word >> 1 ^ (0 - (word & 1))), out);
      break;
    }
    case Kind::kUint64:
    case Kind::kFixed64: quoted(raw); break;
    case Kind::kInt64:
    case Kind::kSfixed64: quoted(static_cast<int64_t>(raw)); break;
    case Kind::kDouble: AppendJsonDouble(std::bit_cast<double>(raw), out); break;
    case Kind::kString:
    case Kind::kHex:
    case Kind::kBase64:
    case Kind::kMessage: *out += "null"; break;
  }
}

void AppendValue(const FieldInfo& info, const wire::Field& field, std::string* out, int depth) {
  switch (info.kind) {
    case Kind::kString: AppendJsonString(field.bytes, out); break;
    case Kind::kHex:
      out->push_back('"');
      AppendHex(field.bytes, out);
      out->push_back('"');
      break;
    case Kind::kBase64:
      out->push_back('"');
      AppendBase64(field.bytes, out);
      out->push_back('"');
      break;
    case Kind::kMessage: AppendMessage(*info.message, field.bytes, out, depth + 1); break;
    default: AppendScalar(info.kind, field.scalar, out); break;
  }
}

// The numbers of a packed field.
template <typename Each>
void ForEachPacked(Kind kind, std::string_view bytes, Each each) {
  const char* p = bytes.data();
  const char* end = p + bytes.size();
  if (TypeOf(kind) == wire::Type::kVarint) {
    uint64_t value = 0;
    while (p != end && (p = wire::ReadVarint(p, end, &value)) != nullptr) each(value);
    return;
  }
  for (; end - p >= 8; p += 8) {
    uint64_t value;
    std::memcpy(&value, p, sizeof value);
    each(value);
  }
}

// One field of a message, all its occurrences: `,"name":value`. The wire may hold them in any order and
// place.
void AppendField(const FieldInfo& info, std::string_view bytes, bool* first, std::string* out, int depth) {
  const wire::Type type = TypeOf(info.kind);
  const auto name = [&] {
    if (!*first) out->push_back(',');
    *first = false;
    out->push_back('"');
    *out += info.name;
    *out += "\":";
  };
  if (!info.repeated) {
    wire::Field last;
    std::string merged;
    int count = 0;
    for (wire::Cursor c(bytes); c.Next();) {
      if (c.field().number != info.number || c.field().type != type) continue;
      if (info.kind == Kind::kMessage) {
        if (count == 1) merged = last.bytes;
        if (count >= 1) merged += c.field().bytes;
      }
      last = c.field();
      ++count;
    }
    if (count == 0) return;
    if (!merged.empty()) last.bytes = merged;
    name();
    AppendValue(info, last, out, depth);
    return;
  }
  bool open = false;
  const auto element = [&] {
    if (open) {
      out->push_back(',');
    } else {
      name();
      out->push_back('[');
      open = true;
    }
  };
  for (wire::Cursor c(bytes); c.Next();) {
    if (c.field().number != info.number) continue;
    if (c.field().type == type) {
      element();
      AppendValue(info, c.field(), out, depth);
    } else if (c.field().type == wire::Type::kBytes) {
      ForEachPacked(info.kind, c.field().bytes, [&](uint64_t raw) {
        element();
        AppendScalar(info.kind, raw, out);
      });
    }
  }
  if (open) out->push_back(']');
}

void AppendMessage(const MessageInfo& info, std::string_view bytes, std::string* out, int depth) {
  if (depth > kMaxDepth) {
    *out += "null";
    return;
  }
  uint32_t chosen = 0;
  for (const FieldInfo& field : info.fields) {
    if (!field.oneof) continue;
    for (wire::Cursor c(bytes); c.Next();) {
      for (const FieldInfo& member : info.fields) {
        if (member.oneof && member.number == c.field().number) chosen = member.number;
      }
    }
    break;
  }
  out->push_back('{');
  bool first = true;
  for (const FieldInfo& field : info.fields) {
    if (field.oneof && field.number != chosen) continue;
    AppendField(field, bytes, &first, out, depth);
  }
  out->push_back('}');
}

// --- Lines for people. ---

// "2026-01-02T03:04:05.000000006Z"
void AppendTime(uint64_t unix_nano, std::string* out) {
  const std::time_t seconds = static_cast<std::time_t>(unix_nano / 1'000'000'000);
  std::tm parts = {};
  gmtime_r(&seconds, &parts);
  std::array<char, 40> text;
  const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S.", &parts);
  out->push_back('"');
  out->append(text.data(), size);
  std::string nanos;
  AppendInteger(unix_nano % 1'000'000'000, &nanos);
  out->append(9 - nanos.size(), '0');
  *out += nanos;
  *out += "Z\"";
}

// Writes `"key":` with its comma.
class Object {
 public:
  explicit Object(std::string* out) : out_(out) { out_->push_back('{'); }
  void End() { out_->push_back('}'); }

  std::string* Key(std::string_view key) {
    if (!first_) out_->push_back(',');
    first_ = false;
    out_->push_back('"');
    *out_ += key;
    *out_ += "\":";
    return out_;
  }
  void String(std::string_view key, std::string_view value) {
    if (!value.empty()) AppendJsonString(value, Key(key));
  }
  void Hex(std::string_view key, std::string_view bytes) {
    if (bytes.empty()) return;
    Key(key)->push_back('"');
    AppendHex(bytes, out_);
    out_->push_back('"');
  }

 private:
  std::string* out_;
  bool first_ = true;
};

// The fields of a message that a line shows by name, last occurrence.
struct Fields {
  std::array<wire::Field, 17> at = {};
  explicit Fields(std::string_view message) {
    for (wire::Cursor c(message); c.Next();) {
      if (c.field().number < at.size()) at[c.field().number] = c.field();
    }
  }
  std::string_view bytes(size_t number) const { return at[number].bytes; }
  uint64_t scalar(size_t number) const { return at[number].scalar; }
};

void SpanLine(std::string_view span, Object* line) {
  constexpr std::array<std::string_view, 6> kKinds = {"unspecified", "internal", "server",
                                                      "client",      "producer", "consumer"};
  constexpr std::array<std::string_view, 3> kStatuses = {"unset", "ok", "error"};
  const Fields fields(span);
  const uint64_t start = fields.scalar(7);
  const uint64_t end = fields.scalar(8);
  AppendTime(start, line->Key("time"));
  line->String("name", fields.bytes(5));
  if (fields.scalar(6) < kKinds.size()) line->String("kind", kKinds[fields.scalar(6)]);
  AppendJsonDouble(end > start ? static_cast<double>(end - start) / 1e6 : 0, line->Key("duration_ms"));
  const Fields status(fields.bytes(15));
  if (status.scalar(3) < kStatuses.size()) line->String("status", kStatuses[status.scalar(3)]);
  line->String("status_message", status.bytes(2));
  line->Hex("trace_id", fields.bytes(1));
  line->Hex("span_id", fields.bytes(2));
  line->Hex("parent_span_id", fields.bytes(4));
  AppendKeyValues(span, 9, line->Key("attributes"), 0);
  std::string events;
  bool first = true;
  AppendField({11, "", Kind::kMessage, kRepeated, &kEvent}, span, &first, &events, 0);
  if (!events.empty()) *line->Key("events") += std::string_view(events).substr(3);  // without its empty name
}

void LogLine(std::string_view record, Object* line) {
  const Fields fields(record);
  AppendTime(fields.scalar(1) != 0 ? fields.scalar(1) : fields.scalar(11), line->Key("time"));
  line->String("severity", fields.bytes(3));
  if (fields.scalar(2) != 0) AppendInteger(fields.scalar(2), line->Key("severity_number"));
  AppendAny(fields.bytes(5), line->Key("body"), 0);
  line->String("event_name", fields.bytes(12));
  line->Hex("trace_id", fields.bytes(9));
  line->Hex("span_id", fields.bytes(10));
  AppendKeyValues(record, 6, line->Key("attributes"), 0);
}

}  // namespace

void AppendJsonString(std::string_view text, std::string* out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  out->push_back('"');
  size_t plain = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<uint8_t>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out->append(text, plain, i - plain);
    plain = i + 1;
    out->push_back('\\');
    switch (c) {
      case '"': out->push_back('"'); break;
      case '\\': out->push_back('\\'); break;
      case '\n': out->push_back('n'); break;
      case '\r': out->push_back('r'); break;
      case '\t': out->push_back('t'); break;
      default:
        *out += "u00";
        out->push_back(kDigits[c >> 4]);
        out->push_back(kDigits[c & 15]);
        break;
    }
  }
  out->append(text, plain);
  out->push_back('"');
}

void AppendJsonDouble(double value, std::string* out) {
  if (std::isnan(value)) {
    *out += "\"NaN\"";
  } else if (std::isinf(value)) {
    *out += value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  } else {
    std::array<char, 32> buffer;
    const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
    out->append(buffer.data(), end);
  }
}

void AppendBase64(std::string_view bytes, std::string* out) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = bytes.size() - i;
    uint32_t word = static_cast<uint32_t>(static_cast<uint8_t>(bytes[i])) << 16;
    if (left > 1) word |= static_cast<uint32_t>(static_cast<uint8_t>(bytes[i + 1])) << 8;
    if (left > 2) word |= static_cast<uint8_t>(bytes[i + 2]);
    out->push_back(kDigits[word >> 18]);
    out->push_back(kDigits[word >> 12 & 63]);
    out->push_back(left > 1 ? kDigits[word >> 6 & 63] : '=');
    out->push_back(left > 2 ? kDigits[word & 63] : '=');
  }
}

void AppendAnyValue(std::string_view any_value, std::string* out) { AppendAny(any_value, out, 0); }

bool AnyValueString(std::string_view any_value, std::string_view* text) {
  wire::Field field;
  if (!LastMember(any_value, &field) || field.number != 1) return false;
  *text = field.bytes;
  return true;
}

void AppendAnyValueText(std::string_view any_value, std::string* out) {
  wire::Field field;
  if (!LastMember(any_value, &field)) return;
  if (field.number == 1) {
    *out += field.bytes;
  } else if (field.number == 7) {
    AppendBase64(field.bytes, out);
  } else if (const double number = std::bit_cast<double>(field.scalar);
             field.number == 4 && !std::isfinite(number)) {
    *out += std::isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity";
  } else {
    AppendAny(any_value, out, 0);
  }
}

void AppendOtlpJson(Signal signal, std::string_view request, std::string* out) {
  switch (signal) {
    case Signal::kTraces: AppendMessage(kSpansRequest, request, out, 0); break;
    case Signal::kLogs: AppendMessage(kLogsRequest, request, out, 0); break;
    case Signal::kMetrics: AppendMessage(kMetricsRequest, request, out, 0); break;
  }
}

void AppendJsonLines(const Chunk& chunk, uint32_t first, uint32_t count, std::string* out) {
  ForEachGroup(chunk, first, count, [&](const ChunkGroup& group, uint32_t begin, uint32_t part) {
    // Every line of a group ends alike.
    std::string resource;
    for (wire::Cursor c(chunk.view(group.resource)); c.Next();) {
      if (c.field().number == 1) resource += c.field().bytes;
    }
    std::string scope;
    for (wire::Cursor c(chunk.view(group.scope)); c.Next();) {
      if (c.field().number == 1) scope += c.field().bytes;
    }
    std::string tail = ",\"resource\":";
    AppendKeyValues(resource, 1, &tail, 0);
    if (const std::string_view name = Fields(scope).bytes(1); !name.empty()) {
      tail += ",\"scope\":";
      AppendJsonString(name, &tail);
    }
    tail += "}\n";

    for (uint32_t i = begin; i < begin + part; ++i) {
      const std::string_view item = chunk.ItemBytes(chunk.items[i]);
      Object line(out);
      switch (chunk.signal) {
        case Signal::kTraces:
          line.String("signal", "span");
          SpanLine(item, &line);
          break;
        case Signal::kLogs:
          line.String("signal", "log");
          LogLine(item, &line);
          break;
        case Signal::kMetrics:
          line.String("signal", "metric");
          AppendMessage(kMetric, item, line.Key("metric"), 0);
          break;
      }
      *out += tail;
    }
  });
}

}  // namespace braid::exporters
