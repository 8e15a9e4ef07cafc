#include "ingest/decode/explain.h"

#include <simdjson.h>

#include <array>
#include <vector>

#include "ingest/decode/schema.h"

namespace braid::ingest {
namespace {

// As deep as wire::Cursor follows groups.
constexpr int kMaxGroupDepth = 31;

class Explainer {
 public:
  Explainer(std::string_view request, int recursion_limit)
      : begin_(request.data()), end_(request.data() + request.size()), recursion_limit_(recursion_limit) {}

  std::string Framing(const MessageSchema& schema) {
    framing_only_ = true;
    if (Walk(schema, begin_, end_, recursion_limit_) == Outcome::kOk) return {};
    return message_;
  }

  std::string Place(const MessageSchema& schema, size_t offset) {
    if (begin_ == nullptr) return found_;  // A view of nothing has no place in it.
    framing_only_ = true;
    target_ = begin_ + offset;
    static_cast<void>(Walk(schema, begin_, end_, recursion_limit_));
    return found_;
  }

  std::string Item(const MessageSchema& schema, size_t offset) {
    target_ = begin_ + offset;
    if (Walk(schema, begin_, end_, recursion_limit_) != Outcome::kOk) return message_;
    return found_.empty() ? "malformed" : found_;
  }

 private:
  enum class Outcome { kOk, kFault, kTooDeep };

  struct Step {
    std::string_view name;
    int index;  // -1: not repeated
  };

  Outcome Fault(std::string_view what, Outcome outcome = Outcome::kFault) {
    message_ = Path();
    if (!message_.empty()) message_ += ": ";
    message_ += what;
    return outcome;
  }

  std::string Path() const {
    std::string path;
    for (const Step& step : path_) {
      if (!path.empty()) path += '.';
      path += step.name;
      if (step.index >= 0) path += '[' + std::to_string(step.index) + ']';
    }
    return path;
  }

  const char* Varint(const char* p, const char* end, int most, uint64_t* value) {
    uint64_t result = 0;
    for (int i = 0; i < most && p < end; ++i) {
      const uint64_t byte = static_cast<uint8_t>(*p++);
      result |= (byte & 0x7f) << (7 * i);
      if (byte < 0x80) {
        *value = result;
        return p;
      }
    }
    return nullptr;
  }

  Outcome SkipGroup(const char** p, const char* end, uint64_t number, int depth, int groups) {
    if (depth <= 0 || groups >= kMaxGroupDepth) return Fault("nested too deep", Outcome::kTooDeep);
    while (*p < end) {
      uint64_t tag;
      *p = Varint(*p, end, 5, &tag);
      if (*p == nullptr || tag >> 32 != 0) return Fault("a tag in a group is longer than 5 bytes or cut off");
      if ((tag & 7) == 4) {
        return tag >> 3 == number ? Outcome::kOk : Fault("the end of a group does not match its start");
      }
      if (const Outcome outcome = SkipValue(p, end, tag, depth - 1, groups + 1); outcome != Outcome::kOk) {
        return outcome;
      }
    }
    return Fault("a group has no end");
  }

  Outcome SkipValue(const char** p, const char* end, uint64_t tag, int depth, int groups) {
    if (tag >> 3 == 0) return Fault("field number 0");
    uint64_t value;
    switch (tag & 7) {
      case 0:
        *p = Varint(*p, end, 10, &value);
        return *p != nullptr ? Outcome::kOk : Fault("varint is cut off or longer than 10 bytes");
      case 1:
        if (end - *p < 8) return Fault("8-byte number is cut off");
        *p += 8;
        return Outcome::kOk;
      case 2:
        *p = Varint(*p, end, 5, &value);
        if (*p == nullptr) return Fault("length is cut off or longer than 5 bytes");
        if (value > static_cast<uint64_t>(end - *p)) return Fault("length runs past its message");
        *p += value;
        return Outcome::kOk;
      case 3: return SkipGroup(p, end, tag >> 3, depth, groups);
      case 4: return Fault("end of a group that was not started");
      case 5:
        if (end - *p < 4) return Fault("4-byte number is cut off");
        *p += 4;
        return Outcome::kOk;
      default: return Fault("wire type " + std::to_string(tag & 7) + " does not exist");
    }
  }

  // Whether what is too deep inside costs only this message or its group.
  static bool Contains(const MessageSchema& schema) {
    return schema.name == "Span" || schema.name == "LogRecord" || schema.name == "Metric" ||
           schema.name == "Resource" || schema.name == "InstrumentationScope";
  }

  // Faults other than of framing matter: inside the target only.
  bool Inside() const { return !framing_only_ && inside_; }

