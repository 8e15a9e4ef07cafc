#include "correlate/derive/metric_labels.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <tuple>

#include "base/wire.h"
#include "correlate/derive/metric_names.h"

namespace braid::correlate {
namespace {

// Field numbers of opentelemetry/proto/{common,resource,metrics}/v1.
constexpr uint32_t kKey = 1, kAnyValue = 2;
constexpr uint32_t kAnyString = 1, kAnyBool = 2, kAnyInt = 3, kAnyDouble = 4, kAnyArray = 5, kAnyKvlist = 6,
                   kAnyBytes = 7;
constexpr uint32_t kResourceMetricsResource = 1, kResourceAttributes = 1;
constexpr uint32_t kScopeMetricsScope = 1, kScopeName = 1, kScopeVersion = 2;

template <typename T>
void AppendDigits(std::string* out, T value) {
  char digits[32];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
  out->append(digits, end);
}

void AppendBase64(std::string* out, std::string_view bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const auto at = [&](size_t k) {
      return k < bytes.size() ? static_cast<uint32_t>(static_cast<unsigned char>(bytes[k])) : 0u;
    };
    const uint32_t word = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
    *out += kDigits[word >> 18];
    *out += kDigits[word >> 12 & 63];
    *out += i + 1 < bytes.size() ? kDigits[word >> 6 & 63] : '=';
    *out += i + 2 < bytes.size() ? kDigits[word & 63] : '=';
  }
}

void AppendJsonString(std::string* out, std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  *out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      (*out += '\\') += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      (out->append("\\u00") += kHex[static_cast<size_t>(c) >> 4]) += kHex[static_cast<size_t>(c) & 15];
    } else {
      *out += c;
    }
  }
  *out += '"';
}

// Scalars plainly; arrays and maps as JSON, and strings in them quoted. Nesting is bounded by what decode
// lets through (32 levels).
void AppendAnyValue(std::string* out, std::string_view any, bool json) {
  wire::Field last;
  for (wire::Cursor c(any); c.Next();) last = c.field();  // of a oneof the last member counts
  switch (last.number) {
    case kAnyString:
      if (json) {
        AppendJsonString(out, last.bytes);
      } else {
        out->append(last.bytes);
      }
      return;
    case kAnyBool: out->append(last.scalar != 0 ? "true" : "false"); return;
    case kAnyInt: AppendDigits(out, static_cast<int64_t>(last.scalar)); return;
    case kAnyDouble: AppendDigits(out, std::bit_cast<double>(last.scalar)); return;
    case kAnyBytes:
      if (json) *out += '"';
      AppendBase64(out, last.bytes);
      if (json) *out += '"';
      return;
    case kAnyArray: {
      *out += '[';
      bool first = true;
      for (wire::Cursor c(last.bytes); c.Next();) {
        if (c.field().number != 1) continue;
        if (!std::exchange(first, false)) *out += ',';
        AppendAnyValue(out, c.field().bytes, true);
      }
      *out += ']';
      return;
    }
    case kAnyKvlist: {
      *out += '{';
      bool first = true;
      for (wire::Cursor c(last.bytes); c.Next();) {
        if (c.field().number != 1) continue;
        if (!std::exchange(first, false)) *out += ',';
        std::string_view key, value;
        for (wire::Cursor kv(c.field().bytes); kv.Next();) {
          if (kv.field().number == kKey) key = kv.field().bytes;
          if (kv.field().number == kAnyValue) value = kv.field().bytes;
        }
        AppendJsonString(out, key);
        *out += ':';
        AppendAnyValue(out, value, true);
      }
      *out += '}';
      return;
    }
    default:
      if (json) out->append("null");
      return;
  }
}

void AppendSized(std::string* out, std::string_view text) {
  const uint32_t size = static_cast<uint32_t>(text.size());
  out->append(reinterpret_cast<const char*>(&size), sizeof size);
  out->append(text);
}

std::string_view TakeSized(std::string_view* in) {
  uint32_t size;
  std::memcpy(&size, in->data(), sizeof size);
  const std::string_view text = in->substr(sizeof size, size);
  in->remove_prefix(sizeof size + size);
  return text;
}

}  // namespace

std::string_view CutValue(std::string_view value, size_t max) {
  if (value.size() <= max) return value;
  size_t end = max;
  while (end > 0 && (static_cast<unsigned char>(value[end]) & 0xc0) == 0x80) --end;
  return value.substr(0, end);
}

