#include "ingest/decode/filter.h"

#include <re2/re2.h>

#include <bit>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

#include "base/wire.h"
#include "ingest/decode/schema.h"

namespace braid::ingest {
namespace {

using wire::Cursor;
using wire::Type;

// Attributes nested deeper than protobuf would follow are left as they are; Decode() turns such items away.
constexpr int kMaxDepth = 100;

re2::StringPiece Piece(std::string_view text) { return {text.data(), text.size()}; }

Result<std::unique_ptr<RE2>> Compile(const std::string& rule, std::string_view what,
                                     const std::string& pattern) {
  auto compiled = std::make_unique<RE2>(pattern, RE2::Quiet);
  if (!compiled->ok()) {
    return InvalidArgument("filter '" + rule + "': " + std::string(what) + ": " + compiled->error());
  }
  return compiled;
}

bool IsBytes(const wire::Field& field, uint32_t number) {
  return field.number == number && field.type == Type::kBytes;
}

// The text of an AnyValue's scalar; nothing for lists, maps, bytes and the empty value.
std::optional<std::string> ScalarText(std::string_view value, std::optional<std::string> text = {}) {
  for (Cursor cursor(value); cursor.Next();) {
    const wire::Field& field = cursor.field();
    if (IsBytes(field, 1)) {
      text = std::string(field.bytes);
    } else if (field.number == 2 && field.type == Type::kVarint) {
      text = field.scalar != 0 ? "true" : "false";
    } else if (field.number == 3 && field.type == Type::kVarint) {
      text = std::to_string(static_cast<int64_t>(field.scalar));
    } else if (field.number == 4 && field.type == Type::kFixed64) {
      char buffer[32];
      const auto end = std::to_chars(buffer, buffer + sizeof buffer, std::bit_cast<double>(field.scalar));
      text = std::string(buffer, end.ptr);
    } else if (field.type == Type::kBytes && field.number >= 5 && field.number <= 7) {
      text.reset();
    }
  }
  return text;
}

std::string_view KeyOf(std::string_view key_value) {
  std::string_view key;
  for (Cursor cursor(key_value); cursor.Next();) {
    if (IsBytes(cursor.field(), 1)) key = cursor.field().bytes;
  }
  return key;
}

// Whether an attribute of the message (in its field `number`) has this key and a value in which `pattern`
// finds something.
bool AttributeMatches(std::string_view message, uint32_t number, std::string_view key, const RE2& pattern) {
  for (Cursor cursor(message); cursor.Next();) {
    if (!IsBytes(cursor.field(), number) || KeyOf(cursor.field().bytes) != key) continue;
    std::optional<std::string> text;
    for (Cursor member(cursor.field().bytes); member.Next();) {
      if (IsBytes(member.field(), 2)) text = ScalarText(member.field().bytes, std::move(text));
    }
    if (text && RE2::PartialMatch(*text, pattern)) return true;
  }
  return false;
}

void AppendBytesField(uint32_t number, std::string_view bytes, std::string* out) {
  wire::Writer(out).Bytes(number, bytes);
}

uint64_t CountPoints(std::string_view metric) {
  uint64_t points = 0;
  uint32_t member = 0;
  for (Cursor cursor(metric); cursor.Next();) {
    const wire::Field& field = cursor.field();
    if (field.type != Type::kBytes) continue;
    if (field.number != 5 && field.number != 7 && (field.number < 9 || field.number > 11)) continue;
    if (field.number != member) points = 0;
    member = field.number;
    for (Cursor data(field.bytes); data.Next();) points += IsBytes(data.field(), 1) ? 1 : 0;
  }
  return points;
}

// Whether the message is well framed, one level deep.
bool Framed(std::string_view message) {
  Cursor cursor(message);
  while (cursor.Next()) {
  }
  return cursor.ok();
}

}  // namespace

struct Filter::Compiled {
  struct Test {
    Condition::Field field;
    std::string key;
    std::unique_ptr<RE2> pattern;
  };

