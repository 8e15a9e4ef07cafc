#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "correlate/model/chunk.h"

namespace braid::exporters {

// JSON out of OTLP wire bytes, for people, files and dead letters. Input is what decode has let in: valid
// wire format with valid UTF-8; anything else is left out, never read beyond its end.

// `text` in quotes, escaped (RFC 8259).
void AppendJsonString(std::string_view text, std::string* out);

// Shortest form that reads back the same; NaN and infinities as "NaN", "Infinity", "-Infinity" in quotes.
void AppendJsonDouble(double value, std::string* out);

// Standard base64 with padding (RFC 4648).
void AppendBase64(std::string_view bytes, std::string* out);

// A serialised AnyValue as the JSON value it stands for: {"a":1,"b":[true,"x"]}; bytes as base64, nothing as
// null.
void AppendAnyValue(std::string_view any_value, std::string* out);

// The same without quotes around a string, for formats whose values are text.
void AppendAnyValueText(std::string_view any_value, std::string* out);

// If it is a string: that string, pointing into `any_value`, and true.
bool AnyValueString(std::string_view any_value, std::string_view* text);

// The items [first, first + count) as one Export*ServiceRequest in OTLP's JSON (hex IDs, lowerCamelCase,
// enums as numbers, 64-bit integers as strings), without a newline. `request` is the serialised request, from
// EncodeOtlp() or Chunk::bytes.
void AppendOtlpJson(Signal signal, std::string_view request, std::string* out);

// One object and a newline for each of the items [first, first + count): flat, with names for people.
void AppendJsonLines(const Chunk& chunk, uint32_t first, uint32_t count, std::string* out);

}  // namespace braid::exporters
