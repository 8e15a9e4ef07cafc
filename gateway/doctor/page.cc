#include "gateway/doctor/page.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace braid::gateway::doctor {
namespace {

using Labels = std::vector<std::pair<std::string_view, std::string_view>>;

// A cursor over one line.
class Line {
 public:
  explicit Line(std::string_view rest) : rest_(rest) {}

  // The name of a metric or a label; empty if there is none.
  std::string_view Name() {
    const auto end = std::find_if_not(rest_.begin(), rest_.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
             c == ':';
    });
    return Take(static_cast<size_t>(end - rest_.begin()));
  }

  bool Literal(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }

  // {a="b",c="d"}; values stay escaped.
  bool LabelSet(Labels* labels) {
    if (!Literal("{")) return false;
    while (!Literal("}")) {
      const std::string_view name = Name();
      if (name.empty() || !Literal("=\"")) return false;
      size_t end = 0;
      while (end < rest_.size() && rest_[end] != '"') end += rest_[end] == '\\' ? 2 : 1;
      if (end >= rest_.size()) return false;
      labels->emplace_back(name, Take(end));
      Literal("\"");
      Literal(",");
    }
    return true;
  }

  // Up to the next blank.
  std::string_view Word() { return Take(std::min(rest_.find(' '), rest_.size())); }

  bool Number(double* number) {
    const std::string_view word = Word();
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), *number);
    return !word.empty() && (word == "+Inf" || (error == std::errc() && end == word.data() + word.size()));
  }

  std::string_view rest() const { return rest_; }

 private:
  std::string_view Take(size_t n) {
    const std::string_view taken = rest_.substr(0, n);
    rest_.remove_prefix(taken.size());
    return taken;
  }

  std::string_view rest_;
};

std::string_view Find(const Labels& labels, std::string_view name) {
  for (const auto& [key, value] : labels) {
    if (key == name) return value;
  }
  return {};
}

bool ReadSample(std::string_view text, Page* page) {
  Line line(text);
  const std::string_view name = line.Name();
  Labels labels;
  double value = 0;
  if (name.empty() || (line.rest().starts_with('{') && !line.LabelSet(&labels)) || !line.Literal(" ") ||
      !line.Number(&value)) {
    return false;
  }
  ++page->samples;
  if (labels.empty()) page->values[std::string(name)] = value;
  constexpr std::string_view kBucket = "_bucket";
  if (name.ends_with(kBucket) && Find(labels, "le") != "+Inf" && !Find(labels, "le").empty()) {
    page->classic.emplace(name.substr(0, name.size() - kBucket.size()));
  }

  if (!line.Literal(" # ")) {  // A timestamp may stand before the exemplar.
    double timestamp = 0;
    if (!line.Literal(" ") || !line.Number(&timestamp) || !line.Literal(" # ")) return true;
  }
  labels.clear();
  Page::Exemplar exemplar;
  double exemplar_value = 0;
  if (!line.LabelSet(&labels) || !line.Literal(" ") || !line.Number(&exemplar_value)) return false;
  if (line.Literal(" ") && !line.Number(&exemplar.timestamp)) return false;
  exemplar.trace_id = Find(labels, "trace_id");
  if (!exemplar.trace_id.empty()) page->exemplars.push_back(std::move(exemplar));
  return true;
}

}  // namespace

void ReadPage(std::string_view text, Page* page) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) continue;
    if (line.front() == '#') {
      Line words(line);
      if (words.Literal("# TYPE ")) page->families.emplace(words.Word());
      continue;
    }
    if (!ReadSample(line, page)) ++page->odd_lines;
  }
}

}  // namespace braid::gateway::doctor
