#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/slab.h"
#include "base/status.h"
#include "correlate/model/signal.h"

namespace braid::ingest {

// The operator's rules that drop items (health checks) or take data out of them (personal data), before
// anything else sees them. Rules run in order on each item; what a rule has changed, the next one sees.
//
// A rule applies to an item when all its conditions hold; without conditions, to every item of its signals.
// Conditions on the resource look at the resource as it came. Numbers and booleans match by their usual text,
// lists and maps never. A condition on a span's name holds for spans only, and so on; `attribute` is a span's
// or log's own attribute and never holds for metrics, whose points would differ.
//
// Redaction and removal reach every attribute that the item carries: its own, those of events, links, data
// points and exemplars, and keys of maps inside values and log bodies. Rules without conditions on the item
// reach the resource's and the scope's attributes as well. A redaction without pattern replaces a value of
// any type; with one, what it finds in strings.
//
// Thread rule: immutable but for its counters; any thread.
// Cost: none for signals without a rule; else one more walk over the request, and a copy of it only if a rule
// changed something.
class Filter {
 public:
  struct Condition {
    enum class Field : uint8_t { kAttribute, kResource, kSpanName, kLogBody, kMetricName };

    Field field = Field::kAttribute;
    std::string key = {};      // kAttribute, kResource: the attribute's key, literally
    std::string pattern = {};  // RE2, found anywhere in the text
  };

  struct Rule {
    enum class Action : uint8_t { kDrop, kRedact, kRemove };

    std::string name = {};
    std::array<bool, kSignals> signals{true, true, true};
    std::vector<Condition> conditions = {};
    Action action = Action::kDrop;
    std::string key = {};                    // kRedact, kRemove: RE2 for the whole attribute key
    std::string pattern = {};                // kRedact: RE2 for what is replaced; empty: the whole value
    std::string replacement = "[REDACTED]";  // with a pattern, \1 to \9 are its groups
  };

  // What became of one request.
  struct Outcome {
    // The rewritten request; false if no rule changed anything.
    Slab body = {};
    // Dropped items, as the account counts.
    uint64_t dropped = 0;
    // Items dropped or changed, by rule; resources and scopes do not count.
    std::vector<uint64_t> hits = {};
  };

  // kInvalidArgument names the rule and what is wrong with its expression.
  static Result<std::shared_ptr<const Filter>> Create(std::vector<Rule> rules);
  ~Filter();

  // Whether any rule concerns the signal.
  bool Concerns(Signal signal) const { return concerns_[static_cast<size_t>(signal)]; }

  // kUnavailable: no memory for the rewritten request; kResourceExhausted: it would exceed 256 MiB. A request
  // whose framing is broken is left alone, for Decode() to refuse; what is inside a dropped item is not
  // looked at.
  Result<Outcome> Apply(Signal signal, const Slab& body, SlabPool& slabs) const;

  // Adds an outcome to the counters. Separate from Apply(), because a request may yet turn out malformed.
  void Count(Signal signal, const Outcome& outcome) const;

  // For self-telemetry: items dropped or changed by a rule since the start, in the rules' order.
  struct RuleCount {
    std::string_view rule;  // lives as long as the Filter
    Rule::Action action;
    Signal signal;
    uint64_t items;
  };
  std::vector<RuleCount> Counts() const;

 private:
  struct Compiled;
  class Pass;

  Filter();

  std::vector<std::unique_ptr<Compiled>> rules_;
  std::array<bool, kSignals> concerns_{};
};

}  // namespace braid::ingest
