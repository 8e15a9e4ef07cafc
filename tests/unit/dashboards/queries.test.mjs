// Scenario: queries that do not parse, or ask for what there is not.
// Guarantees: each is found, in words that say what is wrong; names of one dialect are wrong in the other.

import assert from "node:assert/strict";
import { test } from "node:test";

import { out, panel, read, titled, variable } from "./sample.mjs";

const { queries } = await out("checks/queries.js");
const { syntaxError, PromQL } = await out("checks/grammar.js");
const { Catalogue } = await out("checks/catalogue.js");

const say = (change, uid = "braid-services", dialect = "tempo") => {
  const board = read(uid, dialect);
  change(board);
  return queries(dialect, board).map((finding) => finding.message);
};
const asked = (expr) => say((board) => (panel(board, "timeseries").targets[0].expr = expr));

const SELECT = '{job=~"$job", instance=~"$instance"}';

test("committed queries are right", () => {
  for (const dialect of ["tempo", "otel"]) assert.deepEqual(say(() => {}, "braid-service", dialect), []);
});

test("one dialect's queries are wrong in the other", () => {
  const wrong = queries("otel", read("braid-services", "tempo"));
  assert.ok(wrong.length > 20 && wrong.every((finding) => /^asks for traces_spanmetrics|^groups by/.test(finding.message)));
});

const FAULTS = [
  ["up{", /does not parse/],
  ["", /is empty/],
  ["sum(braid_nothing)", /asks for braid_nothing/],
  [`rate(braid_window_records${SELECT}[$__rate_interval])`, /takes the rate of braid_window_records, which is a gauge/],
  ['braid_window_records{color="red"}', /has no label color/],
  ['braid_account_pending_items{place="hold"}', /place is never hold/],
  ['braid_account_pending_items{place=~"held|queue"}', /place is never queue/],
  ['braid_ingress_items_total{outcome!~"received|sumbitted"}', /outcome is never sumbitted/],
  ['sum by (colour) (braid_window_records)', /groups by colour/],
  [`sum(rate(braid_chunks_total${SELECT}[5m]))`, /has the fixed range 5m/],
  [`histogram_quantile(0.9, sum by (service) (rate(traces_spanmetrics_latency_bucket${SELECT}[$__rate_interval])))`, /not aggregated by le/],
  ["traces_spanmetrics_latency", undefined],
];

for (const [expr, expected] of FAULTS) {
  test(`PromQL: ${expr || "nothing"}`, () => {
    const messages = asked(expr);
    if (expected) assert.match(messages.join("\n"), expected);
    else assert.deepEqual(messages, []);
  });
}

test("made labels may be grouped by", () => {
  assert.deepEqual(asked('sum by (id) (label_replace(braid_window_records, "id", "$1", "instance", "(.+)"))'), []);
});

test("a table's query is instant, a heatmap's keeps le", () => {
  assert.match(say((board) => (panel(board, "table").targets[0].instant = false)).join(), /neither instant nor range/);
  assert.match(say((board) => Object.assign(panel(board, "table").targets[0], { instant: false, range: true })).join(), /fills a table/);
  const flat = (board) => (panel(board, "heatmap").targets[0].expr = `sum(rate(braid_chunks_total${SELECT}[$__rate_interval]))`);
  assert.match(say(flat, "braid-service").join(), /does not keep le/);
});

test("exemplars are not asked of recorded series", () => {
  const recorded = (board) => Object.assign(panel(board, "timeseries").targets[0], { exemplar: true, expr: "service:slo_errors:rate5m" });
  assert.match(say(recorded).join(), /recorded series/);
});

test("variables ask for what there is", () => {
  assert.match(say((board) => (variable(board, "services").query = "label_values(up, job)")).join(), /asks for up/);
  assert.match(say((board) => (variable(board, "services").query = "label_values(braid_chunks_total, colour)")).join(), /groups by colour/);
});

test("LogQL and TraceQL", () => {
  const set = (title, key, query) => say((board) => (titled(board, title).targets[0][key] = query), "braid-service");
  assert.match(set("Error logs", "expr", '{service_name="$service"} | level="error"').join(), /the label level/);
  assert.match(set("Error logs", "expr", '{service_name="$service"').join(), /does not parse/);
  assert.match(set("Slow traces", "query", "{ duration > $slower_than").join(), /does not parse/);
  assert.match(set("Slow traces", "query", "").join(), /is empty/);
});

test("the grammar finds where a query breaks", () => {
  assert.match(syntaxError("promql", "sum(rate(a[5m])"), /character 16/);
  assert.equal(syntaxError("traceql", '{ name = "a" } >> { status = error }'), undefined);
});

test("selectors know their function and their range", () => {
  const [one, two] = new PromQL('rate(a_total{x="y\\"z"}[5m]) / max_over_time(b[1h:1m])').selectors();
  assert.deepEqual(one, { metric: "a_total", matchers: [{ label: "x", operator: "=", value: 'y"z' }], subquery: false, range: "5m", function: "rate" });
  assert.equal(two.subquery, true);
  const [fixed] = new PromQL("topk(3, sum by (c) (increase(a_total[5m] @ end())))").selectors();
  assert.deepEqual([fixed.function, fixed.range], ["increase", "5m"]);
});

test("the catalogue knows histograms by their samples", () => {
  const catalogue = new Catalogue("otel");
  assert.deepEqual(Object.keys(catalogue.find("braid_join_wait_seconds_bucket").labels).sort(), ["instance", "job", "le"]);
  assert.equal(catalogue.find("braid_join_wait_seconds_count").grows, true);
  assert.equal(catalogue.find("traces_spanmetrics_calls_total"), undefined);
  assert.equal(catalogue.find("braid_window_records_sum"), undefined);
});
