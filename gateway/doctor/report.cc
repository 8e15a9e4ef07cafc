#include "gateway/doctor/report.h"

#include <algorithm>
#include <boost/json/array.hpp>

#include "base/printable.h"

namespace braid::gateway::doctor {
namespace {

constexpr size_t kMaxMessage = 600;
constexpr size_t kMaxAdvice = 4'000;
constexpr size_t kIdColumn = 34;

std::string Cut(std::string text, size_t most) {
  if (text.size() <= most) return text;
  size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // whole characters
  text.resize(end);
  return text + "…";
}

std::string PrintableLines(const std::string& text) {
  std::string out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (begin > 0) out += '\n';
    out += Printable(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

// Counted in characters: messages may have some that are not ASCII, IDs have none.
std::string Pad(std::string text, size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

std::string Label(Verdict verdict, bool color) {
  const std::string text = Pad(verdict == Verdict::kFail ? "FAIL" : std::string(VerdictName(verdict)), 8);
  if (!color) return text;
  const char* code = "";
  switch (verdict) {
    case Verdict::kOk: code = "32"; break;
    case Verdict::kWarn: code = "33"; break;
    case Verdict::kFail: code = "1;31"; break;
    case Verdict::kSkipped: code = "2"; break;
  }
  return std::string("\x1b[") + code + 'm' + text + "\x1b[0m";
}

std::string Indented(const std::string& text) {
  std::string out;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    out += std::string(9, ' ') + text.substr(begin, end - begin) + '\n';
    begin = end + 1;
  }
  return out;
}

bool SameSkip(const Check& a, const Check& b) {
  return a.verdict == Verdict::kSkipped && b.verdict == Verdict::kSkipped && a.message == b.message &&
         a.target == b.target;
}

std::string Count(size_t n, std::string_view one, std::string_view many) {
  return std::to_string(n) + ' ' + std::string(n == 1 ? one : many);
}

}  // namespace

std::string_view VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk: return "ok";
    case Verdict::kWarn: return "warn";
    case Verdict::kFail: return "fail";
    case Verdict::kSkipped: return "skipped";
  }
  return "";
}

void Report::Add(Check check) {
  check.target = Cut(Printable(check.target), kMaxMessage);
  check.message = Cut(Printable(check.message), kMaxMessage);
  check.advice = Cut(PrintableLines(check.advice), kMaxAdvice);
  checks_.push_back(std::move(check));
}

size_t Report::Count(Verdict verdict) const {
  return static_cast<size_t>(std::count_if(checks_.begin(), checks_.end(),
                                           [&](const Check& check) { return check.verdict == verdict; }));
}

bool Report::Has(std::string_view id) const {
  return std::any_of(checks_.begin(), checks_.end(), [&](const Check& check) { return check.id == id; });
}

void Reporter::SkipRest(std::span<const std::string_view> names, const std::string& why) {
  for (const std::string_view name : names) {
    if (!Has(name)) Skip(name, why);
  }
}

std::string RenderText(const Report& report, bool color) {
  std::string out;
  const std::vector<Check>& checks = report.checks();
  for (size_t i = 0; i < checks.size(); ++i) {
    const Check& check = checks[i];
    std::string name = check.id;
    size_t alike = 0;
    while (i + 1 < checks.size() && SameSkip(check, checks[i + 1])) ++i, ++alike;
    if (alike > 0) name += " and " + std::to_string(alike) + " more";
    out += Label(check.verdict, color) + ' ' + Pad(name, kIdColumn) + ' ' + check.message + '\n';
    if (!check.advice.empty()) out += Indented(check.advice);
  }
  out += '\n' + std::to_string(report.Count(Verdict::kOk)) + " ok, " +
         Count(report.Count(Verdict::kWarn), "warning", "warnings") + ", " +
         std::to_string(report.Count(Verdict::kFail)) + " failed, " +
         std::to_string(report.Count(Verdict::kSkipped)) + " skipped\n";
  return out;
}

boost::json::object RenderJson(const Report& report) {
  boost::json::array checks;
  for (const Check& check : report.checks()) {
    const std::string_view verdict = VerdictName(check.verdict);
    checks.push_back(boost::json::object{{"id", check.id},
                                         {"target", check.target},
                                         {"verdict", boost::json::string(verdict.data(), verdict.size())},
                                         {"message", check.message},
                                         {"advice", check.advice}});
  }
  return {{"ok", report.Count(Verdict::kFail) == 0}, {"checks", std::move(checks)}};
}

}  // namespace braid::gateway::doctor
