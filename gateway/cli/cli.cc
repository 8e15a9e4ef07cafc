#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "base/net/http_client.h"
#include "config/units.h"
#include "gateway/cli/commands.h"
#include "gateway/cli/config_commands.h"
#include "gateway/cli/dashboards_command.h"
#include "gateway/cli/doctor_command.h"
#include "gateway/cli/rules_command.h"
#include "gateway/cli/trace_command.h"

namespace braid::gateway::cli {
namespace {

constexpr const char* kAbout =
    R"(Braid joins traces, logs and metrics on their IDs, derives request rates, errors and latencies from spans,
and forwards the enriched data. Without a configuration it listens on loopback and is ready to use.)";

constexpr const char* kStart = R"(
Five minutes to a joined trace:
  braid run &                                     start the gateway with built-in defaults
  braid demo                                      play a small made-up shop to it
  braid trace <id>                                look at one of its traces, logs under their spans
  curl http://127.0.0.1:9464/metrics              request rate, errors and duration, with exemplars
Your own services need only OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 (gRPC) or :4318 (HTTP).

Exit codes: 0 done, 1 failed, 64 wrong use, 69 no answer, 78 wrong configuration.
NO_COLOR turns colours off. Each command has --help with examples.)";

constexpr const char* kRunExamples = R"(
Examples:
  braid run                                       on loopback, nothing forwarded, traces and metrics to look at
  braid run --config braid.yaml
  braid run --config braid.yaml --set log.level=debug
  braid run --set 'sinks.out={type: stdout}'      print what would be forwarded

SIGTERM or Ctrl-C drains: it stops listening, decides what is held, empties the queues. A second one stops at once.)";

constexpr const char* kValidateExamples = R"(
Finds everything in one run: unknown keys and wrong types as file:line:column with what was expected and the nearest
key, limits that contradict each other, files that are not there, listeners that others could reach.

Examples:
  braid validate braid.yaml
  braid validate braid.yaml --no-files            on a machine without the certificates
  braid validate braid.yaml -o json               for a program; exit code 78 if there is an error)";

constexpr const char* kPrintConfigExamples = R"(
Examples:
  braid print-config                              the built-in defaults
  braid print-config braid.yaml                   what is in effect, and where each value is from
  braid print-config --descriptions > braid.yaml  a commented file to start from

Secrets are printed as ***, or as the reference they were given by.)";

constexpr const char* kSchemaExamples = R"(
Examples:
  braid schema > braid.schema.json                then start your file with
                                                  # yaml-language-server: $schema=braid.schema.json
  braid schema -o markdown | less                 every key with its default and meaning)";

constexpr const char* kTraceExamples = R"(
Examples:
  braid trace 4bf92f3577b34da6a3ce929d0e0e4736
  braid trace 4bf92f3577b34da6a3ce929d0e0e4736 --attributes
  braid trace 4bf92f3577b34da6a3ce929d0e0e4736 -o json | jq '.spans | length'

Under each span stand its logs, each with the reason why it joined; at the end those that did not, and why.)";

constexpr const char* kDemoExamples = R"(
Examples:
  braid demo                                      to the Braid on this machine, until Ctrl-C
  braid demo --rate 200 --duration 1m             harder, for a minute
  braid demo --endpoint 127.0.0.1:14317 --seed 7 --duration 10s -o json)";

constexpr const char* kReplayExamples = R"(
Examples:
  braid replay day.otlp                           as fast as the gateway takes it
  braid replay --pace realtime day.otlp           as it happened
  braid replay --pace 10x --order time traces.otlp logs.otlp
  braid replay --order shuffle --shuffle-window 60s traces.otlp logs.otlp)";

constexpr const char* kDashboardsExamples = R"(
Examples:
  braid dashboards export --out /var/lib/grafana/dashboards/braid
  braid dashboards export --dialect otel --out ./dashboards        where metrics.dialect is otel
  braid dashboards export --out /var/lib/grafana/dashboards/braid --provisioning /etc/grafana/provisioning \
      --prometheus http://prometheus:9090 --loki http://loki:3100 --tempo http://tempo:3200 --url http://braid:9464

