#include "gateway/cli/doctor_command.h"

#include <CLI/App.hpp>
#include <ostream>

#include "base/net/http_client.h"
#include "config/schema.h"
#include "gateway/cli/commands.h"
#include "gateway/cli/options.h"

namespace braid::gateway::cli {
namespace {

constexpr const char* kDoctorExamples = R"(
Each check is a line: ok, warn, FAIL or skipped; below it stand what is wrong and what to change. What is not named is
not probed. Nothing is changed anywhere, but that a Loki gets one line in {service_name="braid-doctor"}.

Examples:
  braid doctor                                    Braid on this machine alone
  braid doctor --prometheus http://127.0.0.1:9090 --loki http://127.0.0.1:3100 --tempo http://127.0.0.1:3200
  braid doctor --datasources /etc/grafana/provisioning/datasources
  braid doctor --url '' --datasources a.yaml --datasources b.yaml      files alone, no Braid
  braid doctor --loki https://loki:3100 --org-id team-a --no-write
  braid doctor --prometheus http://127.0.0.1:9090 -o json | jq '.checks[] | select(.verdict == "fail")'

https uses the system's certificates, or those of SSL_CERT_FILE. No credentials are sent.
Exit codes: 0 nothing failed (warnings are allowed), 1 something did, 64 wrong use, 69 Braid does not answer.)";

}  // namespace

void AddDoctorOptions(CLI::App* command, DoctorCommandOptions* options) {
  command->footer(kDoctorExamples);
  AddUrl(command, "--url", &options->probe.url, "Braid's web listener.")->capture_default_str();
  AddUrl(command, "--prometheus", &options->probe.prometheus, "A Prometheus that is to scrape it.");
  AddUrl(command, "--loki", &options->probe.loki, "A Loki that is to take its logs.");
  AddUrl(command, "--tempo", &options->probe.tempo, "A Tempo that is to take its traces.");
  AddUrl(command, "--jaeger", &options->probe.jaeger, "A Jaeger query service that is to have them.");
  command
      ->add_option(
          "--datasources", options->probe.datasources,
          "Grafana's data source files, or a folder of them. May be repeated; all are read together.")
      ->check(CLI::ExistingPath)
      ->allow_extra_args(false)
      ->type_name("FILE_OR_DIR");
  command
      ->add_option("--org-id", options->probe.org_id, "Tenant: X-Scope-OrgID for Prometheus, Loki and Tempo.")
      ->check(CLI::Validator(
          [](std::string& text) {
            return net::ValidHttpHeader("X-Scope-OrgID", text) ? std::string() : "has a control character";
          },
          ""))
      ->type_name("TENANT");
  AddDuration(command, "--timeout", &options->probe.timeout, "How long to wait for one answer.")
      ->default_str("5s");
  command->add_flag("!--no-write", options->probe.write, "Do not write the line to Loki.");
  AddJson(command, &options->json);
}

int RunDoctor(const DoctorCommandOptions& options, std::ostream& out) {
  const doctor::Diagnosis diagnosis = doctor::Examine(options.probe);
  if (options.json) {
    out << config::PrettyJson(doctor::RenderJson(diagnosis.report));
  } else {
    out << doctor::RenderText(diagnosis.report, options.color);
  }
  if (diagnosis.braid_missing) return kExitUnavailable;
  return diagnosis.report.Count(doctor::Verdict::kFail) > 0 ? kExitFailure : kExitOk;
}

}  // namespace braid::gateway::cli
