#pragma once

#include <span>

#include "base/embedded_file.h"

// What people import elsewhere, as part of the binary: Grafana's dashboards of both dialects with their
// provisioning, and Prometheus' rule and scrape files. Paths are relative to this folder:
// "prometheus/braid-alerts.yaml", "grafana/tempo/braid-services.json".
namespace braid::dashboards {

// All of them, in order of their paths. Thread rule: any thread.
std::span<const EmbeddedFile> EmbeddedFiles();

}  // namespace braid::dashboards
