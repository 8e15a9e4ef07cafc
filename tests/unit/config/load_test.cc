#include "config/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "config/print.h"
#include "config/reference.h"
#include "config/schema.h"
#include "config/units.h"

namespace braid::config {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

std::filesystem::path Source(const std::string& path) {
  return std::filesystem::path(BRAID_SOURCE_DIR) / path;
}

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::filesystem::path> Examples() {
  std::vector<std::filesystem::path> out;
  for (const auto& entry : std::filesystem::directory_iterator(Source("config/examples"))) {
    // Not a gateway's configuration, but what `braid rules export` reads; gateway/rules tests it.
    if (entry.path().filename() != "slo.yaml") out.push_back(entry.path());
  }
  return out;
}

class LoadTest : public testing::Test {
 protected:
  Loaded LoadText(const std::string& text, std::vector<std::string> overrides = {}) {
    LoadOptions options;
    options.file = "braid.yaml";
    options.text = text;
    options.overrides = std::move(overrides);
    options.check_files = false;
    options.environment = [this](const std::string& name) -> std::optional<std::string> {
      const auto found = variables_.find(name);
      if (found == variables_.end()) return std::nullopt;
      return found->second;
    };
    return Load(options);
  }

  std::map<std::string, std::string> variables_;
};

// Scenario: nothing is configured, in three ways.
// Guarantees: the schema's defaults are those of the structs, so neither can be changed alone.
TEST_F(LoadTest, NothingGivesTheDefaultsOfTheStructs) {
  for (const char* text : {"", "# only a comment\n", "sinks:\nfilters:\nlog: {}\nreceivers:\n  otlp:\n"}) {
    const Loaded loaded = LoadText(text);
    EXPECT_TRUE(loaded.ok()) << loaded.Report();
    EXPECT_EQ(loaded.config, Config{}) << text;
  }
  EXPECT_EQ(Load({}).config, Config{});
}

// Scenario: every kind of value is set.
// Guarantees: each arrives in its struct.
TEST_F(LoadTest, BindsEveryKindOfValue) {
  const Loaded loaded = LoadText(R"(
memory: {budget: 1GiB}
threads: {cores: 3}
receivers:
  otlp:
    grpc: {enabled: false, listen: '[::1]:0', max_request_bytes: 1000000}
    http:
      tls: {cert_file: c, key_file: /k}
      cors: {allowed_origins: ['*']}
web: {listen: 0.0.0.0:80, insecure: true}
correlate: {window: 1m, log_hold: 500ms, logs: {wait_for: verdict}, spans: {wait: none}}
metrics: {max_series: 7, exemplars: false, size: false, exceptions: true, exception_message: true,
           dimensions: [http.route, {name: zone, default: none}, {name: a b, label: c}],
           exclude_labels: [span_kind, service], sampling: {ratio_attribute: SampleRatio}, ingested: {enabled: false, stale_after: 1h, max_series: 9,
           exemplars: {enabled: true, match: [a, b], metrics: x}}}
store: {max_bytes: 12.5%}
filters:
  - name: r
    action: redact
    signals: [logs]
    match: [{field: resource, key: a, pattern: b}]
    key: k
    pattern: (p)
    replacement: '\1'
sinks:
  one:
    type: loki
    endpoint: https://h/base
    headers: {X-A: b}
    auth: {basic: {username: u, password: p}}
    labels: {zone: rack, a: b}
    tenant: t
    timeout: 3s
    retry: {initial: 1s, max: 2s}
    queue: {max_bytes: 2MiB, on_full: refuse}
    dead_letter: d
  two: {type: otlp_http, endpoint: 'http://h', compression: zstd, signals: [metrics, traces]}
batch: {max_items: 5, max_bytes: 64KiB, max_age: 0ms}
log: {level: error, format: json}
shutdown: {drain_deadline: 1s}
)");
  ASSERT_TRUE(loaded.ok()) << loaded.Report();
  const Config& c = loaded.config;
  EXPECT_EQ(c.memory.budget, 1024_MiB);
  EXPECT_EQ(c.threads.cores, 3u);
  EXPECT_FALSE(c.receivers.otlp.grpc.enabled);
  EXPECT_EQ(c.receivers.otlp.grpc.listen, (Address{"::1", 0}));
  EXPECT_EQ(c.receivers.otlp.grpc.max_request_bytes, 1'000'000u);
  EXPECT_EQ(c.receivers.otlp.http.tls, (ServerTls{"c", "/k", ""}));
  EXPECT_THAT(c.receivers.otlp.http.cors.allowed_origins, ElementsAre("*"));
  EXPECT_TRUE(c.web.insecure);
  EXPECT_EQ(c.web.listen.ToString(), "0.0.0.0:80");
  EXPECT_EQ(c.correlate.window, milliseconds(60'000));
  EXPECT_EQ(c.correlate.log_hold, milliseconds(500));
  EXPECT_EQ(c.correlate.logs_wait_for, Correlate::LogsWaitFor::kVerdict);
  EXPECT_EQ(c.correlate.spans_wait, Correlate::SpansWait::kNone);
  Metrics metrics;
  metrics.max_series = 7;
  metrics.exemplars = false;
  metrics.size = false;
  metrics.exceptions = metrics.exception_message = true;
  metrics.dimensions = {{"http.route", "", ""}, {"zone", "none", ""}, {"a b", "", "c"}};
  metrics.exclude_labels = {.service = true, .span_kind = true};
  metrics.ratio_attribute = "SampleRatio";
  metrics.ingested = {false, milliseconds(3'600'000), 9, {true, {"a", "b"}, "x"}};
  EXPECT_EQ(c.metrics, metrics);
  EXPECT_EQ(c.store.max_bytes, 128_MiB);
  ASSERT_EQ(c.filters.size(), 1u);
  EXPECT_EQ(c.filters[0], (FilterRule{.name = "r",
                                      .signals = {.logs = true},
                                      .match = {{FilterMatch::Field::kResource, "a", "b"}},
                                      .action = FilterRule::Action::kRedact,
                                      .key = "k",
                                      .pattern = "(p)",
                                      .replacement = "\\1"}));
  ASSERT_EQ(c.sinks.size(), 2u);
  Sink one;
  one.name = "one";
  one.type = Sink::Type::kLoki;
  one.signals = {.logs = true};
  one.endpoint = "https://h/base";
  one.headers = {{"X-A", Secret("b")}};
  one.auth.basic = {"u", Secret("p")};
  one.labels = {{"zone", "rack"}, {"a", "b"}};
  one.tenant = "t";
  one.timeout = milliseconds(3'000);
  one.retry = {milliseconds(1'000), milliseconds(2'000)};
  one.queue = {2_MiB, Queue::OnFull::kRefuse};
  one.dead_letter = "d";
  EXPECT_EQ(c.sinks[0], one);
  EXPECT_EQ(c.sinks[1].compression, Sink::Compression::kZstd);
  EXPECT_EQ(c.sinks[1].signals, (Signals{.traces = true, .metrics = true}));
  EXPECT_EQ(c.sinks[1].queue.max_bytes, 128_MiB);
  EXPECT_EQ(c.batch, (Batch{5, 64_KiB, milliseconds(0)}));
  EXPECT_EQ(c.log, (Log{Log::Level::kError, Log::Format::kJson}));
  EXPECT_EQ(c.shutdown.drain_deadline, milliseconds(1'000));
}

// Scenario: a remote write sink with every key of its own, one with none, and derived metrics over OTLP. The
// version is written as YAML readers like it least, as a number. Guarantees: every value arrives in its
// place; the defaults are those of the structs.
TEST_F(LoadTest, BindsMetricsThatArePushed) {
  const Loaded loaded = LoadText(R"(
sinks:
  full:
    type: prometheus_remote_write
    endpoint: https://h/api/v1/write
    protocol: 2.0
    interval: 30s
    origins: [self, derived]
    native_histograms: false
    exemplars: false
    external_labels: {zone: eu, a: "1"}
    tenant: t
    queue: {max_bytes: 2MiB}
  quoted: {type: prometheus_remote_write, endpoint: 'http://h/w', protocol: "1.0"}
  backend: {type: otlp_grpc, endpoint: 'http://h:1', derived_metrics: {enabled: true, interval: 10s,
            resource_attributes: {zone: eu, service.namespace: "1"}}}
)");
  ASSERT_TRUE(loaded.ok()) << loaded.Report();
  const std::vector<Sink>& sinks = loaded.config.sinks;
  ASSERT_EQ(sinks.size(), 3u);
  Sink full;
  full.name = "full";
  full.type = Sink::Type::kPrometheusRemoteWrite;
  full.signals = {.metrics = true};
  full.endpoint = "https://h/api/v1/write";
  full.remote_write = {.protocol = RemoteWrite::Protocol::kV2,
                       .interval = milliseconds(30'000),
                       .origins = {.derived = true, .ingested = false, .self = true},
                       .native_histograms = false,
                       .exemplars = false,
                       .external_labels = {{"zone", "eu"}, {"a", "1"}}};
  full.tenant = "t";
  full.queue = {2_MiB, Queue::OnFull::kDropOldest};
  EXPECT_EQ(sinks[0], full);
  RemoteWrite plain;
  plain.protocol = RemoteWrite::Protocol::kV1;
  EXPECT_EQ(sinks[1].remote_write, plain);
  EXPECT_EQ(sinks[2].derived_metrics,
            (DerivedMetrics{true, milliseconds(10'000), {{"zone", "eu"}, {"service.namespace", "1"}}}));
  EXPECT_EQ(sinks[2].remote_write, RemoteWrite{});
}

// Scenario: the example files.
// Guarantees: each is valid; what is printed of it reads back as the same configuration.
TEST_F(LoadTest, ExamplesAreValidAndSurviveBeingPrinted) {
  ASSERT_GE(Examples().size(), 5u);
  for (const auto& path : Examples()) {
    LoadOptions options;
    options.file = path.string();
    options.check_files = false;
    options.environment = [](const std::string&) { return std::nullopt; };
    const Loaded loaded = Load(options);
    EXPECT_TRUE(loaded.ok()) << loaded.Report();
    EXPECT_THAT(loaded.warnings, IsEmpty()) << loaded.Report();
    for (const bool descriptions : {false, true}) {
      const Loaded again =
          LoadText(PrintYaml(loaded, {.origins = !descriptions, .descriptions = descriptions}));
      EXPECT_TRUE(again.ok()) << path << again.Report();
      EXPECT_EQ(again.config, loaded.config) << path;
    }
  }
}

// Scenario: entries that may be a text or a map, both ways, and from the command line.
// Guarantees: they read alike; printed is the short form wherever nothing is lost by it.
TEST_F(LoadTest, TextStandsForAMap) {
  const auto printed = [&](const std::string& dimensions) {
    const Loaded loaded = LoadText("metrics: {dimensions: " + dimensions + "}");
    EXPECT_TRUE(loaded.ok()) << loaded.Report();
    const std::string text = PrintYaml(loaded, {.origins = false, .descriptions = false});
    EXPECT_EQ(LoadText(text).config, loaded.config) << text;
    return text;
  };
  EXPECT_THAT(printed("[a.b, {name: c}, {name: d, default: '', label: ''}]"),
              HasSubstr("  dimensions: [a.b, c, d]\n"));
  EXPECT_THAT(printed("[a.b, {name: c, default: none}]"), HasSubstr("  dimensions:\n"
                                                                    "    - a.b\n"
                                                                    "    - name: c\n"
                                                                    "      default: none\n"
                                                                    "      label: \"\"\n"));
  const Loaded set = LoadText("", {"metrics.dimensions=[5, {name: true, default: 7}]"});
  ASSERT_TRUE(set.ok()) << set.Report();
  EXPECT_THAT(set.config.metrics.dimensions,
              ElementsAre(Metrics::Dimension{"5", "", ""}, Metrics::Dimension{"true", "7", ""}));
}

// Scenario: full.yaml is loaded and printed with descriptions.
// Guarantees: the file is what the schema says now, key by key and word by word.
TEST_F(LoadTest, FullExampleIsUpToDate) {
  const std::string file = ReadAll(Source("config/examples/full.yaml"));
  const std::string printed = PrintYaml(LoadText(file), {.origins = false, .descriptions = true});
  EXPECT_EQ(file.substr(file.find("\n\n") + 2), printed);
}

// Scenario: docs/configuration.md is generated again.
// Guarantees: it is what the schema says now.
TEST(ReferenceTest, PageIsUpToDate) {
  EXPECT_EQ(ReadAll(Source("docs/configuration.md")), ReferencePage())
      << "braid schema -o markdown > docs/configuration.md";
}

void CheckInPage(const Schema& schema, const std::string& path, const std::string& page) {
  for (const auto& [key, property] : schema.properties) {
    const std::string below = path.empty() ? key : path + '.' + key;
    const bool section = property.object && property.additional == nullptr && !property.nullable;
    if (!section) {
      EXPECT_THAT(page, HasSubstr("| `" + below + "` |"));
    }
    CheckInPage(property, below, page);
  }
  for (const Schema& one : schema.one_of) CheckInPage(one, "", page);
  if (schema.items) CheckInPage(*schema.items, path + "[]", page);
  if (schema.additional) CheckInPage(*schema.additional, path + ".<name>", page);
}

// Scenario: the whole schema is walked, into lists and named maps as well.
// Guarantees: every key is in the reference, under the path that a file has it at in its section.
TEST(ReferenceTest, HasEveryKey) {
  const std::string page = ReferencePage();
  for (const auto& [key, section] : RootSchema().properties) {
    const Schema* entry = section.items ? section.items.get() : section.additional.get();
    CheckInPage(entry == nullptr ? section : *entry, "", page);
  }
}

// Scenario: values come from the environment, from files and with dollars.
// Guarantees: they are put in after parsing, take the type that is expected, and are not looked at again.
TEST_F(LoadTest, Substitutes) {
  const auto file = std::filesystem::path(testing::TempDir()) / "braid-config-secret";
  std::ofstream(file) << "to${env:N}ken\n";
  variables_ = {{"N", "3"}, {"YES", "true"}, {"EMPTY", ""}, {"TEXT", "a: [b"}};
  const Loaded loaded = LoadText(R"(
threads: {cores: "${env:N}"}
web: {insecure: "${env:YES}"}
batch:
  max_items: ${env:EMPTY:-12}
sinks:
  a:
    type: otlp_http
    endpoint: http://127.0.0.1:${env:N}000/$$x$y
    auth: {bearer: '${file:)" + file.string() +
                                 R"(}'}
    tenant: ${env:NONE:-42}
    headers: {x-a: '${env:TEXT}'}
)");
  ASSERT_TRUE(loaded.ok()) << loaded.Report();
  EXPECT_EQ(loaded.config.threads.cores, 3u);
  EXPECT_TRUE(loaded.config.web.insecure);
  EXPECT_EQ(loaded.config.batch.max_items, 12u);
  const Sink& sink = loaded.config.sinks.at(0);
  EXPECT_EQ(sink.endpoint, "http://127.0.0.1:3000/$x$y");
  EXPECT_EQ(sink.auth.bearer.Reveal(), "to${env:N}ken");
  EXPECT_EQ(sink.tenant, "42");
  EXPECT_EQ(sink.headers[0].second.Reveal(), "a: [b");
}

// Scenario: secrets are given literally, by reference, with a default, and of the wrong form.
// Guarantees: no way of printing shows one; a plain reference is shown as such.
TEST_F(LoadTest, NeverPrintsSecrets) {
  variables_ = {{"S", "hunter2"}, {"BAD", "hunter2 hunter2"}};
  const auto everything = [](const Loaded& loaded) {
    return PrintYaml(loaded, {}) + PrintYaml(loaded, {.origins = false, .descriptions = true}) +
           PrettyJson(PrintJson(loaded)) + loaded.Report();
  };
  const std::string begin =
      "sinks:\n  a:\n    type: otlp_http\n    endpoint: https://h\n    headers:\n      x-a: ";
  for (const char* value : {"hunter2", "'${env:NONE:-hunter2}'", "\"hunter2\\n\"", "[hunter2]"}) {
    EXPECT_THAT(everything(LoadText(begin + value + "\n")), Not(HasSubstr("hunter2"))) << value;
  }
  const Loaded by_reference = LoadText(begin + "${env:S}\n");
  EXPECT_EQ(by_reference.config.sinks.at(0).headers.at(0).second.Reveal(), "hunter2");
  EXPECT_THAT(everything(by_reference), AllOf(HasSubstr("${env:S}"), Not(HasSubstr("hunter2"))));
  const Loaded bad = LoadText(
      "sinks: {a: {type: stdout}}\n",
      {"sinks.a.type=otlp_http", "sinks.a.endpoint=https://h", "sinks.a.auth.bearer=hunter2 hunter2"});
  EXPECT_FALSE(bad.ok());
  EXPECT_THAT(everything(bad), Not(HasSubstr("hunter2")));
  const Loaded elsewhere = LoadText("log: {level: '${env:S}'}\n");
  EXPECT_FALSE(elsewhere.ok());
  EXPECT_THAT(everything(elsewhere), Not(HasSubstr("hunter2")));
}

// Scenario: values are overridden on the command line.
// Guarantees: the last wins, new maps appear, types follow the schema, errors name the override and not its
// value.
TEST_F(LoadTest, Overrides) {
  const Loaded loaded =
      LoadText("log: {level: warn}\n", {"log.level=error", "log.level=debug", "threads.cores=2",
                                        "sinks.out={type: otlp_http, endpoint: 'http://h:1', tenant: 7}"});
  ASSERT_TRUE(loaded.ok()) << loaded.Report();
  EXPECT_EQ(loaded.config.log.level, Log::Level::kDebug);
  EXPECT_EQ(loaded.config.threads.cores, 2u);
  EXPECT_EQ(loaded.config.sinks.at(0).tenant, "7");

  EXPECT_EQ(LoadText("", {"log.levl=debug"}).Report(),
            "--set log.levl: log.levl: unknown key; did you mean 'level'?\n");
  EXPECT_EQ(LoadText("", {"log.level.x=1", "log.level=x"}).errors.size(), 1u);
  EXPECT_EQ(LoadText("log: {level: info}\n", {"log.level.x=1"}).Report(),
            "--set log.level.x: 'log.level' is not a map: set it as a whole\n");
  EXPECT_EQ(LoadText("", {"nonsense"}).Report(),
            "--set nonsense: expected path.to.key=value, such as log.level=debug\n");
  EXPECT_EQ(LoadText("", {"log..level=info"}).Report(),
            "--set log..level: expected path.to.key=value: a key is missing in the path\n");
}

// Scenario: many mistakes in one file.
// Guarantees: they come in order of the file, the first twenty are told and the rest counted.
TEST_F(LoadTest, CapsErrors) {
  std::string text;
  for (int i = 0; i < 30; ++i) text += "zz" + std::to_string(i) + ": 1\n";
  const Loaded loaded = LoadText(text);
  EXPECT_EQ(loaded.errors.size(), kMaxErrors);
  EXPECT_EQ(loaded.more_errors, 10u);
  EXPECT_TRUE(std::is_sorted(loaded.errors.begin(), loaded.errors.end()));
  EXPECT_THAT(loaded.Report(), HasSubstr("and 10 more errors\n"));
}

// Scenario: what is allowed but hardly meant.
// Guarantees: it is a warning at its place, and the configuration counts as valid.
TEST_F(LoadTest, Warns) {
  const Loaded loaded = LoadText(
      "sinks:\n  a:\n    type: otlp_http\n    endpoint: http://far.example\n    auth: {bearer: t}\n"
      "  b:\n    type: otlp_http\n    endpoint: https://far.example\n    tls: {insecure_skip_verify: true}\n"
      "receivers:\n  otlp:\n    http:\n      max_request_bytes: 300MiB\n");
  EXPECT_TRUE(loaded.ok());
  EXPECT_EQ(
      loaded.Report(),
      "warning: braid.yaml:4:15: sinks.a.endpoint: credentials or headers go to far.example in plain text; "
      "https:// protects them\n"
      "warning: braid.yaml:9:33: sinks.b.tls.insecure_skip_verify: the receiver's certificate is not "
      "checked\n"
      "warning: braid.yaml:13:26: receivers.otlp.http.max_request_bytes: more than half of memory.budget "
      "(512MiB): requests of that size will mostly be told to come back later\n");
}

// Scenario: files that are named are absent, directories, or there; paths are relative.
// Guarantees: relative paths start at the configuration file's directory; what cannot be used is an error at
// its place.
TEST_F(LoadTest, ChecksFiles) {
  const auto directory = std::filesystem::path(testing::TempDir()) / "braid-config-files";
  std::filesystem::create_directories(directory);
  std::ofstream(directory / "cert.pem") << "x";
  std::ofstream(directory / "braid.yaml") << "web:\n  tls:\n    cert_file: cert.pem\n    key_file: key.pem\n"
                                             "sinks:\n  a: {type: file, path: out.jsonl}\n  b: {type: file, "
                                             "path: no/out.jsonl}\n  c: {type: file, path: .}\n";
  LoadOptions options;
  options.file = (directory / "braid.yaml").string();
  const Loaded loaded = Load(options);
  EXPECT_EQ(loaded.config.web.tls->cert_file, (directory / "cert.pem").string());
  ASSERT_EQ(loaded.errors.size(), 3u) << loaded.Report();
  EXPECT_EQ(loaded.errors[0].ToString(), options.file +
                                             ":4:15: web.tls.key_file: " + (directory / "key.pem").string() +
                                             " cannot be read: No such file or directory");
  EXPECT_EQ(loaded.errors[1].path, "sinks.b.path");
  EXPECT_THAT(loaded.errors[2].message, HasSubstr("is a directory"));

  options.file = (directory / "none.yaml").string();
  EXPECT_EQ(Load(options).Report(), options.file + ": cannot be read: No such file or directory\n");
  options.file = directory.string();
  EXPECT_EQ(Load(options).Report(), options.file + ": is a directory\n");
}

// Scenario: documents made to exhaust a reader: deep, wide, aliases of aliases, too long.
// Guarantees: each is refused within bounds, with one error.
TEST_F(LoadTest, RefusesBombs) {
  std::string aliases = "a: &a [x,x,x,x,x,x,x,x,x,x]\n";
  for (char name = 'b'; name < 'k'; ++name) {
    aliases += std::string{name} + ": &" + name + " [";
    for (int i = 0; i < 10; ++i) aliases += std::string(i == 0 ? "*" : ",*") + static_cast<char>(name - 1);
    aliases += "]\n";
  }
  std::string indented;
  for (int depth = 0; depth < 300; ++depth) indented += std::string(static_cast<size_t>(depth), ' ') + "a:\n";
  std::string wide;
  for (int i = 0; i < 30'000; ++i) wide += "k" + std::to_string(i) + ": 1\n";
  for (const std::string& text :
       {aliases, indented, wide, std::string(100'000, '['), std::string((1 << 20) + 1, '#')}) {
    EXPECT_EQ(LoadText(text).errors.size(), 1u) << text.substr(0, 20);
  }
}

// Scenario: the largest example is loaded a number of times.
// Guarantees: nothing in loading is far from its cost of some milliseconds; the bound (200 ms) is wide enough
// for sanitizers, and the best of several runs is taken, so that a busy machine does not fail it.
TEST_F(LoadTest, IsQuick) {
  const std::string text = ReadAll(Source("config/examples/full.yaml"));
  auto best = std::chrono::steady_clock::duration::max();
  for (int run = 0; run < 5; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_TRUE(LoadText(text).ok());
    best = std::min(best, std::chrono::steady_clock::now() - begin);
  }
  EXPECT_LT(best, std::chrono::milliseconds(200));
}

// Scenario: spellings of durations, sizes, percentages and addresses.
// Guarantees: exactly the documented ones are taken.
TEST(UnitsTest, Parse) {
  EXPECT_EQ(ParseDuration("500ms"), milliseconds(500));
  EXPECT_EQ(ParseDuration("2h"), milliseconds(7'200'000));
  for (const char* text :
       {"", "5", "s", "-5s", "+5s", "5 s", "1.5s", "5S", "5sec", "99999999999999999999s", "9999999999h"}) {
    EXPECT_EQ(ParseDuration(text), std::nullopt) << text;
  }
  EXPECT_EQ(ParseSize("42"), 42u);
  EXPECT_EQ(ParseSize("10MB"), 10'000'000u);
  EXPECT_EQ(ParseSize("2GiB"), 2048_MiB);
  for (const char* text : {"", "MiB", "-1", "1Mi", "1mb", "99999999999GiB", "1.5GiB"})
    EXPECT_EQ(ParseSize(text), std::nullopt) << text;
  EXPECT_EQ(ParsePermille("12.5%"), 125u);
  EXPECT_EQ(ParsePermille("100%"), 1000u);
  for (const char* text : {"%", "12", "100.1%", "1.25%", "-1%"})
    EXPECT_EQ(ParsePermille(text), std::nullopt) << text;
  EXPECT_EQ(ParseAddress("[::1]:80"), (Address{"::1", 80}));
  EXPECT_EQ(ParseAddress("a-b.c:0"), (Address{"a-b.c", 0}));
  for (const char* text :
       {"", ":80", "a:", "a:b", "a:-1", "1.2.3:4", "[1.2.3.4]:5", "a b:1", "-a:1", "a..b:1"}) {
    EXPECT_EQ(ParseAddress(text), std::nullopt) << text;
  }
  for (const char* host : {"localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"})
    EXPECT_TRUE(IsLoopback(host)) << host;
  for (const char* host : {"0.0.0.0", "::", "10.0.0.1", "localhost.example", "128.0.0.1"})
    EXPECT_FALSE(IsLoopback(host)) << host;
}

}  // namespace
}  // namespace braid::config
