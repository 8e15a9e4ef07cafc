#pragma once

#include <iosfwd>
#include <string>
#include <vector>

#include "config/load.h"

// The commands that only look at the configuration. Each returns its exit code.
namespace braid::gateway::cli {

// Where the configuration comes from: what every command with --config and --set shares.
struct ConfigSource {
  std::string file;
  std::vector<std::string> overrides;
};

// Loads it and tells `err` what is wrong or odd.
config::Loaded LoadAndReport(const ConfigSource& source, std::ostream& err);

// In hex, of the effective configuration as print-config has it, without where values are from. Secrets stand
// in it as *** or as their reference, so it tells nothing of them and does not change with them.
std::string ConfigSha256(const config::Loaded& loaded);

struct ValidateOptions {
  ConfigSource source;
  bool check_files = true;
  bool deny_warnings = false;
  bool json = false;
};

// `braid validate`: all errors and warnings, or that there are none.
int Validate(const ValidateOptions& options, std::ostream& out, std::ostream& err);

struct PrintConfigOptions {
  ConfigSource source;
  bool descriptions = false;
  bool json = false;
};

// `braid print-config`: what is in effect, secrets masked.
int PrintConfig(const PrintConfigOptions& options, std::ostream& out, std::ostream& err);

// `braid schema`: for editors as JSON, for people as Markdown.
int PrintSchema(bool markdown, std::ostream& out);

}  // namespace braid::gateway::cli
