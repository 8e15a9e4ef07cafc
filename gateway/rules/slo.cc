#include "gateway/rules/slo.h"

#include <re2/re2.h>

#include <algorithm>
#include <array>
#include <map>

#include "config/load.h"
#include "config/node.h"
#include "config/schema.h"
#include "config/units.h"
#include "config/validate.h"
#include "config/yaml.h"
#include "correlate/derive/buckets.h"
#include "gateway/rules/slo_schema.h"

namespace braid::gateway::rules {
namespace {

using config::Diagnostic;
using config::Node;
using std::chrono::milliseconds;

const config::Schema& SloSchema() {
  static const config::Schema schema = config::CompileSchema(SloSchemaFile().front().content);
  return schema;
}

// What the rules or Prometheus set themselves.
bool Reserved(std::string_view label) {
  constexpr std::array<std::string_view, 4> kNames = {"alertname", "service", "severity", "slo"};
  return label.starts_with("__") || std::find(kNames.begin(), kNames.end(), label) != kNames.end();
}

// "99.9" as 99'900'000. Nothing if it has more than six decimals, or an exponent.
std::optional<uint64_t> ParsePercent(const std::string& text) {
  static const RE2 kForm(R"((\d{1,2})(?:\.(\d{1,6}))?)");
  std::string whole, decimals;
  if (!RE2::FullMatch(text, kForm, &whole, &decimals)) return std::nullopt;
  decimals.resize(6, '0');
  return std::stoull(whole + decimals);
}

// A text or a list of them.
std::vector<std::string> Texts(const Node& node) {
  if (node.kind != Node::Kind::kList) return {node.text};
  std::vector<std::string> out;
  for (const Node& item : node.items) out.push_back(item.text);
  return out;
}

// "512ms and 1024ms", the bounds around `threshold`; of one beyond them, the last.
std::string NearestBounds(milliseconds threshold, const std::vector<milliseconds>& bounds) {
  const auto above = std::lower_bound(bounds.begin(), bounds.end(), threshold);
  const auto text = [](milliseconds bound) { return std::to_string(bound.count()) + "ms"; };
  if (above == bounds.end()) return text(bounds.back());
  if (above == bounds.begin()) return text(*above);
  return text(*(above - 1)) + " and " + text(*above);
}

class Reader {
 public:
  Reader(const std::string& file, Dialect dialect) : file_(file), dialect_(dialect) {}

  SloFile Run(std::optional<std::string_view> given) {
    std::string text;
    if (!given) {
      std::string problem = config::ReadSource(file_, &text);
      if (!problem.empty()) {
        Fail({.source = 0, .line = 0, .column = 0}, "", std::move(problem));
        return Finish();
      }
      given = text;
    }
    Node root = config::ParseYaml(*given, 0, &result_.errors);
    if (root.kind != Node::Kind::kMap) {
      // What could not be read at all has been reported.
      if (result_.errors.empty()) {
        const config::Position top{.source = 0, .line = 1, .column = 1};
        Fail(root.kind == Node::Kind::kNull ? top : root.at, "", "expected a map with 'slos:' at the top");
      }
      return Finish();
    }

    // Checking takes broken entries out; messages go on counting them.
    std::map<std::pair<int, int>, size_t> index;
    if (const Node* list = root.Find("slos")) {
      for (const Node& item : list->items)
        index.emplace(std::pair(item.at.line, item.at.column), index.size());
    }
    std::vector<config::FileUse> files;
    config::Validate(SloSchema(), {""}, &root, &result_.errors, &files);
    if (const Node* list = root.Find("slos")) {
      for (const Node& item : list->items) {
        Take(item, "slos[" + std::to_string(index[{item.at.line, item.at.column}]) + ']');
      }
    }
    return Finish();
  }

 private:
  void Fail(const config::Position& at, std::string path, std::string message) {
    result_.errors.push_back(
        {.at = at, .source = {}, .path = std::move(path), .message = std::move(message)});
  }

  void Take(const Node& node, const std::string& path) {
    const size_t errors = result_.errors.size();
    Slo slo;
    const Node& name = *node.Find("name");
    slo.name = name.text;
    const auto [first, fresh] = names_.emplace(slo.name, name.at.line);
    if (!fresh) {
      Fail(name.at, path + ".name",
           "'" + slo.name + "' is there twice; the first is in line " + std::to_string(first->second));
    }
    slo.description = node.Find("description")->text;
    slo.services = Texts(*node.Find("service"));
    slo.operations = Texts(*node.Find("operation"));
    slo.kinds = Texts(*node.Find("kind"));

    const Node& objective = *node.Find("objective");
    if (const auto percent = ParsePercent(objective.text)) {
      slo.objective = *percent;
    } else {
      Fail(objective.at, path + ".objective",
           "expected at most six decimals and no exponent, got " + objective.text);
    }
    if (const Node* threshold = node.Find("threshold")) {
      slo.indicator = Slo::Indicator::kLatency;
      slo.threshold = *config::ParseDuration(threshold->text);
      CheckThreshold(slo.threshold, *threshold, path + ".threshold");
    }
    for (const Node::Member& label : node.Find("labels")->members) {
      if (Reserved(label.key)) {
        Fail(label.at, path + ".labels." + label.key,
             "expected another name: the rules set this label themselves");
      }
      slo.labels.emplace_back(label.key, label.value.text);
    }
    slo.runbook = node.Find("annotations")->Find("runbook")->text;
    slo.dashboard = node.Find("annotations")->Find("dashboard")->text;
    if (result_.errors.size() == errors) result_.slos.push_back(std::move(slo));
  }

  void CheckThreshold(milliseconds threshold, const Node& node, const std::string& path) {
    const std::vector<milliseconds> bounds = LatencyBounds(dialect_);
    if (std::binary_search(bounds.begin(), bounds.end(), threshold)) return;
    Fail(node.at, path,
         "expected a bound of the latency buckets of dialect " + std::string(DialectName(dialect_)) +
             ", got '" + node.text + "'; nearest: " + NearestBounds(threshold, bounds));
  }

  SloFile Finish() {
    for (Diagnostic& error : result_.errors) error.source = file_;
    std::stable_sort(result_.errors.begin(), result_.errors.end());
    return std::move(result_);
  }

  const std::string& file_;
  const Dialect dialect_;
  SloFile result_;
  std::map<std::string, int> names_;  // and their lines
};

}  // namespace

std::optional<Dialect> ParseDialect(std::string_view text) {
  if (text == "tempo" || text == "both") return Dialect::kTempo;
  if (text == "otel") return Dialect::kOtel;
  return std::nullopt;
}

std::string_view DialectName(Dialect dialect) {
  switch (dialect) {
    case Dialect::kTempo: return "tempo";
    case Dialect::kOtel: return "otel";
  }
  return "";
}

std::vector<milliseconds> LatencyBounds(Dialect dialect) {
  const std::vector<uint64_t> all =
      dialect == Dialect::kTempo ? correlate::TempoLatencyBounds() : correlate::OtelLatencyBounds();
  std::vector<milliseconds> out;
  for (const uint64_t ns : all) out.emplace_back(ns / 1'000'000);
  return out;
}

std::string SloFile::Report() const {
  std::string out;
  for (const Diagnostic& error : errors) out += error.ToString() + '\n';
  return out;
}

SloFile LoadSlos(const std::string& file, Dialect dialect, std::optional<std::string_view> text) {
  return Reader(file, dialect).Run(text);
}

}  // namespace braid::gateway::rules