The dashboards work on import, too: they ask for their data sources themselves. --provisioning adds the data sources with
the ways from metrics to traces, from traces to logs and back, and shows the dashboards in a folder of their own.
docs/dashboards.md has a picture of each.)";

constexpr const char* kRulesExamples = R"(
Examples:
  braid rules export > braid-rules.yaml           Braid's own alerts
  braid rules export --slo slo.yaml --out braid-rules.yaml
  braid rules export --slo slo.yaml --only slo --dialect otel

One file for rule_files of prometheus.yml: Braid's own alerts and, for each objective of the SLO file, recording rules and
burn-rate alerts over 30 days. The SLO file is described in docs/slo.md; what is wrong with it is said as
file:line:column, and the exit code is then 78. --dialect has to be what metrics.dialect is.)";
constexpr const char* kDoctorExamples = R"(
Each check is a line: ok, warn, FAIL or skipped; below it stand what is wrong and what to change. What is not named is
not probed. Nothing is changed anywhere, but that a Loki gets one line in {service_name="braid-doctor"}.

Examples:
  braid doctor                                    Braid on this machine alone
  braid doctor --prometheus http://127.0.0.1:9090 --loki http://127.0.0.1:3100 --tempo http://127.0.0.1:3200
  braid doctor --datasources /etc/grafana/provisioning/datasources
  braid doctor --url '' --datasources a.yaml --datasources b.yaml      files alone, no Braid
  braid doctor --loki https://loki:3100 --org-id team-a --no-write
  braid doctor --prometheus http://127.0.0.1:9090 -o json | jq '.checks[] | select(.verdict == "fail")'

https uses the system's certificates, or those of SSL_CERT_FILE. No credentials are sent.
Exit codes: 0 nothing failed (warnings are allowed), 1 something did, 64 wrong use, 69 Braid does not answer.)";

// What all commands that read the configuration take.
void AddConfig(CLI::App* command, ConfigSource* source) {
  command
      ->add_option("config,-c,--config", source->file,
                   "The configuration file; without one, built-in defaults.")
      ->envname("BRAID_CONFIG")
      ->type_name("FILE");
  command
      ->add_option("--set", source->overrides, "Override one value; the right side is YAML. May be repeated.")
      ->type_name("path.to.key=value")
      ->allow_extra_args(false);
}

CLI::Option* AddJson(CLI::App* command, bool* json) {
  return command
      ->add_option_function<std::string>(
          "-o,--output", [json](const std::string& format) { *json = format == "json"; }, "How to print.")
      ->check(CLI::IsMember({"text", "json"}))
      ->default_str("text");
}

// A duration as in the configuration: 10s, 500ms.
CLI::Option* AddDuration(CLI::App* command, const std::string& name, std::chrono::milliseconds* value,
                         const std::string& help) {
  return command
      ->add_option_function<std::string>(
          name, [value](const std::string& text) { *value = *config::ParseDuration(text); }, help)
      ->check(CLI::Validator(
          [](std::string& text) {
            return config::ParseDuration(text) ? std::string() : "expected a duration such as 10s or 500ms";
          },
          ""))
      ->type_name("DURATION");
}

// An HTTP address that may be left out, or be empty.
CLI::Option* AddUrl(CLI::App* command, const std::string& name, std::string* url, const std::string& help) {
  return command->add_option(name, *url, help)
      ->check(CLI::Validator([](std::string& text) { return DescribeBadUrl(text); }, ""))
      ->type_name("URL");
}

// Whether to colour what goes to standard output (https://no-color.org).
bool WantColor() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0') &&
         (term == nullptr || std::string_view(term) != "dumb");
}

size_t TerminalWidth() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return TraceOptions{}.width;
}

