#include "gateway/cli/rules_command.h"

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <system_error>
#include <utility>

#include "gateway/cli/commands.h"
#include "gateway/rules/braid_rules.h"
#include "gateway/rules/slo_rules.h"

namespace braid::gateway::cli {
namespace {

// Beside the file first, so that a Prometheus that reloads never reads half of it; what is no file, such as a
// pipe, is written as it is.
bool WriteFile(const std::string& file, const std::string& text, std::ostream& err) {
  std::error_code unknown;
  const bool special =
      std::filesystem::exists(file, unknown) && !std::filesystem::is_regular_file(file, unknown);
  const std::string part = special ? file : file + ".part";
  {
    std::ofstream stream(part, std::ios::binary | std::ios::trunc);
    stream << text;
    stream.close();
    if (stream && (special || std::rename(part.c_str(), file.c_str()) == 0)) return true;
  }
  const int error = errno;
  if (!special) std::remove(part.c_str());
  err << "braid: " << file << ": cannot be written: " << std::generic_category().message(error) << '\n';
  return false;
}

}  // namespace

int ExportRules(const ExportRulesOptions& options, std::ostream& out, std::ostream& err) {
  rules::RuleFile file;
  if (options.braid) {
    Result<std::vector<rules::Group>> own = rules::BraidRules(options.runbooks);
    if (!own.ok()) {
      err << "braid: " << own.status().message() << '\n';
      return kExitFailure;
    }
    file.groups = std::move(*own);
  }
  if (options.slo && !options.slo_file.empty()) {
    const rules::SloFile slos = rules::LoadSlos(options.slo_file, options.dialect);
    if (!slos.ok()) {
      err << slos.Report();
      return kExitConfig;
    }
    for (rules::Group& group : rules::SloRules(slos.slos, {options.dialect, options.runbooks})) {
      file.groups.push_back(std::move(group));
    }
  }

  const std::string text =
      options.json ? rules::ToJson(file) : "# Made by `braid rules export`.\n" + rules::ToYaml(file);
  if (!options.out_file.empty()) return WriteFile(options.out_file, text, err) ? kExitOk : kExitFailure;
  out << text;
  return kExitOk;
}

}  // namespace braid::gateway::cli