Attribute ReadAttribute(std::string_view key_value, size_t max_value_bytes) {
  Attribute attribute;
  std::string_view value;
  for (wire::Cursor c(key_value); c.Next();) {
    if (c.field().number == kKey) attribute.key = c.field().bytes;
    if (c.field().number == kAnyValue) value = c.field().bytes;
  }
  AppendAnyValue(&attribute.value, value, false);
  attribute.value.resize(CutValue(attribute.value, max_value_bytes).size());
  return attribute;
}

std::vector<NameValue> ToLabels(const std::vector<Attribute>& attributes) {
  struct Named {
    std::string name;
    size_t index;
  };
  std::vector<Named> named;
  for (size_t i = 0; i < attributes.size(); ++i) named.push_back({PrometheusLabelName(attributes[i].key), i});
  std::sort(named.begin(), named.end(), [&](const Named& a, const Named& b) {
    return std::tie(a.name, attributes[a.index].key, a.index) <
           std::tie(b.name, attributes[b.index].key, b.index);
  });
  std::vector<NameValue> labels;
  for (size_t i = 0; i < named.size(); ++i) {
    const Attribute& attribute = attributes[named[i].index];
    if (i + 1 < named.size() && attributes[named[i + 1].index].key == attribute.key) continue;
    if (!labels.empty() && labels.back().first == named[i].name) {
      labels.back().second.append(";").append(attribute.value);
    } else {
      labels.emplace_back(std::move(named[i].name), attribute.value);
    }
  }
  return labels;
}

void SetLabel(std::vector<NameValue>* labels, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  for (NameValue& label : *labels) {
    if (label.first == name) {
      label.second = value;
      return;
    }
  }
  labels->emplace_back(name, value);
}

std::string EncodeLabels(std::vector<NameValue> labels) {
  std::sort(labels.begin(), labels.end());
  std::string encoded;
  for (const auto& [name, value] : labels) {
    if (value.empty()) continue;
    AppendSized(&encoded, name);
    AppendSized(&encoded, value);
  }
  return encoded;
}

void DecodeLabels(std::string_view encoded, std::vector<Label>* out) {
  out->clear();
  while (!encoded.empty()) {
    const std::string_view name = TakeSized(&encoded);
    out->push_back({name, TakeSized(&encoded)});
  }
}

Target ReadTarget(const Batch& batch, uint32_t index, size_t max_value_bytes) {
  Target target;
  std::string name, space;
  const BatchResource& resource = batch.resources[index];
  for (uint32_t i = 0; i < resource.range_count; ++i) {
    for (wire::Cursor c(batch.bytes(batch.ranges[resource.first_range + i])); c.Next();) {
      if (c.field().number != kResourceMetricsResource) continue;
      for (wire::Cursor a(c.field().bytes); a.Next();) {
        if (a.field().number != kResourceAttributes) continue;
        Attribute attribute = ReadAttribute(a.field().bytes, max_value_bytes);
        if (attribute.key == "service.name") {
          name = std::move(attribute.value);
        } else if (attribute.key == "service.namespace") {
          space = std::move(attribute.value);
        } else if (attribute.key == "service.instance.id") {
          target.instance = std::move(attribute.value);
        } else {
          target.rest.push_back(std::move(attribute));
        }
      }
    }
  }
  if (!name.empty()) target.job = space.empty() ? name : space + "/" + name;
  return target;
}

std::string PointLabels(const Batch& batch, const Item& item, std::span<const std::string_view> from,
                        MetricType type, size_t max_value_bytes) {
  std::vector<Attribute> attributes;
  for (const std::string_view attribute : from) {
    attributes.push_back(ReadAttribute(attribute, max_value_bytes));
  }
  std::vector<NameValue> labels = ToLabels(attributes);
  for (NameValue& label : labels) {
    const bool taken = (type == MetricType::kHistogram && label.first == "le") ||
                       (type == MetricType::kSummary && label.first == "quantile");
    if (taken) label.first.insert(0, "exported_");
  }
  const BatchGroup& group = batch.groups[item.group];
  const Target target = ReadTarget(batch, group.resource, max_value_bytes);
  SetLabel(&labels, "job", target.job);
  SetLabel(&labels, "instance", target.instance);
  for (uint32_t i = 0; i < group.range_count; ++i) {
    for (wire::Cursor c(batch.bytes(batch.ranges[group.first_range + i])); c.Next();) {
      if (c.field().number != kScopeMetricsScope) continue;
      for (wire::Cursor s(c.field().bytes); s.Next();) {
        const std::string_view value = CutValue(s.field().bytes, max_value_bytes);
        if (s.field().number == kScopeName) SetLabel(&labels, "otel_scope_name", value);
        if (s.field().number == kScopeVersion) SetLabel(&labels, "otel_scope_version", value);
      }
    }
  }
  return EncodeLabels(std::move(labels));
}

}  // namespace braid::correlate
