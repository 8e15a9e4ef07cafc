#include <re2/re2.h>

#include <functional>

#include "gateway/doctor/datasource_checks.h"

namespace braid::gateway::doctor {
namespace {

using config::Node;

constexpr const char* kRaw = "${__value.raw}";

std::string Uid(const DataSource* source) { return source == nullptr ? "UID" : source->uid; }

// Every text below `node`, with its key.
void ForEachText(const Node& node, std::string_view key,
                 const std::function<void(std::string_view, const Node&)>& visit) {
  if (node.scalar()) visit(key, node);
  for (const Node& item : node.items) ForEachText(item, key, visit);
  for (const Node::Member& member : node.members) ForEachText(member.value, member.key, visit);
}

// A variable of Grafana's panels that provisioning would replace, since it has one dollar only; empty: none.
// Real variables of the environment have neither dots nor two leading underscores.
std::string Swallowed(const std::string& text) {
  static const RE2 kVariable(R"((\$\{__[^}]*\}?|\$__[A-Za-z_]+|\$\{[A-Za-z_]+[.:][^}]*\}))");
  static const RE2 kExpander(R"(\$__(env|file|vault)\{.*)");  // provisioning's own
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find("$$", begin), text.size());
    re2::StringPiece part(text.data() + begin, end - begin);
    re2::StringPiece found;
    while (RE2::FindAndConsume(&part, kVariable, &found)) {
      const re2::StringPiece rest(found.data(), static_cast<size_t>(text.data() + end - found.data()));
      if (!RE2::FullMatch(rest, kExpander)) return std::string(found.data(), found.size());
    }
    begin = end + 2;
  }
  return {};
}

std::string DestinationFragment(const std::string& uid) {
  return "    jsonData:\n      exemplarTraceIdDestinations:\n        - name: trace_id\n          "
         "datasourceUid: " +
         uid;
}

std::string DerivedFragment(const std::string& uid) {
  return "    jsonData:\n      derivedFields:\n        - name: TraceID\n          matcherType: label\n"
         "          matcherRegex: '^trace_id$'\n          url: '$${__value.raw}'\n          datasourceUid: " +
         uid + "\n          urlDisplayLabel: View trace";
}

void CheckDestination(DataSources& sources, const DataSource& source, const Node& one) {
  constexpr std::string_view kName = "exemplar_destination";
  const std::string fragment = DestinationFragment(Uid(sources.Traces(source)));
  const Node* name = Member(&one, "name");
  const std::string label = Unescaped(MemberText(&one, "name"));
  if (label != "trace_id") {
    sources.Fail(
        kName, name != nullptr ? name->at : one.at,
        label.empty() ? "the destination has no name" : "Braid's exemplars have no label '" + label + "'",
        "The name is the exemplar's label that holds the trace ID:\n" + fragment);
  }
  const std::string uid = MemberText(&one, "datasourceUid");
  const Node* url = Member(&one, "url");
  if (uid.empty() && url == nullptr) {
    return sources.Fail(kName, one.at, "the destination has neither datasourceUid nor url", fragment);
  }
  if (uid.empty() && Unescaped(url->text).find(kRaw) == std::string::npos) {
    return sources.Fail(kName, url->at, "the url does not hold the trace ID",
                        "Write $${__value.raw} where the ID belongs, such as\n"
                        "          url: 'http://127.0.0.1:9464/api/v1/traces/$${__value.raw}'");
  }
  const DataSource* there = sources.ByUid(uid, source);
  if (there != nullptr && (there->type == "prometheus" || there->type == "loki")) {
    sources.Fail(kName, Member(&one, "datasourceUid")->at,
                 "'" + uid + "' is of type " + there->type + " and shows no traces", fragment);
  }
}

enum class FieldState { kGood, kReported, kOther };

