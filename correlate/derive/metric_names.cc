#include "correlate/derive/metric_names.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace braid::correlate {
namespace {

using Words = std::vector<std::string>;
using Spelling = std::pair<std::string_view, std::string_view>;

// UCUM codes as instruments commonly use them.
constexpr std::array<Spelling, 24> kUnits = {{
    {"d", "days"},          {"h", "hours"},         {"min", "minutes"},    {"s", "seconds"},
    {"ms", "milliseconds"}, {"us", "microseconds"}, {"ns", "nanoseconds"}, {"By", "bytes"},
    {"KiBy", "kibibytes"},  {"MiBy", "mebibytes"},  {"GiBy", "gibibytes"}, {"TiBy", "tibibytes"},
    {"KBy", "kilobytes"},   {"MBy", "megabytes"},   {"GBy", "gigabytes"},  {"TBy", "terabytes"},
    {"m", "meters"},        {"V", "volts"},         {"A", "amperes"},      {"J", "joules"},
    {"W", "watts"},         {"g", "grams"},         {"Cel", "celsius"},    {"Hz", "hertz"},
}};
constexpr std::array<Spelling, 7> kPerUnits = {{{"s", "second"},
                                                {"m", "minute"},
                                                {"h", "hour"},
                                                {"d", "day"},
                                                {"w", "week"},
                                                {"mo", "month"},
                                                {"y", "year"}}};

bool IsWordChar(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

Words Split(std::string_view text) {
  Words words;
  std::string word;
  for (const char c : text) {
    if (IsWordChar(c) || c == ':') {
      word += c;
    } else if (!word.empty()) {
      words.push_back(std::exchange(word, {}));
    }
  }
  if (!word.empty()) words.push_back(std::move(word));
  return words;
}

std::string Join(const Words& words) {
  std::string joined;
  for (const std::string& word : words) {
    if (!joined.empty()) joined += '_';
    joined += word;
  }
  return joined;
}

template <size_t N>
std::string_view Spell(const std::array<Spelling, N>& table, std::string_view unit) {
  for (const auto& [code, spelling] : table) {
    if (code == unit) return spelling;
  }
  return unit;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// The words of a unit: "By/s" is bytes per second. Annotations in braces say nothing about the unit.
Words UnitWords(std::string_view unit) {
  Words words;
  const size_t slash = unit.find('/');
  const std::string_view main = Trim(unit.substr(0, slash));
  const bool annotated = main.find_first_of("{}") != std::string_view::npos;
  if (!annotated && main == "%") {
    words.emplace_back("percent");
  } else if (!annotated && main != "1") {
    words = Split(Spell(kUnits, main));
  }
  if (slash == std::string_view::npos) return words;
  const std::string_view per = Trim(unit.substr(slash + 1));
  if (per.empty() || per.find_first_of("{}") != std::string_view::npos) return words;
  const Words per_words = Split(Spell(kPerUnits, per));
  if (per_words.empty()) return words;
  words.emplace_back("per");
  words.insert(words.end(), per_words.begin(), per_words.end());
  return words;
}

bool EndsWith(const Words& words, const Words& suffix) {
  return suffix.size() <= words.size() && std::equal(suffix.rbegin(), suffix.rend(), words.rbegin());
}

bool Contains(const Words& words, const Words& part) {
  return std::search(words.begin(), words.end(), part.begin(), part.end()) != words.end();
}

}  // namespace

MetricName PrometheusMetricName(std::string_view name, std::string_view unit, MetricType type) {
  Words words = Split(name);
  if (words.empty()) return {};
  const auto without = [&words](std::string_view word) {
    if (words.size() > 1) std::erase(words, word);
  };
  const Words unit_words = UnitWords(unit);
  if (type == MetricType::kCounter) without("total");
  if (!unit_words.empty() && !Contains(words, unit_words)) {
    words.insert(words.end(), unit_words.begin(), unit_words.end());
  }
  if (type == MetricType::kGauge && Trim(unit) == "1") {
    without("ratio");
    words.emplace_back("ratio");
  }
  MetricName result;
  if (!unit_words.empty() && EndsWith(words, unit_words) && words.size() > unit_words.size()) {
    result.unit = Join(unit_words);
  }
  result.name = Join(words);
  if (result.name[0] >= '0' && result.name[0] <= '9') result.name.insert(0, "_");
  return result;
}

std::string PrometheusLabelName(std::string_view key) {
  std::string name;
  name.reserve(key.size() + 4);
  for (const char c : key) name += IsWordChar(c) ? c : '_';
  if (name.empty()) return "key_";
  if (name[0] >= '0' && name[0] <= '9') return "key_" + name;
  if (name[0] == '_') return "key" + name;
  return name;
}

}  // namespace braid::correlate
