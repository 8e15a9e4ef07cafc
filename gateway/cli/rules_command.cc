#include "gateway/cli/rules_command.h"

#include <CLI/App.hpp>
#include <ostream>
#include <utility>

#include "gateway/cli/commands.h"
#include "gateway/cli/write_file.h"
#include "gateway/rules/braid_rules.h"
#include "gateway/rules/slo_rules.h"

namespace braid::gateway::cli {
namespace {

constexpr const char* kRulesExamples = R"(
Examples:
  braid rules export > braid-rules.yaml           Braid's own alerts
  braid rules export --slo slo.yaml --out braid-rules.yaml
  braid rules export --slo slo.yaml --only slo --dialect otel

One file for rule_files of prometheus.yml: Braid's own alerts and, for each objective of the SLO file, recording rules and
burn-rate alerts over 30 days. The SLO file is described in docs/slo.md; what is wrong with it is said as
file:line:column, and the exit code is then 78. --dialect has to be what metrics.dialect is.)";

}  // namespace

void AddRulesOptions(CLI::App* above, CLI::App* command, ExportRulesOptions* options) {
  above->footer(kRulesExamples);
  command->footer(kRulesExamples);
  CLI::Option* slo =
      command->add_option("--slo", options->slo_file, "Objectives to make rules for.")->type_name("FILE");
  command
      ->add_option_function<std::string>(
          "--dialect", [options](const std::string& name) { options->dialect = *rules::ParseDialect(name); },
          "Names of the metrics that the objectives are about, as in metrics.dialect; both is tempo.")
      ->check(CLI::IsMember({"tempo", "otel", "both"}))
      ->default_str("tempo")
      ->needs(slo);
  command->add_option("--runbooks", options->runbooks, "Where docs/runbooks.md is to be found.")
      ->check(CLI::Validator(
          [](std::string& text) {
            return text.empty() || text.find_first_of("# \t\n{}") != std::string::npos
                       ? "expected a link without '#', blanks and braces, such as "
                         "https://example.org/runbooks.md"
                       : std::string();
          },
          ""))
      ->type_name("URL")
      ->capture_default_str();
  CLI::Option* only = command
                          ->add_option_function<std::string>(
                              "--only",
                              [options](const std::string& part) {
                                options->braid = part == "braid";
                                options->slo = part == "slo";
                              },
                              "braid: Braid's own alerts only. slo: the objectives only.")
                          ->check(CLI::IsMember({"braid", "slo"}));
  command->add_option("--out", options->out_file, "Write it there instead of to standard output.")
      ->type_name("FILE");
  command
      ->add_option_function<std::string>(
          "-o,--output", [options](const std::string& format) { options->json = format == "json"; },
          "How to print.")
      ->check(CLI::IsMember({"yaml", "json"}))
      ->default_str("yaml");
  command->parse_complete_callback([options, slo, only] {
    if (options->braid && options->slo) return;
    if (options->slo == slo->empty())
      throw CLI::ValidationError(only->get_name(),
                                 slo->empty() ? "slo needs --slo FILE" : "braid makes nothing of --slo");
  });
}

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
