#pragma once

#include <string>

#include "base/status.h"
#include "exporters/sinks/sink_factory.h"

namespace braid::exporters {

// The value of the Authorization header; empty if none is configured.
std::string AuthorizationHeader(const SinkConfig& config);

// Contents, in PEM.
struct TlsFiles {
  std::string ca;  // the system's, if none is configured
  std::string certificate;
  std::string key;
};

// Reads the configured files. Errors name the key and the file.
Result<TlsFiles> ReadTlsFiles(const SinkConfig::Tls& tls);

}  // namespace braid::exporters
