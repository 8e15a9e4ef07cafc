#include "gateway/cli/doctor_command.h"

#include <ostream>

#include "base/net/http_client.h"
#include "config/schema.h"
#include "gateway/cli/commands.h"

namespace braid::gateway::cli {

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

std::string DescribeBadUrl(const std::string& url) {
  if (url.empty()) return {};
  const Result<net::HttpUrl> parsed = net::ParseHttpUrl(url);
  if (!parsed.ok()) return parsed.status().message();
  return parsed->target.find('?') == std::string::npos ? "" : "the URL has a query (?)";
}

}  // namespace braid::gateway::cli
