#pragma once

#include <CLI/App.hpp>
#include <chrono>
#include <string>

// Options that several commands have. What they point to outlives the parsing.
namespace braid::gateway::cli {

// -o text|json.
CLI::Option* AddJson(CLI::App* command, bool* json);

// A duration as in the configuration: 10s, 500ms.
CLI::Option* AddDuration(CLI::App* command, const std::string& name, std::chrono::milliseconds* value,
                         const std::string& help);

// The address of an HTTP server, without a query; or nothing.
CLI::Option* AddUrl(CLI::App* command, const std::string& name, std::string* url, const std::string& help);

}  // namespace braid::gateway::cli
