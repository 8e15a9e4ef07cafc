#include "exporters/encode/loki.h"

#include <absl/container/flat_hash_map.h>
#include <snappy.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "base/ids.h"
#include "base/wire.h"
#include "correlate/model/item.h"
#include "correlate/model/stamp.h"
#include "exporters/encode/json.h"
#include "exporters/encode/otlp.h"

namespace braid::exporters {
namespace {

constexpr size_t kMaxLabels = 15;
constexpr size_t kMaxLabelName = 1024;
constexpr size_t kMaxLabelValue = 2048;
constexpr std::string_view kSeverity = "severity";

bool IsNameByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool IsLabelName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxLabelName && !(name[0] >= '0' && name[0] <= '9') &&
         std::all_of(name.begin(), name.end(), IsNameByte);
}

void Sanitise(std::string_view name, std::string* out) {
  out->clear();
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) out->push_back('_');
  for (const char c : name) out->push_back(IsNameByte(c) ? c : '_');
}

std::string_view SeverityWord(uint64_t number) {
  switch (SeverityClassOf(number)) {
    case SeverityClass::kUnset: return "";
    case SeverityClass::kTrace: return "trace";
    case SeverityClass::kDebug: return "debug";
    case SeverityClass::kInfo: return "info";
    case SeverityClass::kWarn: return "warn";
    case SeverityClass::kError: return "error";
    case SeverityClass::kFatal: return "fatal";
  }
  return "";
}

// At most `most` bytes, cut at a whole character.
std::string_view Cut(std::string_view text, size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<uint8_t>(text[most]) & 0xc0) == 0x80) --most;
  return text.substr(0, most);
}