// One derived field; what is not about traces is kOther, and so is a field by regex, which logs may well need
// that have an ID in their line.
FieldState CheckField(DataSources& sources, const DataSource& source, const Node& one) {
  constexpr std::string_view kName = "derived_field";
  const std::string fragment = DerivedFragment(Uid(sources.Traces(source)));
  const std::string uid = MemberText(&one, "datasourceUid");
  const DataSource* there = sources.ByUid(uid, source);
  const std::string regex = Unescaped(MemberText(&one, "matcherRegex"));
  const bool about_traces =
      (there != nullptr && there->IsTraces()) || regex.find("trace") != std::string::npos;
  if (!about_traces || MemberText(&one, "matcherType") != "label") return FieldState::kOther;

  const Node* where = Member(&one, "matcherRegex");
  const RE2 matcher(regex, RE2::Quiet);
  if (where == nullptr || !matcher.ok()) {
    sources.Fail(kName, where != nullptr ? where->at : one.at,
                 where != nullptr ? "'" + regex + "' cannot be read as a regular expression"
                                  : "matcherRegex is missing",
                 fragment);
    return FieldState::kReported;
  }
  if (!RE2::PartialMatch("trace_id", matcher)) {
    sources.Fail(kName, where->at,
                 "'" + regex + "' does not match trace_id, which is the key that Braid writes", fragment);
    return FieldState::kReported;
  }
  for (const char* other : {"link_trace_id", "parent_trace_id", "trace_id_hex", "trace_ids", "span_id"}) {
    if (!RE2::PartialMatch(other, matcher)) continue;
    sources.Warn(kName, where->at, "'" + regex + "' matches other keys too, such as " + other,
                 "It is tested against the keys, and not as a whole unless anchored:\n"
                 "          matcherRegex: '^trace_id$'");
    return FieldState::kReported;
  }
  const Node* url = Member(&one, "url");
  if (Unescaped(MemberText(&one, "url")).find(kRaw) == std::string::npos) {
    sources.Fail(kName, url != nullptr ? url->at : one.at, "the field's url does not hold the trace ID",
                 "          url: '$${__value.raw}'");
    return FieldState::kReported;
  }
  if (there != nullptr && !there->IsTraces()) {
    sources.Fail(kName, Member(&one, "datasourceUid")->at,
                 "'" + uid + "' is of type " + there->type + " and shows no traces", fragment);
    return FieldState::kReported;
  }
  return FieldState::kGood;
}

}  // namespace

void CheckReferences(DataSources& sources) {
  std::string known;
  for (const DataSource& source : sources.all()) {
    if (!source.uid.empty()) known += (known.empty() ? "" : ", ") + source.uid;
  }
  for (const DataSource& source : sources.all()) {
    if (source.json == nullptr) continue;
    ForEachText(*source.json, "", [&](std::string_view key, const Node& value) {
      if (key != "datasourceUid" && key != "alertmanagerUid") return;
      // Grafana's own, and what a variable of the environment holds.
      if (value.text.empty() || value.text == "grafana" || value.text.find('$') != std::string::npos) return;
      if (sources.ByUid(value.text, source) != nullptr) return;
      sources.Fail(
          "references", value.at, "no data source in these files has uid '" + value.text + "'",
          "Those there are: " + (known.empty() ? "none" : known) +
              ". Name one of them, or give the one that is meant this uid; name all files together.");
    });
  }
}

void CheckEscaping(DataSources& sources) {
  for (const DataSource& source : sources.all()) {
    if (source.json == nullptr) continue;
    ForEachText(*source.json, "", [&](std::string_view key, const Node& value) {
      const std::string variable = Swallowed(value.text);
      if (variable.empty()) return;
      sources.Fail("escaping", value.at,
                   "provisioning replaces " + variable + " by an environment variable, which is empty",
                   "Two dollars make one:\n  " + std::string(key) + ": '... $" + variable + " ...'");
    });
  }
}

void CheckExemplarDestinations(DataSources& sources) {
  for (const DataSource& source : sources.all()) {
    if (source.type != "prometheus") continue;
    const Node* list = Member(source.json, "exemplarTraceIdDestinations");
    if (list != nullptr && list->kind == Node::Kind::kList && !list->items.empty()) {
      for (const Node& one : list->items) CheckDestination(sources, source, one);
      continue;
    }
    const DataSource* traces = sources.Traces(source);
    if (traces == nullptr) continue;
    sources.Warn("exemplar_destination", list != nullptr ? list->at : source.node->at,
                 "exemplars of '" + source.name + "' lead nowhere", DestinationFragment(traces->uid));
  }
}

void CheckDerivedFields(DataSources& sources) {
  for (const DataSource& source : sources.all()) {
    if (source.type != "loki") continue;
    const DataSource* traces = sources.Traces(source);
    const Node* list = Member(source.json, "derivedFields");
    bool done = false;
    const Node* by_line = nullptr;
    if (list != nullptr && list->kind == Node::Kind::kList) {
      for (const Node& one : list->items) {
        const FieldState state = CheckField(sources, source, one);
        done = done || state != FieldState::kOther;
        const DataSource* there = sources.ByUid(MemberText(&one, "datasourceUid"), source);
        if (state == FieldState::kOther && there != nullptr && there->IsTraces()) by_line = &one;
      }
    }
    if (done || traces == nullptr) continue;
    if (by_line != nullptr) {
      sources.Fail("derived_field", by_line->at,
                   "the field looks for the trace ID in the line, but Braid sends it as structured metadata",
                   DerivedFragment(traces->uid));
    } else {
      sources.Warn("derived_field", source.node->at, "logs of '" + source.name + "' do not lead to traces",
                   DerivedFragment(traces->uid));
    }
  }
}

}  // namespace braid::gateway::doctor
