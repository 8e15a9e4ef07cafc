#pragma once

#include <iosfwd>
#include <string>

namespace braid::gateway::cli {

struct ExportDashboardsOptions {
  std::string dialect = "tempo";  // or "otel"
  std::string out;                // folder for the dashboards; made if it is not there

  // Folder for Grafana's provisioning files, which then name `out` and these addresses; empty: none.
  std::string provisioning;
  std::string prometheus = "http://127.0.0.1:9090";
  std::string loki = "http://127.0.0.1:3100";
  std::string tempo = "http://127.0.0.1:3200";
  std::string jaeger = "http://127.0.0.1:16686";
  std::string url = "http://127.0.0.1:9464";  // Braid's web listener, as browsers reach it

  bool json = false;
};

// `braid dashboards export`: writes the dashboards of one dialect, and says which files it wrote. Files of
// theirs that were there are replaced, others left alone. Exit codes: 1 if one cannot be written.
int ExportDashboards(const ExportDashboardsOptions& options, std::ostream& out, std::ostream& err);

}  // namespace braid::gateway::cli
