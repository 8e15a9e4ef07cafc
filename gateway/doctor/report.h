#pragma once

#include <boost/json/object.hpp>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace braid::gateway::doctor {

enum class Verdict { kOk, kWarn, kFail, kSkipped };

std::string_view VerdictName(Verdict verdict);  // "ok", "warn", "fail", "skipped"

struct Check {
  std::string id;      // "prometheus.exemplar_storage"; docs/doctor.md lists them, and they do not change
  std::string target;  // the URL or the files it is about
  Verdict verdict = Verdict::kOk;
  std::string message;  // what was found, one line
  std::string advice;   // what to change, lines; empty if there is nothing
};

// What was found, in order. A check that finds several things wrong occurs once for each.
class Report {
 public:
  // Text of peers in it is made printable, and cut if it is long.
  void Add(Check check);

  const std::vector<Check>& checks() const { return checks_; }
  size_t Count(Verdict verdict) const;
  bool Has(std::string_view id) const;

 private:
  std::vector<Check> checks_;
};

// Adds to a report what is found about one target; names are the part of the ID behind "<prefix>.".
class Reporter {
 public:
  // `report` outlives it.
  Reporter(Report* report, std::string prefix, std::string target)
      : report_(report), prefix_(std::move(prefix)), target_(std::move(target)) {}

  void Ok(std::string_view name, std::string message) { Add(name, Verdict::kOk, std::move(message), {}); }
  void Warn(std::string_view name, std::string message, std::string advice) {
    Add(name, Verdict::kWarn, std::move(message), std::move(advice));
  }
  void Fail(std::string_view name, std::string message, std::string advice) {
    Add(name, Verdict::kFail, std::move(message), std::move(advice));
  }
  void Skip(std::string_view name, std::string message) {
    Add(name, Verdict::kSkipped, std::move(message), {});
  }

  // All of `names` that nothing was said about: skipped, for this reason. So each ID is always there.
  void SkipRest(std::span<const std::string_view> names, const std::string& why);

  bool Has(std::string_view name) const { return report_->Has(Id(name)); }
  const std::string& target() const { return target_; }

 private:
  std::string Id(std::string_view name) const { return prefix_ + "." + std::string(name); }
  void Add(std::string_view name, Verdict verdict, std::string message, std::string advice) {
    report_->Add({Id(name), target_, verdict, std::move(message), std::move(advice)});
  }

  Report* report_;
  std::string prefix_;
  std::string target_;
};

// A line for each check, the advice below it, and a summary. Checks that were skipped one after the other for
// the same reason share a line.
std::string RenderText(const Report& report, bool color);

// {"ok": no check failed, "checks": [{id, target, verdict, message, advice}, ...]}
boost::json::object RenderJson(const Report& report);

}  // namespace braid::gateway::doctor