// A label value as Loki's parser unquotes it (Go string syntax).
void AppendQuoted(std::string_view text, std::string* out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  out->push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (c == '\n') {
      *out += "\\n";
    } else if (static_cast<uint8_t>(c) < 0x20 || c == 0x7f) {
      *out += "\\x";
      out->push_back(kDigits[static_cast<uint8_t>(c) >> 4]);
      out->push_back(kDigits[static_cast<uint8_t>(c) & 15]);
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

struct Attribute {
  std::string_view key;
  std::string_view value;  // an AnyValue
};

Attribute ReadAttribute(std::string_view key_value) {
  Attribute attribute;
  for (wire::Cursor c(key_value); c.Next();) {
    if (c.field().type != wire::Type::kBytes) continue;
    if (c.field().number == 1) attribute.key = c.field().bytes;
    if (c.field().number == 2) attribute.value = c.field().bytes;
  }
  return attribute;
}

// Attributes of `field` in `message`, in order.
void ReadAttributes(std::string_view message, uint32_t field, std::vector<Attribute>* out) {
  for (wire::Cursor c(message); c.Next();) {
    if (c.field().number == field && c.field().type == wire::Type::kBytes)
      out->push_back(ReadAttribute(c.field().bytes));
  }
}

struct Record {
  uint64_t time = 0;
  uint64_t observed = 0;
  uint64_t severity = 0;
  std::string_view severity_text;
  std::string_view body;  // an AnyValue
  std::string_view event_name;
  std::string_view trace;
  std::string_view span;
  std::vector<Attribute> attributes;

  uint64_t any_time() const { return time != 0 ? time : observed; }

  void Read(std::string_view bytes) {
    std::vector<Attribute> room = std::move(attributes);
    room.clear();
    *this = {};
    attributes = std::move(room);  // keeps its capacity
    for (wire::Cursor c(bytes); c.Next();) {
      const wire::Field& field = c.field();
      switch (field.number) {
        case 1: time = field.scalar; break;
        case 2: severity = field.scalar; break;
        case 3: severity_text = field.bytes; break;
        case 5: body = field.bytes; break;
        case 6: attributes.push_back(ReadAttribute(field.bytes)); break;
        case 9: trace = field.bytes; break;
        case 10: span = field.bytes; break;
        case 11: observed = field.scalar; break;
        case 12: event_name = field.bytes; break;
        default: break;
      }
    }
  }
};

// The latest time of any record of the Chunk, for those that have none: a property of the frozen Chunk, so
// that a retry and a part of it say the same. 0 if there is none.
uint64_t LatestTime(const Chunk& chunk) {
  uint64_t latest = 0;
  Record record;
  for (const ChunkItem& item : chunk.items) {
    record.Read(chunk.ItemBytes(item));
    latest = std::max(latest, record.any_time());
  }
  return latest;
}

// One entry's structured metadata, within Loki's limits and without doubles.
class Metadata {
 public:
  Metadata(const LokiEncoder::Options& options, wire::Writer* out) : options_(options), out_(out) {}

  void Add(std::string_view name, std::string_view value) {
    if (std::find(names_.begin(), names_.end(), name) != names_.end() ||
        names_.size() >= options_.max_metadata_entries ||
        bytes_ + name.size() + value.size() > options_.max_metadata_bytes) {
      ++shed_;
      return;
    }
    bytes_ += name.size() + value.size();
    names_.emplace_back(name);
    const size_t at = out_->Begin(3);
    out_->Bytes(1, name);
    out_->Bytes(2, value);
    out_->End(at);
  }

  void Add(const Attribute& attribute) {
    Sanitise(attribute.key, &name_);
    value_.clear();
    AppendAnyValueText(attribute.value, &value_);
    Add(name_, value_);
  }

  uint64_t shed() const { return shed_; }

 private:
  const LokiEncoder::Options& options_;
  wire::Writer* out_;
  std::vector<std::string> names_;
  size_t bytes_ = 0;
  uint64_t shed_ = 0;
  std::string name_;
  std::string value_;
};

bool IsStamp(std::string_view key) {
  return std::find(stamp::kLogKeys.begin(), stamp::kLogKeys.end(), key) != stamp::kLogKeys.end();
}

void AppendHex(std::string_view bytes, std::string* out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (const char c : bytes) {
    out->push_back(kDigits[static_cast<uint8_t>(c) >> 4]);
    out->push_back(kDigits[static_cast<uint8_t>(c) & 15]);
  }
}

// What the records of one group share.
struct Source {
  std::vector<std::pair<std::string, std::string>> labels;
  std::string_view severity_label;  // empty: severity is no label
  std::vector<Attribute> resource;  // attributes that are no label
  std::string_view scope;
};

Source ReadSource(const LokiEncoder::Options& options, const Chunk& chunk, const ChunkGroup& group) {
  Source source;
  for (wire::Cursor c(chunk.view(group.resource)); c.Next();) {
    if (c.field().number == 1 && c.field().type == wire::Type::kBytes) {
      ReadAttributes(c.field().bytes, 1, &source.resource);
    }
  }
  for (wire::Cursor c(chunk.view(group.scope)); c.Next();) {
    if (c.field().number != 1 || c.field().type != wire::Type::kBytes) continue;
    for (wire::Cursor scope(c.field().bytes); scope.Next();) {
      if (scope.field().number == 1) source.scope = scope.field().bytes;
    }
  }
  std::map<std::string_view, std::string> labels;
  for (const LokiEncoder::LabelRule& rule : options.labels) {
    if (rule.attribute == kSeverity) {
      source.severity_label = rule.label;
      continue;
    }
    if (labels.contains(rule.label)) continue;
    const auto found =
        std::find_if(source.resource.begin(), source.resource.end(),
                     [&](const Attribute& attribute) { return attribute.key == rule.attribute; });
    if (found == source.resource.end()) continue;
    std::string value;
    AppendAnyValueText(found->value, &value);
    // An empty label is none; a value that would be cut stays in the metadata, whole.
    if (value.empty()) continue;
    const std::string_view cut = Cut(value, kMaxLabelValue);
    if (cut.size() == value.size()) source.resource.erase(found);
    labels.emplace(rule.label, cut);
  }
  // A stream must have a label, and this is what Loki itself falls back to.
  if (labels.empty()) labels.emplace("service_name", "unknown_service");
  for (auto& [label, value] : labels) source.labels.emplace_back(label, std::move(value));
  return source;
}

// `{environment="prod", service_name="cart"}`, sorted by name.
std::string LabelString(const Source& source, std::string_view severity) {
  std::string out = "{";
  const auto add = [&out](std::string_view name, std::string_view value) {
    if (out.size() > 1) out += ", ";
    out += name;
    out.push_back('=');
    AppendQuoted(value, &out);
  };
  bool severity_done = source.severity_label.empty() || severity.empty();
  for (const auto& [name, value] : source.labels) {
    if (!severity_done && source.severity_label < name) {
      add(source.severity_label, severity);
      severity_done = true;
    }
    add(name, value);
  }
  if (!severity_done) add(source.severity_label, severity);
  out.push_back('}');
  return out;
}

void AppendEntry(const LokiEncoder::Options& options, const Source& source, const Record& record,
                 uint64_t time, std::string_view line, std::string* out, uint64_t* shed) {
  wire::Writer writer(out);
  const size_t entry = writer.Begin(2);  // Stream.entries
  const size_t timestamp = writer.Begin(1);
  writer.Varint(1, time / 1'000'000'000);
  if (time % 1'000'000'000 != 0) writer.Varint(2, time % 1'000'000'000);
  writer.End(timestamp);
  writer.Bytes(2, line);

  Metadata metadata(options, &writer);
  std::string text;
  if (!record.trace.empty()) {
    AppendHex(record.trace, &text);
    metadata.Add("trace_id", text);
  }
  if (!record.span.empty()) {
    text.clear();
    AppendHex(record.span, &text);
    metadata.Add("span_id", text);
  }
  const std::string_view word = SeverityWord(record.severity);
  if (!record.severity_text.empty() || !word.empty()) {
    metadata.Add(kSeverity, record.severity_text.empty() ? word : record.severity_text);
  }
  if (record.severity != 0) metadata.Add("severity_number", std::to_string(record.severity));
  for (const Attribute& attribute : record.attributes) {
    if (IsStamp(attribute.key)) metadata.Add(attribute);
  }
  if (!record.event_name.empty()) metadata.Add("event_name", record.event_name);
  for (const Attribute& attribute : record.attributes) {
    if (!IsStamp(attribute.key)) metadata.Add(attribute);
  }
  if (!source.scope.empty()) metadata.Add("scope_name", source.scope);
  for (const Attribute& attribute : source.resource) metadata.Add(attribute);
  *shed += metadata.shed();
  writer.End(entry);
}

}  // namespace

Result<LokiEncoder> LokiEncoder::Make(Options options) {
  std::vector<std::string_view> labels;
  for (const LabelRule& rule : options.labels) {
    if (!IsLabelName(rule.label)) {
      return InvalidArgument("labels: '" + rule.label +
                             "' is not a label name (letters, digits and _, no digit first)");
    }
    if (std::find(labels.begin(), labels.end(), rule.label) == labels.end()) {
      labels.push_back(rule.label);
    } else if (rule.attribute == kSeverity) {
      return InvalidArgument("labels: '" + rule.label + "' cannot be both severity and an attribute");
    }
  }
  if (labels.size() > kMaxLabels)
    return InvalidArgument("labels: Loki takes 15, these are " + std::to_string(labels.size()));
  return LokiEncoder(std::move(options));
}

LokiEncoder::Output LokiEncoder::Encode(const Chunk& chunk, uint32_t first, uint32_t count,
                                        SlabPool& slabs) const {
  Output output;
  struct Stream {
    std::string labels;
    std::string entries;
  };
  std::vector<Stream> streams;  // in the order they appear
  absl::flat_hash_map<std::string, size_t> by_labels;
  Record record;
  std::string line;
  uint64_t fallback_time = 0;
  bool have_fallback = false;

  ForEachGroup(chunk, first, count, [&](const ChunkGroup& group, uint32_t begin, uint32_t part) {
    const Source source = ReadSource(options_, chunk, group);
    std::map<std::string_view, size_t> by_severity;  // this group's streams
    for (uint32_t i = begin; i < begin + part; ++i) {
      record.Read(chunk.ItemBytes(chunk.items[i]));
      uint64_t time = record.any_time();
      if (time == 0) {
        if (!have_fallback) fallback_time = LatestTime(chunk);
        have_fallback = true;
        time = fallback_time;
      }
      if (time == 0) {
        ++output.unencodable;
        continue;
      }
      std::string_view text;
      if (!AnyValueString(record.body, &text)) {
        line.clear();
        AppendAnyValueText(record.body, &line);
        text = line;
      }
      if (text.size() > options_.max_line_bytes) {
        ++output.too_large;
        continue;
      }
      const std::string_view severity = source.severity_label.empty() ? "" : SeverityWord(record.severity);
      auto stream = by_severity.find(severity);
      if (stream == by_severity.end()) {
        std::string labels = LabelString(source, severity);
        const auto known = by_labels.try_emplace(labels, streams.size());
        if (known.second) streams.push_back({std::move(labels), {}});
        stream = by_severity.emplace(severity, known.first->second).first;
      }
      AppendEntry(options_, source, record, time, text, &streams[stream->second].entries,
                  &output.shed_fields);
      ++output.entries;
    }
  });
  if (output.entries == 0) return output;

  std::string request;
  size_t total = 0;
  for (const Stream& stream : streams) total += stream.labels.size() + stream.entries.size() + 32;
  request.reserve(total);
  wire::Writer writer(&request);
  for (const Stream& stream : streams) {
    const size_t at = writer.Begin(1);
    writer.Bytes(1, stream.labels);
    request += stream.entries;
    writer.End(at);
  }
  output.body = slabs.TakeUnbounded(snappy::MaxCompressedLength(request.size()));
  size_t compressed = 0;
  snappy::RawCompress(request.data(), request.size(), output.body.data(), &compressed);
  output.body.set_size(compressed);
  return output;
}

}  // namespace braid::exporters
