#pragma once

#include <string>
#include <vector>

#include "gateway/doctor/datasource_files.h"
#include "gateway/doctor/report.h"

namespace braid::gateway::doctor {

// What is known about the rest, to hold the files against.
struct Surroundings {
  bool dialect_known = false;  // the two below are of Braid's page
  bool tempo = false;
  bool otel = false;
  std::string prometheus, loki, tempo_url, jaeger;  // the addresses given; empty: not given
};

// Looks at Grafana's data source files: whether they can be read, refer to each other, and the jumps between
// signals work with what Braid writes. Each finding has its place and the fragment to write.
void CheckDataSources(const std::vector<std::string>& paths, const Surroundings& around, Report* report);

// The same of texts, without the disk. `target` names them as a whole.
void CheckDataSourceTexts(const std::vector<SourceText>& texts, const Surroundings& around, Reporter& to);

// The same IDs, all skipped: there is no --datasources.
void SkipDataSources(Report* report);

// The parts, in files of their own.
void CheckReferences(DataSources& sources);  // datasource_links.cc
void CheckEscaping(DataSources& sources);
void CheckExemplarDestinations(DataSources& sources);
void CheckDerivedFields(DataSources& sources);
void CheckTraceToLogs(DataSources& sources);  // datasource_traces.cc
void CheckTraceToMetrics(DataSources& sources, const Surroundings& around);
void CheckServiceMap(DataSources& sources, const Surroundings& around);

}  // namespace braid::gateway::doctor