  std::string name;
  std::array<bool, kSignals> signals{};
  std::vector<Test> tests;
  Rule::Action action = Rule::Action::kDrop;
  std::unique_ptr<RE2> key;
  std::unique_ptr<RE2> pattern;  // null: the whole value
  std::string replacement;
  bool by_item = false;  // some test looks at the item
  mutable std::array<std::atomic<uint64_t>, kSignals> items{};
};

Filter::Filter() = default;
Filter::~Filter() = default;

Result<std::shared_ptr<const Filter>> Filter::Create(std::vector<Rule> rules) {
  std::shared_ptr<Filter> filter(new Filter);
  for (Rule& rule : rules) {
    auto compiled = std::make_unique<Compiled>();
    for (Condition& condition : rule.conditions) {
      Result<std::unique_ptr<RE2>> pattern = Compile(rule.name, "condition", condition.pattern);
      if (!pattern.ok()) return pattern.status();
      compiled->by_item |= condition.field != Condition::Field::kResource;
      compiled->tests.push_back({condition.field, std::move(condition.key), std::move(*pattern)});
    }
    if (rule.action != Rule::Action::kDrop) {
      Result<std::unique_ptr<RE2>> key = Compile(rule.name, "key", rule.key);
      if (!key.ok()) return key.status();
      compiled->key = std::move(*key);
    }
    if (rule.action == Rule::Action::kRedact && !rule.pattern.empty()) {
      Result<std::unique_ptr<RE2>> pattern = Compile(rule.name, "pattern", rule.pattern);
      if (!pattern.ok()) return pattern.status();
      std::string error;
      if (!(*pattern)->CheckRewriteString(Piece(rule.replacement), &error)) {
        return InvalidArgument("filter '" + rule.name + "': replacement: " + error);
      }
      compiled->pattern = std::move(*pattern);
    }
    compiled->name = std::move(rule.name);
    compiled->signals = rule.signals;
    compiled->action = rule.action;
    compiled->replacement = std::move(rule.replacement);
    for (size_t i = 0; i < filter->concerns_.size(); ++i) filter->concerns_[i] |= rule.signals[i];
    filter->rules_.push_back(std::move(compiled));
  }
  return std::shared_ptr<const Filter>(std::move(filter));
}

// One request. First every item is judged and changed items are kept aside; then, if there was any change,
// the request is written anew.
class Filter::Pass {
 public:
  Pass(const Filter& filter, Signal signal) : filter_(filter), signal_(signal) {
    outcome_.hits.resize(filter.rules_.size());
    item_schema_ = RequestSchema(signal).fields[0].message->Find(2)->message->Find(2)->message;
  }

  // False if the framing is broken.
  bool Judge(std::string_view request) {
    Cursor homes(request);
    while (homes.Next()) {
      if (!IsBytes(homes.field(), 1)) continue;
      growth_ += 4;  // Its length will take four bytes.
      if (!JudgeHome(homes.field().bytes)) return false;
    }
    return homes.ok();
  }

  bool changed() const { return changed_; }

  // At most this much longer than the request.
  size_t growth() const { return growth_; }

  void Write(std::string_view request, Slab* out) {
    out_ = out;
    next_ = 0;
    for (Cursor homes(request); homes.Next();) {
      if (!IsBytes(homes.field(), 1)) {
        out_->Append(Raw(homes.field()));
        continue;
      }
      const size_t home = Begin(1);
      for (Cursor fields(homes.field().bytes); fields.Next();) {
        if (IsBytes(fields.field(), 1)) {
          WriteJudged(fields.field());
        } else if (IsBytes(fields.field(), 2)) {
          const size_t group = Begin(2);
          for (Cursor items(fields.field().bytes); items.Next();) {
            if (IsBytes(items.field(), 1) || IsBytes(items.field(), 2)) {
              WriteJudged(items.field());
            } else {
              out_->Append(Raw(items.field()));
            }
          }
          End(group);
        } else {
          out_->Append(Raw(fields.field()));
        }
      }
      End(home);
    }
  }

  Outcome outcome_;

