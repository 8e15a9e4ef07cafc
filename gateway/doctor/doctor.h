#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "gateway/doctor/report.h"

namespace braid::gateway::doctor {

struct DoctorOptions {
  std::string url = "http://127.0.0.1:9464";  // Braid's web listener; empty: not probed
  // Empty: not probed. All are URLs that net::ParseHttpUrl() takes.
  std::string prometheus, loki, tempo, jaeger;
  std::vector<std::string> datasources;  // files and folders
  std::string org_id;                    // X-Scope-OrgID for Prometheus (Mimir), Loki and Tempo; empty: none
  std::chrono::milliseconds timeout{5'000};  // for each answer
  bool write = true;                         // one line to Loki
};

struct Diagnosis {
  Report report;
  bool braid_missing = false;  // Braid was to be probed and does not answer
};

// Probes everything that is named, one after the other, and says of the rest that it was not. Blocks for at
// most two timeouts at each dead server. Changes nothing but the line that Loki gets.
Diagnosis Examine(const DoctorOptions& options);

}  // namespace braid::gateway::doctor
