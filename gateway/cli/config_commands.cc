#include "gateway/cli/config_commands.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/sha.h>

#include <array>
#include <boost/json.hpp>
#include <ostream>

#include "config/print.h"
#include "config/reference.h"
#include "config/schema.h"
#include "gateway/cli/commands.h"

namespace braid::gateway::cli {
namespace {

namespace json = boost::json;

std::string Name(const ConfigSource& source) {
  return source.file.empty() ? "built-in defaults" : source.file;
}

json::array ToJson(const std::vector<config::Diagnostic>& diagnostics) {
  json::array out;
  for (const config::Diagnostic& one : diagnostics) {
    out.push_back(json::object{{"source", one.source},
                               {"line", one.at.line},
                               {"column", one.at.column},
                               {"path", one.path},
                               {"message", one.message}});
  }
  return out;
}

std::string Count(size_t n, const std::string& what) {
  return std::to_string(n) + ' ' + what + (n == 1 ? "" : "s");
}

}  // namespace

config::Loaded LoadAndReport(const ConfigSource& source, std::ostream& err) {
  config::LoadOptions options;
  options.file = source.file;
  options.overrides = source.overrides;
  config::Loaded loaded = config::Load(options);
  err << loaded.Report();
  return loaded;
}

std::string ConfigSha256(const config::Loaded& loaded) {
  const std::string text = config::PrintYaml(loaded, {.origins = false});
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

int Validate(const ValidateOptions& options, std::ostream& out, std::ostream& err) {
  config::LoadOptions load;
  load.file = options.source.file;
  load.overrides = options.source.overrides;
  load.check_files = options.check_files;
  const config::Loaded loaded = config::Load(load);
  const bool ok = loaded.ok() && (loaded.warnings.empty() || !options.deny_warnings);

  if (options.json) {
    out << config::PrettyJson(json::object{{"ok", ok},
                                           {"errors", ToJson(loaded.errors)},
                                           {"moreErrors", loaded.more_errors},
                                           {"warnings", ToJson(loaded.warnings)}});
  } else {
    err << loaded.Report();
    if (ok) {
      out << Name(options.source) << ": OK, " << Count(loaded.config.sinks.size(), "sink") << ", "
          << Count(loaded.config.filters.size(), "filter rule") << '\n';
    } else {
      err << Name(options.source) << ": " << Count(loaded.errors.size() + loaded.more_errors, "error") << ", "
          << Count(loaded.warnings.size(), "warning") << '\n';
    }
  }
  return ok ? kExitOk : kExitConfig;
}

int PrintConfig(const PrintConfigOptions& options, std::ostream& out, std::ostream& err) {
  const config::Loaded loaded = LoadAndReport(options.source, err);
  if (!loaded.ok()) return kExitConfig;
  if (options.json) {
    out << config::PrettyJson(config::PrintJson(loaded));
  } else {
    out << config::PrintYaml(loaded,
                             {.origins = !options.descriptions, .descriptions = options.descriptions});
  }
  return kExitOk;
}

int PrintSchema(bool markdown, std::ostream& out) {
  out << (markdown ? config::ReferencePage() : config::EditorSchema());
  return kExitOk;
}

}  // namespace braid::gateway::cli
