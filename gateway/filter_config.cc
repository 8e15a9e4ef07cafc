#include "gateway/filter_config.h"

#include <utility>

namespace braid::gateway {
namespace {

ingest::Filter::Condition::Field FieldOf(config::FilterMatch::Field field) {
  using To = ingest::Filter::Condition::Field;
  switch (field) {
    case config::FilterMatch::Field::kAttribute: return To::kAttribute;
    case config::FilterMatch::Field::kResource: return To::kResource;
    case config::FilterMatch::Field::kSpanName: return To::kSpanName;
    case config::FilterMatch::Field::kLogBody: return To::kLogBody;
    case config::FilterMatch::Field::kMetricName: return To::kMetricName;
  }
  return To::kAttribute;
}

ingest::Filter::Rule::Action ActionOf(config::FilterRule::Action action) {
  using To = ingest::Filter::Rule::Action;
  switch (action) {
    case config::FilterRule::Action::kDrop: return To::kDrop;
    case config::FilterRule::Action::kRedact: return To::kRedact;
    case config::FilterRule::Action::kRemove: return To::kRemove;
  }
  return To::kDrop;
}

}  // namespace

Result<std::shared_ptr<const ingest::Filter>> FilterOf(const std::vector<config::FilterRule>& rules) {
  if (rules.empty()) return std::shared_ptr<const ingest::Filter>();
  std::vector<ingest::Filter::Rule> compiled;
  for (const config::FilterRule& rule : rules) {
    ingest::Filter::Rule out;
    out.name = rule.name;
    out.signals = {rule.signals.traces, rule.signals.logs, rule.signals.metrics};
    for (const config::FilterMatch& match : rule.match) {
      out.conditions.push_back({FieldOf(match.field), match.key, match.pattern});
    }
    out.action = ActionOf(rule.action);
    out.key = rule.key;
    out.pattern = rule.pattern;
    out.replacement = rule.replacement;
    compiled.push_back(std::move(out));
  }
  return ingest::Filter::Create(std::move(compiled));
}

}  // namespace braid::gateway