// The commands and where their options go. CLI11 keeps pointers into it.
class CommandLine {
 public:
  CommandLine(const Commands& engines, std::ostream& out, std::ostream& err)
      : engines_(engines), out_(out), err_(err) {
    app_.name("braid");
    app_.footer(kStart);
    app_.require_subcommand(1);
    app_.set_version_flag("--version", std::string("braid ") + BRAID_VERSION);
    app_.get_formatter()->column_width(34);
    Run();
    ValidateAndPrint();
    Schema();
    Demo();
    Replay();
    Trace();
    Dashboards();
    Rules();
    Doctor();
    Version();
  }

  int Parse(int argc, const char* const* argv) {
    try {
      app_.parse(argc, argv);
    } catch (const CLI::CallForHelp& help) {
      return app_.exit(help, out_, err_) == 0 ? kExitOk : kExitUsage;
    } catch (const CLI::CallForVersion& version) {
      return app_.exit(version, out_, err_) == 0 ? kExitOk : kExitUsage;
    } catch (const CLI::ParseError& error) {
      if (argc <= 1) {
        err_ << app_.help();
      } else {
        err_ << "braid: " << error.what() << "\nTry: braid" << CommandName() << " --help\n";
      }
      return kExitUsage;
    }
    return action_();
  }

 private:
  std::string CommandName() const {
    std::string name;
    for (const CLI::App* command = &app_; !command->get_subcommands().empty();) {
      command = command->get_subcommands().front();
      name += ' ' + command->get_name();
    }
    return name;
  }

  // A command; what it does is decided by parsing and done afterwards.
  CLI::App* Add(const std::string& name, const std::string& help, const char* examples,
                std::function<int()> action) {
    return AddTo(&app_, name, help, examples, std::move(action));
  }

  // The same below a word that several commands share.
  CLI::App* AddTo(CLI::App* above, const std::string& name, const std::string& help, const char* examples,
                  std::function<int()> action) {
    CLI::App* command = above->add_subcommand(name, help);
    command->footer(examples);
    command->final_callback([this, action = std::move(action)] { action_ = action; });
    return command;
  }

  void Run() {
    CLI::App* command = Add("run", "Start the gateway.", kRunExamples, [this] {
      const config::Loaded loaded = LoadAndReport(run_source_, err_);
      if (!loaded.ok()) return kExitConfig;
      return engines_.run(loaded.config,
                          {.config_file = run_source_.file, .config_sha256 = ConfigSha256(loaded)});
    });
    AddConfig(command, &run_source_);
  }

  void ValidateAndPrint() {
    CLI::App* validate = Add("validate", "Check a configuration and say everything that is wrong with it.",
                             kValidateExamples, [this] { return Validate(validate_, out_, err_); });
    AddConfig(validate, &validate_.source);
    validate->add_flag("!--no-files", validate_.check_files, "Do not look for the files that it names.");
    validate->add_flag("--deny-warnings", validate_.deny_warnings, "Warnings are errors.");
    AddJson(validate, &validate_.json);

    CLI::App* print = Add("print-config", "Print the configuration in effect, defaults included.",
                          kPrintConfigExamples, [this] { return PrintConfig(print_, out_, err_); });
    AddConfig(print, &print_.source);
    print->add_flag("--descriptions", print_.descriptions, "Say above each key what it is for.");
    print
        ->add_option_function<std::string>(
            "-o,--output", [this](const std::string& format) { print_.json = format == "json"; },
            "How to print.")
        ->check(CLI::IsMember({"yaml", "json"}))
        ->default_str("yaml");
  }

  void Schema() {
    CLI::App* command = Add("schema", "Print the configuration's JSON Schema, for editors.", kSchemaExamples,
                            [this] { return PrintSchema(markdown_, out_); });
    command
        ->add_option_function<std::string>(
            "-o,--output", [this](const std::string& format) { markdown_ = format == "markdown"; },
            "How to print.")
        ->check(CLI::IsMember({"json", "markdown"}))
        ->default_str("json");
  }

