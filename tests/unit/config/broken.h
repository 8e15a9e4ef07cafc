#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/load.h"

namespace braid::config {

// A configuration that is wrong, and everything that must be said about it.
struct Broken {
  std::string_view name;
  std::string_view text;
  std::string_view errors;  // one a line, as Diagnostic::ToString() has them
};

using std::literals::operator""sv;

// clang-format off
inline constexpr Broken kBroken[] = {
    {"UnknownKey",
     "receivers:\n"
     "  otlp:\n"
     "    grpc:\n"
     "      listn: 127.0.0.1:4317\n"sv,
     "f:4:7: receivers.otlp.grpc.listn: unknown key; did you mean 'listen'?\n"},
    {"UnknownKeyAtTheTop",
     "reciever:\n"
     "  otlp: {}\n"sv,
     "f:1:1: reciever: unknown key; did you mean 'receivers'?\n"},
    {"UnknownKeyNothingNear",
     "log:\n"
     "  zzz: 1\n"sv,
     "f:2:3: log.zzz: unknown key; there are format, level\n"},
    {"KeyThatBelongsElsewhere",
     "log_hold: 5s\n"sv,
     "f:1:1: log_hold: unknown key; did you mean 'log'?\n"},
    {"KeyOfAnotherSinkType",
     "sinks:\n"
     "  a:\n"
     "    type: stdout\n"
     "    endpoint: http://127.0.0.1:1\n"sv,
     "f:4:5: sinks.a.endpoint: key of otlp_grpc, otlp_http, loki, prometheus_remote_write, not of stdout\n"},
    {"DerivedMetricsWithoutMetrics",
     "sinks:\n"
     "  a:\n"
     "    type: otlp_grpc\n"
     "    endpoint: http://127.0.0.1:1\n"
     "    signals: [traces]\n"
     "    derived_metrics:\n"
     "      enabled: true\n"sv,
     "f:7:16: sinks.a.derived_metrics.enabled: derived metrics are metrics, which are not among the sink's signals\n"},
    {"ExemplarLabelsOfOneName",
     "metrics:\n"
     "  exemplar_labels: {trace_id: id, span_id: id}\n"sv,
     "f:2:44: metrics.exemplar_labels.span_id: is the name of both IDs; give them different ones, or leave the span's out (\"\")\n"},
    {"ExemplarLabelThatPrometheusOwns",
     "metrics:\n"
     "  exemplar_labels: {trace_id: __trace}\n"sv,
     "f:2:31: metrics.exemplar_labels.trace_id: names that begin with __ are Prometheus' own\n"},
    {"ExemplarLabelsThatAreNone",
     "metrics:\n"
     "  exemplar_labels:\n"
     "    trace_id: ''\n"
     "    span_id: span.id\n"sv,
     "f:3:15: metrics.exemplar_labels.trace_id: expected a label name of letters, digits and _, got ''\n"
     "f:4:14: metrics.exemplar_labels.span_id: expected a label name of letters, digits and _, or nothing, got 'span.id'\n"},
    {"ResourceAttributeThatIsNoName",
     "sinks:\n"
     "  a:\n"
     "    type: otlp_http\n"
     "    endpoint: http://127.0.0.1:1\n"
     "    derived_metrics:\n"
     "      resource_attributes: {deployment.environment.name: x, a b: y}\n"sv,
     "f:6:61: sinks.a.derived_metrics.resource_attributes.a b: expected an attribute name of letters, digits, '_', '.' and '-', got 'a b'\n"},
    {"ExternalLabelThatPrometheusOwns",
     "sinks:\n"
     "  a:\n"
     "    type: prometheus_remote_write\n"
     "    endpoint: http://127.0.0.1:1/w\n"
     "    external_labels: {le: x, ok: w, __name__: z}\n"sv,
     "f:5:27: sinks.a.external_labels.le: this label's name has a meaning of its own in Prometheus\n"
     "f:5:47: sinks.a.external_labels.__name__: this label's name has a meaning of its own in Prometheus\n"},
    {"RemoteWriteCannotRefuse",
     "sinks:\n"
     "  a:\n"
     "    type: prometheus_remote_write\n"
     "    endpoint: http://127.0.0.1:1/w\n"
     "    queue: {on_full: refuse}\n"
     "    protocol: 3.0\n"sv,
     "f:5:22: sinks.a.queue.on_full: expected 'drop_oldest', got 'refuse'\n"
     "f:6:15: sinks.a.protocol: expected one of auto, 1.0, 2.0, got the number 3.0\n"},
    {"RemoteWriteVersionHeader",
     "sinks:\n"
     "  a:\n"
     "    type: prometheus_remote_write\n"
     "    endpoint: http://127.0.0.1:1/w\n"
     "    headers: {X-Prometheus-Remote-Write-Version: a}\n"sv,
     "f:5:50: sinks.a.headers.X-Prometheus-Remote-Write-Version: this header is written by Braid itself\n"},
    {"SpelledWithDashes",
     "correlate:\n"
     "  log-hold: 5s\n"sv,
     "f:2:3: correlate.log-hold: unknown key; did you mean 'log_hold'?\n"},
    {"BooleanYes",
     "web:\n"
     "  insecure: yes\n"sv,
     "f:2:13: web.insecure: expected true or false, got 'yes': only true and false are booleans\n"},
    {"BooleanOn",
     "metrics:\n"
     "  exemplars: On\n"sv,
     "f:2:14: metrics.exemplars: expected true or false, got 'On': only true and false are booleans\n"},
    {"DimensionIsANumber",
     "metrics:\n"
     "  dimensions: [a.b, 5, [c]]\n"sv,
     "f:2:21: metrics.dimensions[1]: expected a text, got the number 5: put it in quotes\n"
     "f:2:24: metrics.dimensions[2]: expected a text or a map with 'name', got a list\n"},
    {"DimensionWithoutName",
     "metrics:\n"
     "  dimensions:\n"
     "    - {default: a}\n"
     "    - {name: a, label: a.b, value: c}\n"sv,
     "f:3:7: metrics.dimensions[0]: missing key 'name', such as deployment.environment.name\n"
     "f:4:24: metrics.dimensions[1].label: expected a label name of letters, digits and _, got 'a.b'\n"
     "f:4:29: metrics.dimensions[1].value: unknown key; there are default, label, name\n"},
    {"ExcludedLabels",
     "metrics:\n"
     "  exclude_labels: [span.kind, service, service]\n"sv,
     "f:2:20: metrics.exclude_labels[0]: expected one of service, span_name, span_kind, status_code, got "
     "'span.kind'; did you mean 'span_kind'?\n"
     "f:2:40: metrics.exclude_labels[2]: 'service' is there twice\n"},
    {"MessageOfNoException",
     "metrics:\n"
     "  exception_message: true\n"sv,
     "f:2:22: metrics.exception_message: has no effect: metrics.exceptions (false), so there is no metric of "
     "exceptions\n"},
    {"BooleanAsText",
     "web:\n"
     "  insecure: \"true\"\n"sv,
     "f:2:13: web.insecure: expected true or false, got 'true'\n"},
    {"OctalNumber",
     "threads:\n"
     "  cores: 010\n"sv,
     "f:2:10: threads.cores: expected a whole number, got '010': write it in decimal, without leading "
     "zeros\n"},
    {"HexNumber",
     "threads:\n"
     "  cores: 0x10\n"sv,
     "f:2:10: threads.cores: expected a whole number, got '0x10': write it in decimal, without "
     "leading zeros\n"},
    {"FractionForWholeNumber",
     "threads:\n"
     "  cores: 1.5\n"sv,
     "f:2:10: threads.cores: expected a whole number, got the number 1.5\n"},
    {"NumberTooLarge",
     "threads:\n"
     "  cores: 257\n"sv,
     "f:2:10: threads.cores: expected a number from 0 to 256, got the number 257\n"},
    {"NumberNegative",
     "threads:\n"
     "  cores: -1\n"sv,
     "f:2:10: threads.cores: expected a number from 0 to 256, got the number -1\n"},
    {"NumberBeyond64Bits",
     "metrics:\n"
     "  max_series: 99999999999999999999\n"sv,
     "f:2:15: metrics.max_series: expected a number from 1 to 10000000, got the number "
     "99999999999999999999\n"},
    {"DurationWithoutUnit",
     "correlate:\n"
     "  window: 120\n"sv,
     "f:2:11: correlate.window: expected a duration such as 500ms, 10s, 5m or 1h, got the number 120\n"},
    {"DurationWithBlank",
     "correlate:\n"
     "  window: 120 s\n"sv,
     "f:2:11: correlate.window: expected a duration such as 500ms, 10s, 5m or 1h, got '120 s'\n"},
    {"DurationTooLong",
     "correlate:\n"
     "  log_hold: 11m\n"sv,
     "f:2:13: correlate.log_hold: expected 0ms to 10m, got '11m'\n"},
    {"DurationOverflow",
     "correlate:\n"
     "  log_hold: 999999999999h\n"sv,
     "f:2:13: correlate.log_hold: expected a duration such as 500ms, 10s, 5m or 1h, got "
     "'999999999999h'\n"},
    {"SizeUnitUnknown",
     "memory:\n"
     "  budget: 512MIB\n"sv,
     "f:2:11: memory.budget: expected a size such as 512MiB, or a number of bytes, got '512MIB'\n"},
    {"SizeTooSmall",
     "memory:\n"
     "  budget: 1MiB\n"sv,
     "f:2:11: memory.budget: expected 64MiB to 1024GiB, got '1MiB'\n"},
    {"SizeNegative",
     "store:\n"
     "  max_bytes: -5\n"sv,
     "f:2:14: store.max_bytes: expected a number of at least 0, got the number -5\n"},
    {"PercentageTooLarge",
     "store:\n"
     "  max_bytes: 250%\n"sv,
     "f:2:14: store.max_bytes: expected a size such as 64MiB, a number of bytes, or a percentage of "
     "memory.budget such as 25%, got '250%'\n"},
    {"WordNotInList",
     "log:\n"
     "  level: warning\n"sv,
     "f:2:10: log.level: expected one of debug, info, warn, error, got 'warning'; did you mean "
     "'warn'?\n"},
    {"WordNull",
     "log:\n"
     "  level:\n"sv,
     "f:2:3: log.level: expected one of debug, info, warn, error, got nothing\n"},
    {"MapForScalar",
     "log:\n"
     "  level: {a: 1}\n"sv,
     "f:2:10: log.level: expected one of debug, info, warn, error, got a map\n"},
    {"ScalarForMap",
     "log: debug\n"sv,
     "f:1:6: log: expected a map, got 'debug'\n"},
    {"ListForMap",
     "sinks:\n"
     "  - type: stdout\n"sv,
     "f:2:3: sinks: expected a map, got a list\n"},
    {"MapForList",
     "filters:\n"
     "  a: {}\n"sv,
     "f:2:3: filters: expected a list, got a map\n"},
    {"ListAtTheTop",
     "- log\n"sv,
     "f:1:1: expected a map of settings, such as 'sinks:', at the top\n"},
    {"TextAtTheTop",
     "hello\n"sv,
     "f:1:1: expected a map of settings, such as 'sinks:', at the top\n"},
    {"NumberForText",
     "sinks:\n"
     "  a: {type: loki, endpoint: 'http://h', tenant: 42}\n"sv,
     "f:2:49: sinks.a.tenant: expected a tenant ID of letters, digits and !-_.*'(), got the number "
     "42: put it in quotes\n"},
    {"AmbiguousText",
     "sinks:\n"
     "  a:\n"
     "    type: otlp_http\n"
     "    endpoint: http://127.0.0.1:1\n"
     "    headers:\n"
     "      x-no: no\n"sv,
     "f:6:13: sinks.a.headers.x-no: expected a header value, without line breaks, got something else: "
     "YAML readers differ on what that is: put it in quotes if it is a text\n"},
    {"AddressWithoutPort",
     "web:\n"
     "  listen: 127.0.0.1\n"sv,
     "f:2:11: web.listen: expected host:port, such as 127.0.0.1:4317 or [::1]:4317, got '127.0.0.1'\n"},
    {"AddressPortTooLarge",
     "web:\n"
     "  listen: 127.0.0.1:65536\n"sv,
     "f:2:11: web.listen: expected host:port, such as 127.0.0.1:4317 or [::1]:4317, got "
     "'127.0.0.1:65536'\n"},
    {"AddressNotIpv4",
     "web:\n"
     "  listen: 127.0.0.256:80\n"sv,
     "f:2:11: web.listen: expected host:port, such as 127.0.0.1:4317 or [::1]:4317, got "
     "'127.0.0.256:80'\n"},
    {"AddressNotIpv6",
     "web:\n"
     "  listen: '[::g]:80'\n"sv,
     "f:2:11: web.listen: expected host:port, such as 127.0.0.1:4317 or [::1]:4317, got '[::g]:80'\n"},
    {"ExposedWithoutTls",
     "receivers:\n"
     "  otlp:\n"
     "    http:\n"
     "      listen: 0.0.0.0:4318\n"sv,
     "f:4:15: receivers.otlp.http.listen: 0.0.0.0:4318 can be reached by other machines: set tls with "
     "cert_file, key_file and client_ca_file, or say insecure: true\n"},
    {"ExposedWithTlsOnly",
     "web:\n"
     "  listen: '[::]:9464'\n"
     "  tls: {cert_file: a, key_file: b}\n"sv,
     "f:2:11: web.listen: [::]:9464 can be reached by other machines: set tls with cert_file, "
     "key_file and client_ca_file, or say insecure: true\n"},
    {"ExposedByName",
     "web:\n"
     "  listen: localhost.example:9464\n"sv,
     "f:2:11: web.listen: localhost.example:9464 can be reached by other machines: set tls with "
     "cert_file, key_file and client_ca_file, or say insecure: true\n"},
    {"TlsWithoutKey",
     "web:\n"
     "  tls:\n"
     "    cert_file: a\n"sv,
     "f:2:3: web.tls: missing key 'key_file'\n"},
    {"SamePortTwice",
     "receivers:\n"
     "  otlp:\n"
     "    grpc:\n"
     "      listen: 127.0.0.1:4318\n"sv,
     "f:4:15: receivers.otlp.grpc.listen: receivers.otlp.http and receivers.otlp.grpc listen on the "
     "same address, 127.0.0.1:4318: give them different ports\n"},
    {"RemoteWriteExposed",
     "receivers:\n"
     "  prometheus:\n"
     "    remote_write:\n"
     "      enabled: true\n"
     "      listen: 0.0.0.0:9465\n"sv,
     "f:5:15: receivers.prometheus.remote_write.listen: 0.0.0.0:9465 can be reached by other machines: set tls "
     "with cert_file, key_file and client_ca_file, or say insecure: true\n"},
    {"RemoteWriteOnTheWebPort",
     "receivers:\n"
     "  prometheus:\n"
     "    remote_write:\n"
     "      enabled: true\n"
     "      listen: 127.0.0.1:9464\n"sv,
     "f:5:15: receivers.prometheus.remote_write.listen: receivers.prometheus.remote_write and web listen on the "
     "same address, 127.0.0.1:9464: give them different ports\n"},
    {"SinkWithoutType",
     "sinks:\n"
     "  a:\n"
     "    endpoint: http://127.0.0.1:1\n"sv,
     "f:2:3: sinks.a: missing key 'type', one of otlp_grpc, otlp_http, loki, prometheus_remote_write, file, stdout\n"},
    {"SinkTypeMisspelt",
     "sinks:\n"
     "  a:\n"
     "    type: otlp-grpc\n"sv,
     "f:3:11: sinks.a.type: expected one of otlp_grpc, otlp_http, loki, prometheus_remote_write, file, stdout, got "
     "'otlp-grpc'; did you mean 'otlp_grpc'?\n"},
    {"SinkTypeUnknown",
     "sinks:\n"
     "  a:\n"
     "    type: kafka\n"sv,
     "f:3:11: sinks.a.type: expected one of otlp_grpc, otlp_http, loki, prometheus_remote_write, file, stdout, got 'kafka'\n"},
    {"SinkTypeKeyMisspelt",
     "sinks:\n"
     "  a:\n"
     "    typ: stdout\n"sv,
     "f:2:3: sinks.a: missing key 'type', one of otlp_grpc, otlp_http, loki, prometheus_remote_write, file, stdout; is 'typ' "
     "meant to be it?\n"},
    {"SinkWithoutEndpoint",
     "sinks:\n"
     "  a:\n"
     "    type: otlp_grpc\n"sv,
     "f:2:3: sinks.a: missing key 'endpoint', such as http://127.0.0.1:14317\n"},
    {"SinkNothing",
     "sinks:\n"
     "  a:\n"sv,
     "f:2:3: sinks.a: expected a map with 'type', got nothing\n"},
    {"SinkNameWithCapital",
     "sinks:\n"
     "  Tempo: {type: stdout}\n"sv,
     "f:2:3: sinks.Tempo: expected a name of lower-case letters, digits, - and _, got 'Tempo'\n"},
    {"EndpointWithoutScheme",
     "sinks:\n"
     "  a:\n"
     "    type: otlp_grpc\n"
     "    endpoint: localhost:4317\n"sv,
     "f:4:15: sinks.a.endpoint: expected an http:// or https:// URL without path, such as "
     "http://127.0.0.1:14317, got 'localhost:4317'\n"},
    {"EndpointWithPath",
     "sinks:\n"
     "  a:\n"
     "    type: otlp_grpc\n"
     "    endpoint: http://h:4317/v1/traces\n"sv,
     "f:4:15: sinks.a.endpoint: expected an http:// or https:// URL without path, such as "
     "http://127.0.0.1:14317, got 'http://h:4317/v1/traces'\n"},
    {"EndpointWithPassword",
     "sinks:\n"
     "  a:\n"
     "    type: otlp_http\n"
     "    endpoint: http://u:hunter2@h:1\n"sv,
     "f:4:15: sinks.a.endpoint: user name and password do not belong into the URL: put them under "
     "auth.basic\n"},
    {"EndpointPortTooLarge",
     "sinks:\n"
     "  a:\n"
     "    type: otlp_http\n"
     "    endpoint: http://h:70000\n"sv,
     "f:4:15: sinks.a.endpoint: expected an http:// or https:// URL without query, got "
     "'http://h:70000': the port is wrong\n"},
    {"EndpointIsThisBraid",
     "sinks:\n"
     "  a:\n"
     "    type: otlp_grpc\n"
     "    endpoint: http://localhost:4317\n"sv,
     "f:4:15: sinks.a.endpoint: is receivers.otlp.grpc itself: data would go in circles\n"},
    {"LokiTakesLogsOnly",
     "sinks:\n"
     "  a:\n"
     "    type: loki\n"
     "    endpoint: http://h\n"
     "    signals: [traces]\n"sv,
     "f:5:15: sinks.a.signals[0]: expected 'logs', got 'traces'\n"},
    {"SignalTwice",
     "sinks:\n"
     "  a:\n"
     "    type: stdout\n"
     "    signals: [logs, logs]\n"sv,
     "f:4:21: sinks.a.signals[1]: 'logs' is there twice\n"},
    {"SignalsEmpty",
     "sinks:\n"
     "  a:\n"
     "    type: stdout\n"
     "    signals: []\n"sv,
     "f:4:14: sinks.a.signals: expected at least 1 entry, got none\n"},
    {"GrpcHasNoZstd",
     "sinks:\n"
     "  a: {type: otlp_grpc, endpoint: 'http://h:1', compression: zstd}\n"sv,
     "f:2:61: sinks.a.compression: expected one of none, gzip, got 'zstd'\n"},
    {"BothCredentials",
     "sinks:\n"
     "  a:\n"
     "    type: otlp_http\n"
     "    endpoint: https://h\n"
     "    auth:\n"
     "      basic: {username: u, password: p}\n"
     "      bearer: t\n"sv,
     "f:7:15: sinks.a.auth.bearer: there is auth.basic as well; only one can be sent\n"},
    {"HeaderWithLineBreak",
     "sinks:\n"
     "  a:\n"
     "    type: otlp_http\n"
     "    endpoint: https://h\n"
     "    headers:\n"
     "      x-key: \"hunter2\\r\\nx: y\"\n"sv,
     "f:6:14: sinks.a.headers.x-key: expected a header value, without line breaks, got something "
     "else\n"},
    {"HeaderNameWithBlank",
     "sinks:\n"
     "  a:\n"
     "    type: otlp_http\n"
     "    endpoint: https://h\n"
     "    headers:\n"
     "      x key: v\n"sv,
     "f:6:7: sinks.a.headers.x key: expected a header name, got 'x key'\n"},
    {"HeaderOfTheTransport",
     "sinks:\n"
     "  a:\n"
     "    type: otlp_http\n"
     "    endpoint: https://h\n"
     "    headers:\n"
     "      Content-Type: v\n"sv,
     "f:6:21: sinks.a.headers.Content-Type: this header is written by Braid itself\n"},
    {"TenantTwice",
     "sinks:\n"
     "  a:\n"
     "    type: otlp_http\n"
     "    endpoint: https://h\n"
     "    tenant: t\n"
     "    headers: {X-Scope-OrgID: v}\n"sv,
     "f:6:30: sinks.a.headers.X-Scope-OrgID: tenant writes this header as well; only one can be sent\n"},
    {"SecretOfWrongType",
     "sinks:\n"
     "  a:\n"
     "    type: otlp_http\n"
     "    endpoint: https://h\n"
     "    auth:\n"
     "      bearer: 123456\n"sv,
     "f:6:15: sinks.a.auth.bearer: expected a token, without blanks or line breaks, got something "
     "else: put it in quotes\n"},
    {"TlsForPlainHttp",
     "sinks:\n"
     "  a:\n"
     "    type: otlp_http\n"
     "    endpoint: http://h\n"
     "    tls:\n"
     "      server_name: name\n"sv,
     "f:6:20: sinks.a.tls.server_name: has no effect: the endpoint is http://, so there is no TLS\n"},
    {"CertificateWithoutKey",
     "sinks:\n"
     "  a:\n"
     "    type: otlp_http\n"
     "    endpoint: https://h\n"
     "    tls:\n"
     "      cert_file: c\n"sv,
     "f:6:18: sinks.a.tls.cert_file: cert_file and key_file go together\n"},
    {"RetryBackwards",
     "sinks:\n"
     "  a:\n"
     "    type: otlp_http\n"
     "    endpoint: https://h\n"
     "    retry: {initial: 10s, max: 5s}\n"sv,
     "f:5:22: sinks.a.retry.initial: sinks.a.retry.initial (10s) is longer than sinks.a.retry.max "
     "(5s)\n"},
    {"LabelName",
     "sinks:\n"
     "  a:\n"
     "    type: loki\n"
     "    endpoint: http://h\n"
     "    labels:\n"
     "      service.name: x\n"sv,
     "f:6:7: sinks.a.labels.service.name: expected a label name of letters, digits and _, got "
     "'service.name'\n"},
    {"SameFileTwice",
     "sinks:\n"
     "  a: {type: file, path: x}\n"
     "  b: {type: file, path: ./x}\n"sv,
     "f:3:25: sinks.b.path: is written by sink 'a' too\n"},
    {"FilterPattern",
     "filters:\n"
     "  - name: a\n"
     "    action: drop\n"
     "    match:\n"
     "      - field: span_name\n"
     "        pattern: '('\n"sv,
     "f:6:18: filters[0].match[0].pattern: expected an RE2 regular expression, got '(': missing ): (\n"},
    {"FilterWithoutName",
     "filters:\n"
     "  - action: remove\n"
     "    key: x\n"sv,
     "f:2:5: filters[0]: missing key 'name', such as cookies\n"},
    {"FilterDropsEverything",
     "filters:\n"
     "  - name: a\n"
     "    action: drop\n"
     "    match: []\n"sv,
     "f:4:12: filters[0].match: expected at least 1 entry, got none\n"},
    {"FilterNameTwice",
     "filters:\n"
     "  - {name: a, action: remove, key: x}\n"
     "  - {name: a, action: remove, key: z}\n"sv,
     "f:3:12: filters[1].name: a rule of this name is there already; counters could not tell them "
     "apart\n"},
    {"FilterNeverApplies",
     "filters:\n"
     "  - name: a\n"
     "    action: drop\n"
     "    signals: [logs]\n"
     "    match:\n"
     "      - {field: span_name, pattern: x}\n"sv,
     "f:6:17: filters[0].match[0].field: the rule never applies: no item of its signals has this and "
     "what else it asks for\n"},
    {"FilterAttributeOfMetric",
     "filters:\n"
     "  - {name: a, action: drop, signals: [metrics], match: [{field: attribute, key: k, pattern: p}]}\n"sv,
     "f:2:65: filters[0].match[0].field: the rule never applies: no item of its signals has this and what "
     "else it asks for\n"},
    {"FilterConditionsOfTwoSignals",
     "filters:\n"
     "  - name: a\n"
     "    action: drop\n"
     "    match:\n"
     "      - {field: span_name, pattern: x}\n"
     "      - {field: log_body, pattern: x}\n"sv,
     "f:6:17: filters[0].match[1].field: the rule never applies: no item of its signals has this and "
     "what else it asks for\n"},
    {"FilterKeyOfOtherAction",
     "filters:\n"
     "  - name: a\n"
     "    action: remove\n"
     "    key: x\n"
     "    replacement: y\n"sv,
     "f:5:5: filters[0].replacement: key of redact, not of remove\n"},
    {"FilterMatchFieldOn",
     "filters:\n"
     "  - name: a\n"
     "    action: drop\n"
     "    match:\n"
     "      - on: span_name\n"
     "        pattern: x\n"sv,
     "f:5:9: filters[0].match[0]: missing key 'field', one of attribute, resource, span_name, "
     "log_body, metric_name\n"},
    {"ReplacementGroup",
     "filters:\n"
     "  - name: a\n"
     "    action: redact\n"
     "    key: x\n"
     "    pattern: (a)\n"
     "    replacement: \\2\n"sv,
     "f:6:18: filters[0].replacement: does not fit the pattern: Rewrite schema requests 2 matches, "
     "but the regexp only has 1 parenthesized subexpressions.\n"},
    {"SettleBeyondDecision",
     "correlate:\n"
     "  settle: 40s\n"sv,
     "f:2:11: correlate.settle: correlate.settle (40s) is longer than correlate.decision_max (30s)\n"},
    {"WindowBelowHold",
     "correlate:\n"
     "  window: 5s\n"
     "  decision_max: 4s\n"sv,
     "f:2:11: correlate.window: correlate.log_hold (10s) is longer than correlate.window (5s)\n"},
    {"StoreLargerThanBudget",
     "store:\n"
     "  max_bytes: 1GiB\n"sv,
     "f:2:14: store.max_bytes: store.max_bytes (1GiB) is more than three quarters of memory.budget "
     "(512MiB)\n"},
    {"DuplicateKey",
     "log:\n"
     "  level: info\n"
     "  format: json\n"
     "  level: warn\n"sv,
     "f:4:3: duplicate key 'level'; the first is in line 2\n"},
    {"SecondDocument",
     "log: {level: info}\n"
     "---\n"
     "log: {level: warn}\n"sv,
     "f:2:1: a second document starts here; only one is read: put everything into one\n"},
    {"AliasInsideItself",
     "sinks: &a\n"
     "  x: *a\n"sv,
     "f:2:6: this alias is inside what it stands for\n"},
    {"AliasUnknown",
     "sinks: *a\n"sv,
     "f:1:8: not YAML: the referenced anchor is not defined\n"},
    {"MergeKey",
     "log: &l {level: info}\n"
     "web:\n"
     "  <<: *l\n"sv,
     "f:3:3: merge keys (<<) are not supported: write the keys out\n"},
    {"Tag",
     "log:\n"
     "  level: !!str info\n"sv,
     "f:2:10: tags such as 'tag:yaml.org,2002:str' are not supported\n"},
    {"Tab",
     "log:\n"
     "\tlevel: info\n"sv,
     "f:2:7: not YAML: a tab stands in the indentation; YAML is indented with blanks\n"},
    {"QuoteNotClosed",
     "log:\n"
     "  level: \"info\n"
     "  format: text\n"sv,
     "f:2:10: not YAML: the quote that begins here is not closed\n"
     "f:2:10: log.level: expected one of debug, info, warn, error, got 'info format: text '; did you mean 'info'?\n"},
    {"SingleQuoteNotClosed",
     "log:\n"
     "  level: &a 'it''s\n"sv,
     "f:2:10: not YAML: the quote that begins here is not closed\n"
     "f:2:10: log.level: expected one of debug, info, warn, error, got 'it's '\n"},
    {"FlowNotClosed",
     "sinks: {a: {type: stdout}\n"sv,
     "f:2:1: not YAML: end of map flow not found\n"},
    {"SubstitutionInFlow",
     "sinks: {a: {type: ${env:X}}}\n"sv,
     "f:1:20: not YAML: end of map flow not found; inside [...] and {...}, ${...} must be in quotes\n"},
    {"KeyIsAList",
     "? [a]\n"
     ": b\n"sv,
     "f:1:3: a key must be a text, not a list or a map\n"},
    {"NotUtf8",
     "log:\n"
     "  level: \377\n"sv,
     "f:2:10: not UTF-8, or a control character\n"},
    {"ControlCharacter",
     "log:\n"
     "  level: a\000b\n"sv,
     "f:2:11: not UTF-8, or a control character\n"},
    {"VariableNotSet",
     "log:\n"
     "  level: ${env:UNSET}\n"sv,
     "f:2:10: log.level: environment variable UNSET is not set; ${env:UNSET:-default} gives a "
     "default\n"},
    {"VariableWrongValue",
     "log:\n"
     "  level: ${env:NAME}\n"sv,
     "f:2:10: log.level: expected one of debug, info, warn, error, got the value of '${env:NAME}'\n"},
    {"VariableName",
     "log:\n"
     "  level: ${env:A-B}\n"sv,
     "f:2:10: log.level: 'A-B' is not the name of an environment variable\n"},
    {"SubstitutionUnknown",
     "log:\n"
     "  level: ${NAME}\n"sv,
     "f:2:10: log.level: unknown substitution; there are ${env:NAME}, ${env:NAME:-default} and "
     "${file:path}, and $$ for a dollar\n"},
    {"SubstitutionNested",
     "log:\n"
     "  level: ${env:UNSET:-${env:NAME}}\n"sv,
     "f:2:10: log.level: substitutions do not nest\n"},
    {"SubstitutionNotClosed",
     "log:\n"
     "  level: ${env:NAME\n"sv,
     "f:2:10: log.level: '${' without '}'; write $$ for a dollar\n"},
    {"SubstitutedFileMissing",
     "log:\n"
     "  level: ${file:/nonexistent/x}\n"sv,
     "f:2:10: log.level: ${file:/nonexistent/x}: No such file or directory\n"},
    {"ManyAtOnce",
     "wbe: {}\n"
     "log: {level: loud, format: xml}\n"
     "correlate:\n"
     "  window: soon\n"
     "threads: {cores: many}\n"sv,
     "f:1:1: wbe: unknown key; did you mean 'web'?\n"
     "f:2:14: log.level: expected one of debug, info, warn, error, got 'loud'\n"
     "f:2:28: log.format: expected one of text, json, got 'xml'\n"
     "f:4:11: correlate.window: expected a duration such as 500ms, 10s, 5m or 1h, got 'soon'\n"
     "f:5:18: threads.cores: expected a whole number, got 'many'\n"},
};
// clang-format on

// Loads it as the file "f", where NAME and NUMBER are the only environment variables.
inline Loaded LoadBroken(const Broken& broken) {
  LoadOptions options;
  options.file = "f";
  options.text = std::string(broken.text);
  options.check_files = false;
  options.environment = [](const std::string& name) -> std::optional<std::string> {
    if (name == "NAME") return "hunter2";
    if (name == "NUMBER") return "3";
    return std::nullopt;
  };
  return Load(options);
}

}  // namespace braid::config
