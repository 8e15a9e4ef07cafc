#pragma once

#include <iosfwd>
#include <string>

#include "gateway/rules/slo.h"

namespace braid::gateway::cli {

struct ExportRulesOptions {
  std::string slo_file;  // empty: none
  rules::Dialect dialect = rules::Dialect::kTempo;
  std::string runbooks = "docs/runbooks.md";
  bool braid = true;  // Braid's own alerts
  bool slo = true;    // what slo_file asks for
  bool json = false;
  std::string out_file;  // empty: standard output
};

// `braid rules export`: one rule file for Prometheus. Exit codes: 78 if the SLO file is wrong, 1 if the
// output cannot be written; then nothing was, and a file that was there is as it was.
int ExportRules(const ExportRulesOptions& options, std::ostream& out, std::ostream& err);

}  // namespace braid::gateway::cli