 private:
  // The verdict on one resource, scope or item, in wire order.
  struct Verdict {
    enum class Kind : uint8_t { kKeep, kDrop, kReplace } kind = Kind::kKeep;
    std::string bytes = {};  // kReplace
  };

  static std::string_view Raw(const wire::Field& field) {
    return {field.begin, static_cast<size_t>(field.end - field.begin)};
  }

  bool Concerned(const Compiled& rule) const { return rule.signals[static_cast<size_t>(signal_)]; }

  bool JudgeHome(std::string_view home) {
    if (!Framed(home)) return false;
    resources_.clear();
    for (Cursor fields(home); fields.Next();) {
      if (IsBytes(fields.field(), 1)) resources_.push_back(fields.field().bytes);
    }
    for (Cursor fields(home); fields.Next();) {
      if (IsBytes(fields.field(), 1)) {
        if (!JudgeShared(*RequestSchema(signal_).fields[0].message->Find(1)->message, fields.field().bytes))
          return false;
      } else if (IsBytes(fields.field(), 2)) {
        growth_ += 4;
        Cursor items(fields.field().bytes);
        while (items.Next()) {
          if (IsBytes(items.field(), 1)) {
            const MessageSchema& group = *RequestSchema(signal_).fields[0].message->Find(2)->message;
            if (!JudgeShared(*group.Find(1)->message, items.field().bytes)) return false;
          } else if (IsBytes(items.field(), 2)) {
            if (!JudgeItem(items.field().bytes)) return false;
          }
        }
        if (!items.ok()) return false;
      }
    }
    return true;
  }

  // A resource or scope.
  bool JudgeShared(const MessageSchema& schema, std::string_view bytes) {
    if (!Framed(bytes)) return false;
    Verdict verdict;
    std::string_view now = bytes;
    for (const auto& rule : filter_.rules_) {
      if (!Concerned(*rule) || rule->by_item || rule->action == Rule::Action::kDrop || !Holds(*rule, {}))
        continue;
      Change(*rule, schema, &now, &verdict);
    }
    Add(bytes, std::move(verdict));
    return true;
  }

  bool JudgeItem(std::string_view bytes) {
    if (!Framed(bytes)) return false;
    Verdict verdict;
    std::string_view now = bytes;
    for (size_t i = 0; i < filter_.rules_.size(); ++i) {
      const Compiled& rule = *filter_.rules_[i];
      if (!Concerned(rule) || !Holds(rule, now)) continue;
      const uint64_t count = signal_ == Signal::kMetrics ? CountPoints(bytes) : 1;
      if (rule.action == Rule::Action::kDrop) {
        verdict = {.kind = Verdict::Kind::kDrop};
        outcome_.hits[i] += count;
        outcome_.dropped += count;
        break;
      }
      if (Change(rule, *item_schema_, &now, &verdict)) outcome_.hits[i] += count;
    }
    Add(bytes, std::move(verdict));
    return true;
  }

  void Add(std::string_view bytes, Verdict verdict) {
    if (verdict.kind != Verdict::Kind::kKeep) changed_ = true;
    // Tags and lengths are written anew: up to 5 bytes for the length.
    growth_ += 6;
    if (verdict.bytes.size() > bytes.size()) growth_ += verdict.bytes.size() - bytes.size();
    verdicts_.push_back(std::move(verdict));
  }

  bool Holds(const Compiled& rule, std::string_view item) const {
    for (const Compiled::Test& test : rule.tests) {
      if (!Holds(test, item)) return false;
    }
    return true;
  }

  bool Holds(const Compiled::Test& test, std::string_view item) const {
    switch (test.field) {
      case Condition::Field::kResource:
        for (const std::string_view resource : resources_) {
          if (AttributeMatches(resource, 1, test.key, *test.pattern)) return true;
        }
        return false;
      case Condition::Field::kAttribute:
        if (signal_ == Signal::kMetrics) return false;
        return AttributeMatches(item, signal_ == Signal::kTraces ? 9 : 6, test.key, *test.pattern);
      case Condition::Field::kSpanName:
        return signal_ == Signal::kTraces && NameMatches(item, 5, *test.pattern);
      case Condition::Field::kMetricName:
        return signal_ == Signal::kMetrics && NameMatches(item, 1, *test.pattern);
      case Condition::Field::kLogBody: {
        if (signal_ != Signal::kLogs) return false;
        std::optional<std::string> text;
        for (Cursor cursor(item); cursor.Next();) {
          if (IsBytes(cursor.field(), 5)) text = ScalarText(cursor.field().bytes, std::move(text));
        }
        return text && RE2::PartialMatch(*text, *test.pattern);
      }
    }
    return false;
  }