  Outcome Walk(const MessageSchema& schema, const char* p, const char* end, int depth) {
    std::array<int, 17> seen{};
    struct Ids {
      bool trace = false, span = false, parent = true;
    } ids;
    while (p < end) {
      const char* field_begin = p;
      if (target_ != nullptr && !inside_ && field_begin > target_) return Outcome::kOk;
      uint64_t tag;
      p = Varint(p, end, 5, &tag);
      if (p == nullptr || tag >> 32 != 0) return Fault("a tag is longer than 5 bytes or cut off");
      const FieldSchema* field = schema.Find(static_cast<uint32_t>(tag >> 3));
      const bool packed = field != nullptr && field->repeated && WireType(field->kind) < 2 && (tag & 7) == 2;
      if (field == nullptr || (WireType(field->kind) != (tag & 7) && !packed)) {
        if (const Outcome outcome = SkipValue(&p, end, tag, depth, 0); outcome != Outcome::kOk)
          return outcome;
        continue;
      }
      const int index = field->repeated ? seen[field->number]++ : -1;
      path_.push_back({.name = field->name, .index = packed ? -1 : index});
      const bool is_target = field_begin == target_;
      if (is_target) {
        inside_ = true;
        found_ = Path();
      }
      const Outcome outcome =
          Value(schema, *field, packed, &p, end, depth, &ids.trace, &ids.span, &ids.parent);
      if (outcome != Outcome::kOk) return outcome;
      if (is_target) inside_ = false;
      path_.pop_back();
    }
    if (Inside() && schema.name == "Span") {
      if (!ids.trace) return Fault("trace_id is missing, zero or not 16 bytes");
      if (!ids.span) return Fault("span_id is missing, zero or not 8 bytes");
      if (!ids.parent) return Fault("parent_span_id is neither empty nor 8 bytes");
    }
    return Outcome::kOk;
  }

  Outcome Value(const MessageSchema& schema, const FieldSchema& field, bool packed, const char** p,
                const char* end, int depth, bool* trace, bool* span, bool* parent) {
    if (WireType(field.kind) != 2 && !packed) {
      return SkipValue(p, end, uint64_t{field.number} << 3 | WireType(field.kind), depth, 0);
    }
    uint64_t size;
    *p = Varint(*p, end, 5, &size);
    if (*p == nullptr) return Fault("length is cut off or longer than 5 bytes");
    if (size > static_cast<uint64_t>(end - *p)) return Fault("length runs past its message");
    const std::string_view content(*p, size);
    *p += size;
    if (packed) return Packed(field, content);
    switch (field.kind) {
      case FieldKind::kString:
        if (Inside() && !simdjson::validate_utf8(content)) return Fault("not UTF-8");
        return Outcome::kOk;
      case FieldKind::kTraceId:
        if (schema.name == "Span") *trace = size == 16 && content != std::string_view(kZeros, 16);
        return Outcome::kOk;
      case FieldKind::kSpanId:
        if (schema.name == "Span" && field.number == 2)
          *span = size == 8 && content != std::string_view(kZeros, 8);
        if (schema.name == "Span" && field.number == 4) *parent = size == 0 || size == 8;
        return Outcome::kOk;
      case FieldKind::kMessage: {
        if (depth <= 0) return Fault("nested too deep", Outcome::kTooDeep);
        const size_t here = path_.size();
        const char* const inner = content.data();
        const Outcome outcome = Walk(*field.message, inner, inner + size, depth - 1);
        if (outcome == Outcome::kTooDeep && Contains(*field.message) && !Inside()) {
          path_.resize(here);
          return Outcome::kOk;
        }
        return outcome;
      }
      case FieldKind::kBool:
      case FieldKind::kInt64:
      case FieldKind::kUint32:
      case FieldKind::kUint64:
      case FieldKind::kSint32:
      case FieldKind::kFixed32:
      case FieldKind::kFixed64:
      case FieldKind::kSfixed64:
      case FieldKind::kDouble:
      case FieldKind::kEnum:
      case FieldKind::kBytes: return Outcome::kOk;
    }
    return Outcome::kOk;
  }

  Outcome Packed(const FieldSchema& field, std::string_view content) {
    if (WireType(field.kind) == 1) {
      return content.size() % 8 == 0 ? Outcome::kOk : Fault("a packed number is cut off");
    }
    const char* p = content.data();
    while (p < content.data() + content.size()) {
      uint64_t ignored;
      p = Varint(p, content.data() + content.size(), 10, &ignored);
      if (p == nullptr) return Fault("a packed number is cut off or longer than 10 bytes");
    }
    return Outcome::kOk;
  }

  static constexpr char kZeros[17] = {};

  const char* const begin_;
  const char* const end_;
  const int recursion_limit_;
  bool framing_only_ = false;
  const char* target_ = nullptr;
  bool inside_ = false;
  std::string found_;  // the path of the target
  std::vector<Step> path_;
  std::string message_;
};

}  // namespace

std::string ExplainFraming(Signal signal, std::string_view request, int recursion_limit) {
  return Explainer(request, recursion_limit).Framing(RequestSchema(signal));
}

std::string ExplainItem(Signal signal, std::string_view request, int recursion_limit, size_t offset) {
  return Explainer(request, recursion_limit).Item(RequestSchema(signal), offset);
}

std::string PathOf(Signal signal, std::string_view request, size_t offset) {
  return Explainer(request, 100).Place(RequestSchema(signal), offset);
}

}  // namespace braid::ingest
