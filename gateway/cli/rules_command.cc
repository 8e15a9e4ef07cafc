#include "gateway/cli/rules_command.h"

#include <ostream>
#include <utility>

#include "gateway/cli/commands.h"
#include "gateway/cli/write_file.h"
#include "gateway/rules/braid_rules.h"
#include "gateway/rules/slo_rules.h"

namespace braid::gateway::cli {
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
  if (options.out_file.empty()) {
    out << text;
    return kExitOk;
  }
  const Status written = WriteFile(options.out_file, text);
  if (!written.ok()) err << "braid: " << written.message() << '\n';
  return written.ok() ? kExitOk : kExitFailure;
}

}  // namespace braid::gateway::cli
