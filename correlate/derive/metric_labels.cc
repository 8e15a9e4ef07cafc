#include "correlate/derive/metric_labels.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "base/wire.h"
#include "correlate/derive/any_value.h"
#include "correlate/derive/metric_names.h"

namespace braid::correlate {
namespace {

// Field numbers of opentelemetry/proto/{resource,metrics}/v1.
constexpr uint32_t kResourceMetricsResource = 1, kResourceAttributes = 1;
constexpr uint32_t kScopeMetricsScope = 1, kScopeName = 1, kScopeVersion = 2;

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

Attribute ReadAttribute(std::string_view key_value, size_t max_value_bytes) {
  const KeyValueView read = ReadKeyValue(key_value);
  Attribute attribute{std::string(read.key), {}};
  AppendAnyValue(&attribute.value, read.any_value);
  attribute.value.resize(CutToCharacter(attribute.value, max_value_bytes).size());
  return attribute;
}

std::vector<NameValue> ToLabels(const std::vector<Attribute>& attributes, bool from_prometheus) {
  struct Named {
    std::string name;
    size_t index;
  };
  std::vector<Named> named;
  for (size_t i = 0; i < attributes.size(); ++i) {
    std::string name = PrometheusLabelName(attributes[i].key);
    // "_x" would be "key_x" by the rules for OpenTelemetry's keys.
    if (from_prometheus && name == "key" + attributes[i].key) name = attributes[i].key;
    named.push_back({std::move(name), i});
  }
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
                        MetricType type, bool from_prometheus, size_t max_value_bytes) {
  std::vector<Attribute> attributes;
  for (const std::string_view attribute : from) {
    attributes.push_back(ReadAttribute(attribute, max_value_bytes));
  }
  std::vector<NameValue> labels = ToLabels(attributes, from_prometheus);
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
        const std::string_view value = CutToCharacter(s.field().bytes, max_value_bytes);
        if (s.field().number == kScopeName) SetLabel(&labels, "otel_scope_name", value);
        if (s.field().number == kScopeVersion) SetLabel(&labels, "otel_scope_version", value);
      }
    }
  }
  return EncodeLabels(std::move(labels));
}

}  // namespace braid::correlate
