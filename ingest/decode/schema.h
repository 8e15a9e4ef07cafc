#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "correlate/model/signal.h"

// What OTLP's messages look like (opentelemetry-proto 1.x), as tables: for error locations, JSON and filter
// rules. The visitor has the same knowledge as code; the differential tests hold both against generated
// protobuf.

namespace braid::ingest {

enum class FieldKind : uint8_t {
  kBool,
  kInt64,
  kUint32,
  kUint64,
  kSint32,
  kFixed32,
  kFixed64,
  kSfixed64,
  kDouble,
  kEnum,
  kString,
  kBytes,
  kTraceId,  // bytes, in JSON hex
  kSpanId,
  kMessage,
};

struct MessageSchema;

struct EnumValue {
  std::string_view name;
  int32_t number;
};

struct FieldSchema {
  uint32_t number;
  FieldKind kind;
  bool repeated;
  std::string_view name;  // as in the .proto file
  std::string_view json;  // lowerCamelCase
  const MessageSchema* message = nullptr;
  std::span<const EnumValue> values = {};
  bool presence = false;  // of a oneof or optional: written even when it is the default
};

struct MessageSchema {
  std::string_view name;
  std::span<const FieldSchema> fields;  // by number

  const FieldSchema* Find(uint32_t number) const {
    for (const FieldSchema& field : fields) {
      if (field.number == number) return &field;
    }
    return nullptr;
  }
};

// Export{Trace,Logs,Metrics}ServiceRequest.
const MessageSchema& RequestSchema(Signal signal);

// The wire type a field has when it is not packed.
constexpr uint32_t WireType(FieldKind kind) {
  switch (kind) {
    case FieldKind::kBool:
    case FieldKind::kInt64:
    case FieldKind::kUint32:
    case FieldKind::kUint64:
    case FieldKind::kSint32:
    case FieldKind::kEnum: return 0;
    case FieldKind::kFixed64:
    case FieldKind::kSfixed64:
    case FieldKind::kDouble: return 1;
    case FieldKind::kString:
    case FieldKind::kBytes:
    case FieldKind::kTraceId:
    case FieldKind::kSpanId:
    case FieldKind::kMessage: return 2;
    case FieldKind::kFixed32: return 5;
  }
  return 0;
}

}  // namespace braid::ingest
