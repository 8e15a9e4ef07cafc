#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace braid::correlate {

// An OTLP AnyValue as a label value (OpenTelemetry specification, "AttributeValue" to string): scalars
// plainly, arrays and maps as JSON, bytes in base64. Nesting is bounded by what decode lets through (32
// levels).
void AppendAnyValue(std::string* out, std::string_view any_value);

// A double or an integer as a number, and text that is one in decimal notation; nothing of anything else.
std::optional<double> NumberOfAnyValue(std::string_view any_value);

// The first `max` bytes, less what is left of a character that would be cut.
std::string_view CutToCharacter(std::string_view text, size_t max);

// Field by field of opentelemetry-proto common.proto KeyValue; the last occurrence counts.
struct KeyValueView {
  std::string_view key;
  std::string_view any_value;
};
KeyValueView ReadKeyValue(std::string_view message);

}  // namespace braid::correlate