  void Demo() {
    CLI::App* command =
        Add("demo", "Send the traffic of a small made-up shop: several services, errors, slow paths.",
            kDemoExamples, [this] { return engines_.demo(demo_); });
    command->add_option("--endpoint,--url", demo_.endpoint, "Where to send: OTLP/gRPC, in the clear.")
        ->type_name("HOST:PORT")
        ->capture_default_str();
    command->add_option("--rate", demo_.rate, "Requests to the shop per second.")
        ->check(CLI::Range(0.01, 100'000.0))
        ->capture_default_str();
    AddDuration(command, "--duration", &demo_.duration, "How long; without it, until interrupted.");
    command->add_option("--seed", demo_.seed, "Equal seeds make equal traffic. Without it, a fresh one.")
        ->type_name("NUMBER");
    AddDuration(command, "--connect-for", &demo_.connect_for,
                "How long to wait for the gateway at the start.")
        ->default_str("10s");
    AddJson(command, &demo_.json);
  }

  void Replay() {
    CLI::App* command = Add("replay", "Send recorded requests again.", kReplayExamples,
                            [this] { return engines_.replay(replay_); });
    command->add_option("files", replay_.files, "Recordings: OTLP requests, one after the other.")
        ->required()
        ->check(CLI::ExistingFile)
        ->type_name("FILE");
    command->add_option("--endpoint,--url", replay_.endpoint, "Where to send: OTLP/gRPC, in the clear.")
        ->type_name("HOST:PORT")
        ->capture_default_str();
    command
        ->add_option_function<std::string>(
            "--pace", [this](const std::string& text) { replay_.pace = *ParsePace(text); },
            "max: as fast as it is taken. realtime: as recorded. 10x: ten times that.")
        ->check(CLI::Validator(
            [](std::string& text) {
              const Result<ReplayPace> pace = ParsePace(text);
              return pace.ok() ? std::string() : pace.status().message();
            },
            ""))
        ->type_name("max|realtime|Nx")
        ->default_str("max");
    AddOrder(command);
    AddDuration(command, "--shuffle-window", &replay_.shuffle_window, "Largest offset of --order shuffle.")
        ->default_str("60s");
    command->add_option("--seed", replay_.seed, "Of the shuffle.")->capture_default_str();
    command
        ->add_option("--in-flight", replay_.in_flight,
                     "Requests under way at once; 1 keeps the order exactly.")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    command->add_flag("!--no-progress", replay_.progress, "No progress, not even on a terminal.");
    AddJson(command, &replay_.json);
  }

  void AddOrder(CLI::App* command) {
    static const std::vector<std::pair<std::string, ReplayOrder>> kOrders = {
        {"file", ReplayOrder::kFile},
        {"time", ReplayOrder::kTime},
        {"logs-first", ReplayOrder::kLogsFirst},
        {"spans-first", ReplayOrder::kSpansFirst},
        {"shuffle", ReplayOrder::kShuffle}};
    command
        ->add_option_function<std::string>(
            "--order",
            [this](const std::string& text) {
              for (const auto& [name, order] : kOrders) {
                if (name == text) replay_.order = order;
              }
            },
            "file: as the files have it. time: by event time, all files together. logs-first and "
            "spans-first: "
            "one signal after the other. shuffle: by event time, give or take.")
        ->check(CLI::IsMember({"file", "time", "logs-first", "spans-first", "shuffle"}))
        ->default_str("file");
  }

  void Trace() {
    CLI::App* command = Add("trace", "Show a trace with its joined logs.", kTraceExamples, [this] {
      trace_.color = WantColor();
      trace_.width = TerminalWidth();
      return ShowTrace(trace_, out_, err_);
    });
    command->add_option("id", trace_.id, "The trace ID, in hex.")->required()->type_name("ID");
    command->add_option("--url", trace_.url, "Braid's web listener.")
        ->capture_default_str()
        ->type_name("URL");
    command->add_flag("-a,--attributes", trace_.attributes, "Attributes too.");
    AddDuration(command, "--timeout", &trace_.timeout, "How long to wait for the answer.")
        ->default_str("10s");
    AddJson(command, &trace_.json);
  }

  void Dashboards() {
    CLI::App* above = app_.add_subcommand("dashboards", "Dashboards for Grafana.");
    above->footer(kDashboardsExamples);
    above->require_subcommand(1);
    CLI::App* command =
        AddTo(above, "export", "Write the dashboards, and how Grafana is to be set up for them.",
              kDashboardsExamples, [this] { return ExportDashboards(dashboards_, out_, err_); });
    command
        ->add_option_function<std::string>(
            "--dialect",
            [this](const std::string& name) { dashboards_.dialect = name == "otel" ? "otel" : "tempo"; },
            "Names of the metrics that they ask for, as in metrics.dialect; both is tempo.")
        ->check(CLI::IsMember({"tempo", "otel", "both"}))
        ->default_str("tempo");
    command->add_option("--out", dashboards_.out, "Folder for the dashboards.")->required()->type_name("DIR");
    CLI::Option* provisioning = command
                                    ->add_option("--provisioning", dashboards_.provisioning,
                                                 "Folder for Grafana's provisioning files.")
                                    ->type_name("DIR");
    const auto address = [&](const char* name, std::string* url, const char* help) {
      AddUrl(command, name, url, help)
          ->check([](const std::string& text) { return text.empty() ? "expected a URL" : ""; })
          ->capture_default_str()
          ->needs(provisioning);
    };
    address("--prometheus", &dashboards_.prometheus, "Prometheus, as Grafana reaches it.");
    address("--loki", &dashboards_.loki, "Loki, likewise.");
    address("--tempo", &dashboards_.tempo, "Tempo, likewise.");
    address("--jaeger", &dashboards_.jaeger, "Jaeger's query service, likewise.");
    address("--url", &dashboards_.url, "Braid's web listener, as browsers reach it.");
    AddJson(command, &dashboards_.json);
  }

  void Rules() {
    CLI::App* above =
        app_.add_subcommand("rules", "Rules for Prometheus: alerts and service level objectives.");
    above->footer(kRulesExamples);
    above->require_subcommand(1);
    CLI::App* command = AddTo(above, "export", "Print recording and alerting rules for Prometheus.",
                              kRulesExamples, [this] { return ExportRules(rules_, out_, err_); });
    CLI::Option* slo =
        command->add_option("--slo", rules_.slo_file, "Objectives to make rules for.")->type_name("FILE");
    command
        ->add_option_function<std::string>(
            "--dialect", [this](const std::string& name) { rules_.dialect = *rules::ParseDialect(name); },
            "Names of the metrics that the objectives are about, as in metrics.dialect; both is tempo.")
        ->check(CLI::IsMember({"tempo", "otel", "both"}))
        ->default_str("tempo");
    command->add_option("--runbooks", rules_.runbooks, "Where docs/runbooks.md is to be found.")
        ->check(CLI::Validator(
            [](std::string& text) {
              return text.empty() || text.find_first_of("# \t\n{}") != std::string::npos
                         ? "expected a link without '#', blanks and braces, such as "
                           "https://example.org/runbooks.md"
                         : std::string();
            },
            ""))
        ->type_name("URL")
        ->capture_default_str();
    CLI::Option* only = command
                            ->add_option_function<std::string>(
                                "--only",
                                [this](const std::string& part) {
                                  rules_.braid = part == "braid";
                                  rules_.slo = part == "slo";
                                },
                                "braid: Braid's own alerts only. slo: the objectives only.")
                            ->check(CLI::IsMember({"braid", "slo"}));
    command->add_option("--out", rules_.out_file, "Write it there instead of to standard output.")
        ->type_name("FILE");
    command
        ->add_option_function<std::string>(
            "-o,--output", [this](const std::string& format) { rules_.json = format == "json"; },
            "How to print.")
        ->check(CLI::IsMember({"yaml", "json"}))
        ->default_str("yaml");
    command->parse_complete_callback([this, slo, only] {
      if (rules_.braid && rules_.slo) return;
      if (rules_.slo == slo->empty())
        throw CLI::ValidationError(only->get_name(),
                                   slo->empty() ? "slo needs --slo FILE" : "braid makes nothing of --slo");
    });
  }

  void Doctor() {
    CLI::App* command = Add("doctor", "Check Braid and what stands around it, and say what to change.",
                            kDoctorExamples, [this] {
                              doctor_.color = WantColor();
                              return RunDoctor(doctor_, out_);
                            });
    AddUrl(command, "--url", &doctor_.probe.url, "Braid's web listener.")->capture_default_str();
    AddUrl(command, "--prometheus", &doctor_.probe.prometheus, "A Prometheus that is to scrape it.");
    AddUrl(command, "--loki", &doctor_.probe.loki, "A Loki that is to take its logs.");
    AddUrl(command, "--tempo", &doctor_.probe.tempo, "A Tempo that is to take its traces.");
    AddUrl(command, "--jaeger", &doctor_.probe.jaeger, "A Jaeger query service that is to have them.");
    command
        ->add_option(
            "--datasources", doctor_.probe.datasources,
            "Grafana's data source files, or a folder of them. May be repeated; all are read together.")
        ->check(CLI::ExistingPath)
        ->allow_extra_args(false)
        ->type_name("FILE_OR_DIR");
    command
        ->add_option("--org-id", doctor_.probe.org_id,
                     "Tenant: X-Scope-OrgID for Prometheus, Loki and Tempo.")
        ->check(CLI::Validator(
            [](std::string& text) {
              return net::ValidHttpHeader("X-Scope-OrgID", text) ? std::string() : "has a control character";
            },
            ""))
        ->type_name("TENANT");
    AddDuration(command, "--timeout", &doctor_.probe.timeout, "How long to wait for one answer.")
        ->default_str("5s");
    command->add_flag("!--no-write", doctor_.probe.write, "Do not write the line to Loki.");
    AddJson(command, &doctor_.json);
  }

  void Version() {
    CLI::App* command = Add("version", "Print the version.", "", [this] {
      if (version_json_) {
        out_ << R"({"name":"braid","version":")" << BRAID_VERSION << "\",\"compiler\":\"" << __VERSION__
             << "\"}\n";
      } else {
        out_ << "braid " << BRAID_VERSION << '\n';
      }
      return kExitOk;
    });
    AddJson(command, &version_json_);
  }

  const Commands& engines_;
  std::ostream& out_;
  std::ostream& err_;
  CLI::App app_{kAbout};
  std::function<int()> action_;
  ConfigSource run_source_;
  ValidateOptions validate_;
  PrintConfigOptions print_;
  bool markdown_ = false;
  DemoOptions demo_;
  ReplayOptions replay_;
  TraceOptions trace_;
  ExportDashboardsOptions dashboards_;
  ExportRulesOptions rules_;
  DoctorCommandOptions doctor_;
  bool version_json_ = false;
};

}  // namespace

int RunCli(int argc, const char* const* argv, const Commands& engines, std::ostream& out, std::ostream& err) {
  try {
    const int code = CommandLine(engines, out, err).Parse(argc, argv);
    out.flush();
    // A full disk or a closed pipe must not look like success.
    return code == kExitOk && !out ? kExitFailure : code;
  } catch (const std::exception& error) {
    err << "braid: " << error.what() << '\n';
    return kExitFailure;
  }
}

int RunCli(int argc, char** argv, const Commands& engines) {
  return RunCli(argc, argv, engines, std::cout, std::cerr);
}

}  // namespace braid::gateway::cli
