#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "correlate/model/batch.h"
#include "correlate/model/exposition.h"

// How what OTLP says about a point (its attributes, its scope, its resource) becomes Prometheus labels. All
// of these are functions of their arguments; the bytes they read have been validated by decode.
namespace braid::correlate {

struct Attribute {
  std::string key;    // as sent
  std::string value;  // as AppendAnyValue has it, cut
};
Attribute ReadAttribute(std::string_view key_value, size_t max_value_bytes);

using NameValue = std::pair<std::string, std::string>;

// Attributes under their label names. Of one key the last value counts; values of keys that become the same
// name are joined by ';' in the order of the keys, as the specification says. `from_prometheus`: keys that
// are label names already stay what they are.
std::vector<NameValue> ToLabels(const std::vector<Attribute>& attributes, bool from_prometheus = false);

// Gives label `name` this value, unless it is empty.
void SetLabel(std::vector<NameValue>* labels, std::string_view name, std::string_view value);

// One string for a whole label set, sorted by name, so that equal sets are equal bytes. DecodeLabels' views
// are into `encoded`.
std::string EncodeLabels(std::vector<NameValue> labels);
void DecodeLabels(std::string_view encoded, std::vector<Label>* out);

// What a resource says about all of its metrics.
struct Target {
  std::string job;
  std::string instance;
  std::vector<Attribute> rest;
};
Target ReadTarget(const Batch& batch, uint32_t resource, size_t max_value_bytes);

// The encoded labels of a point of `item` with these attributes (each an OTLP KeyValue).
std::string PointLabels(const Batch& batch, const Item& item, std::span<const std::string_view> attributes,
                        MetricType type, bool from_prometheus, size_t max_value_bytes);

}  // namespace braid::correlate