  static bool NameMatches(std::string_view item, uint32_t number, const RE2& pattern) {
    std::string_view name;
    for (Cursor cursor(item); cursor.Next();) {
      if (IsBytes(cursor.field(), number)) name = cursor.field().bytes;
    }
    return RE2::PartialMatch(Piece(name), pattern);
  }

  // Redacts or removes in `*now`; if that changed anything, `*now` becomes the result, held by `verdict`.
  static bool Change(const Compiled& rule, const MessageSchema& schema, std::string_view* now,
                     Verdict* verdict) {
    std::string out;
    if (!Rewrite(rule, schema, *now, 0, &out)) return false;
    verdict->kind = Verdict::Kind::kReplace;
    verdict->bytes = std::move(out);
    *now = verdict->bytes;
    return true;
  }

  // Appends the message to `out` with its attributes changed. False if nothing was.
  static bool Rewrite(const Compiled& rule, const MessageSchema& schema, std::string_view bytes, int depth,
                      std::string* out) {
    bool changed = false;
    for (Cursor cursor(bytes); cursor.Next();) {
      const wire::Field& field = cursor.field();
      const FieldSchema* known = field.type == Type::kBytes ? schema.Find(field.number) : nullptr;
      if (known == nullptr || known->kind != FieldKind::kMessage || depth >= kMaxDepth) {
        out->append(Raw(field));
        continue;
      }
      if (known->message->name == "KeyValue" && RE2::FullMatch(Piece(KeyOf(field.bytes)), *rule.key)) {
        changed |= RewriteAttribute(rule, field, out);
        continue;
      }
      std::string inner;
      if (Rewrite(rule, *known->message, field.bytes, depth + 1, &inner)) {
        AppendBytesField(field.number, inner, out);
        changed = true;
      } else {
        out->append(Raw(field));
      }
    }
    return changed;
  }

  // An attribute whose key the rule names.
  static bool RewriteAttribute(const Compiled& rule, const wire::Field& field, std::string* out) {
    if (rule.action == Rule::Action::kRemove) return true;
    std::string attribute;
    if (rule.pattern == nullptr) {
      std::string value;
      AppendBytesField(1, rule.replacement, &value);
      AppendBytesField(1, KeyOf(field.bytes), &attribute);
      AppendBytesField(2, value, &attribute);
    } else {
      bool found = false;
      for (Cursor cursor(field.bytes); cursor.Next();) {
        std::string value;
        if (IsBytes(cursor.field(), 2) && Redact(rule, cursor.field().bytes, 0, &value)) {
          AppendBytesField(2, value, &attribute);
          found = true;
        } else {
          attribute.append(Raw(cursor.field()));
        }
      }
      if (!found) {
        out->append(Raw(field));
        return false;
      }
    }
    AppendBytesField(field.number, attribute, out);
    return true;
  }

