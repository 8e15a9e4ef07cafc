#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "config/diagnostic.h"
#include "config/node.h"
#include "config/substitute.h"
#include "config/validate.h"

namespace braid::config {

struct LoadOptions {
  // The file to read; empty: none, so the defaults.
  std::string file;

  // Instead of reading `file`, which is then only a name for messages and relative paths.
  std::optional<std::string> text;

  // "receivers.otlp.grpc.listen=127.0.0.1:0": a path of keys and a YAML value, laid over the file in order.
  std::vector<std::string> overrides;

  Environment environment = ProcessEnvironment();

  // Whether the files that are named must be there and readable (certificates) or writable (outputs).
  bool check_files = true;
};

// At most so many errors are kept; the rest is counted.
constexpr size_t kMaxErrors = 20;

struct Loaded {
  Config config;   // what was asked for; defaults in place of what was refused
  Node effective;  // the same as a tree: complete, in the schema's order, with the place each value is from
  std::vector<std::string> sources;  // names, by Position::source

  std::vector<Diagnostic> errors;  // in order of the sources; at most kMaxErrors
  size_t more_errors = 0;
  std::vector<Diagnostic> warnings;  // allowed, but probably not meant

  bool ok() const { return errors.empty(); }

  // All errors and warnings, one a line.
  std::string Report() const;
};

// Reads YAML, substitutes, lays overrides over it, checks it against the schema, then what no schema can say
// (limits that depend on each other, exposure of listeners). Finds as much as possible in one run.
// Blocks on the files named. Does not throw.
Loaded Load(const LoadOptions& options);

// A file's text for ParseYaml(), at most one byte more than that takes. Returns what is wrong, or nothing.
std::string ReadSource(const std::string& file, std::string* text);

}  // namespace braid::config