  // Replaces what the pattern finds in any string of an AnyValue, lists and maps included.
  static bool Redact(const Compiled& rule, std::string_view any_value, int depth, std::string* out) {
    bool changed = false;
    for (Cursor cursor(any_value); cursor.Next();) {
      const wire::Field& field = cursor.field();
      if (IsBytes(field, 1)) {
        std::string text(field.bytes);
        if (RE2::GlobalReplace(&text, *rule.pattern, Piece(rule.replacement)) > 0 && text != field.bytes) {
          AppendBytesField(1, text, out);
          changed = true;
          continue;
        }
      } else if ((IsBytes(field, 5) || IsBytes(field, 6)) && depth < kMaxDepth) {
        std::string inner;
        bool inner_changed = false;
        for (Cursor elements(field.bytes); elements.Next();) {
          std::string element;
          if (IsBytes(elements.field(), 1) &&
              (field.number == 5 ? Redact(rule, elements.field().bytes, depth + 1, &element)
                                 : RedactMember(rule, elements.field().bytes, depth + 1, &element))) {
            AppendBytesField(1, element, &inner);
            inner_changed = true;
          } else {
            inner.append(Raw(elements.field()));
          }
        }
        if (inner_changed) {
          AppendBytesField(field.number, inner, out);
          changed = true;
          continue;
        }
      }
      out->append(Raw(field));
    }
    return changed;
  }

  static bool RedactMember(const Compiled& rule, std::string_view key_value, int depth, std::string* out) {
    bool changed = false;
    for (Cursor cursor(key_value); cursor.Next();) {
      std::string value;
      if (IsBytes(cursor.field(), 2) && Redact(rule, cursor.field().bytes, depth, &value)) {
        AppendBytesField(2, value, out);
        changed = true;
      } else {
        out->append(Raw(cursor.field()));
      }
    }
    return changed;
  }

  void WriteJudged(const wire::Field& field) {
    const Verdict& verdict = verdicts_[next_++];
    switch (verdict.kind) {
      case Verdict::Kind::kKeep: out_->Append(Raw(field)); break;
      case Verdict::Kind::kDrop: break;
      case Verdict::Kind::kReplace: {
        char head[16];
        char* p = wire::WriteVarint(wire::Tag(field.number, Type::kBytes), head);
        p = wire::WriteVarint(verdict.bytes.size(), p);
        out_->Append({head, static_cast<size_t>(p - head)});
        out_->Append(verdict.bytes);
        break;
      }
    }
  }

  size_t Begin(uint32_t number) {
    char head[5] = {static_cast<char>(wire::Tag(number, Type::kBytes)), 0, 0, 0, 0};
    out_->Append({head, sizeof head});
    return out_->size();
  }
  void End(size_t at) { wire::WritePadded4(static_cast<uint32_t>(out_->size() - at), out_->data() + at - 4); }

  const Filter& filter_;
  const Signal signal_;
  const MessageSchema* item_schema_;
  std::vector<std::string_view> resources_;
  std::vector<Verdict> verdicts_;
  bool changed_ = false;
  size_t growth_ = 64;
  Slab* out_ = nullptr;
  size_t next_ = 0;
};

Result<Filter::Outcome> Filter::Apply(Signal signal, const Slab& body, SlabPool& slabs) const {
  Pass pass(*this, signal);
  if (!pass.Judge(body.view())) return Outcome{.hits = std::vector<uint64_t>(rules_.size())};
  if (pass.changed()) {
    const size_t bound = body.size() + pass.growth();
    if (bound >= size_t{1} << 28) return ResourceExhausted("a filtered request is larger than 256 MiB");
    Slab out = slabs.Take(bound);
    if (!out) return Unavailable("no memory for a filtered request");
    pass.Write(body.view(), &out);
    pass.outcome_.body = std::move(out);
  }
  return std::move(pass.outcome_);
}

void Filter::Count(Signal signal, const Outcome& outcome) const {
  for (size_t i = 0; i < rules_.size(); ++i) {
    if (outcome.hits[i] == 0) continue;
    rules_[i]->items[static_cast<size_t>(signal)].fetch_add(outcome.hits[i], std::memory_order_relaxed);
  }
}

std::vector<Filter::RuleCount> Filter::Counts() const {
  std::vector<RuleCount> counts;
  for (const auto& rule : rules_) {
    for (size_t i = 0; i < kSignals; ++i) {
      if (!rule->signals[i]) continue;
      counts.push_back({.rule = rule->name,
                        .action = rule->action,
                        .signal = static_cast<Signal>(i),
                        .items = rule->items[i].load(std::memory_order_relaxed)});
    }
  }
  return counts;
}

}  // namespace braid::ingest
