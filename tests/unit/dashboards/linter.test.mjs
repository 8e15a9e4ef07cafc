// Scenario: each rule of the linter meets a dashboard with the fault that it is for.
// Guarantees: it finds that fault, no other rule does, and the same dashboard without it is clean.

import assert from "node:assert/strict";
import { test } from "node:test";

import { out, panel, read, titled, variable, without } from "./sample.mjs";

const { exclude, lint, loadExclusions, rules } = await out("checks/linter.js");

const clean = () => read("braid-services");
const found = (board) => [...new Set(lint(board).map((finding) => finding.rule))];
const query = (board) => panel(board, "timeseries").targets[0];

const logs = (expr, hide = false) => (board) =>
  panel(board, "timeseries").targets.push({ refId: "Z", datasource: { type: "loki", uid: "${loki_datasource}" }, expr, hide });

const FAULTS = {
  "template-datasource-rule": [
    (board) => (board.templating.list = board.templating.list.filter((one) => one.type !== "datasource")),
    (board) => (variable(board, "tempo_datasource").name = "traces"),
    (board) => (variable(board, "tempo_datasource").label = "Tempo"),
  ],
  "template-job-rule": [
    (board) => without(board, "job"),
    (board) => (variable(board, "job").multi = false),
    (board) => (variable(board, "job").label = "job"),
    (board) => (variable(board, "job").allValue = ".*"),
    (board) => (variable(board, "job").datasource = { type: "prometheus", uid: "mine" }),
  ],
  "template-instance-rule": [(board) => without(board, "instance"), (board) => delete variable(board, "instance").allValue],
  "template-label-promql-rule": [
    (board) => (variable(board, "services").query = "services"),
    (board) => (variable(board, "services").query = "values(up, job)"),
    (board) => (variable(board, "services").query = "label_values(up{job=, job)"),
  ],
  "template-on-time-change-reload-rule": [(board) => (variable(board, "services").refresh = 1)],
  "panel-datasource-rule": [(board) => (panel(board, "table").datasource = { type: "prometheus", uid: "mine" })],
  "panel-title-description-rule": [
    (board) => (panel(board, "stat").description = ""),
    (board) => delete panel(board, "timeseries").title,
  ],
  "panel-units-rule": [
    (board) => delete panel(board, "timeseries").fieldConfig.defaults.unit,
    (board) => (panel(board, "timeseries").fieldConfig.defaults.unit = "parsec"),
    (board) => (panel(board, "table").fieldConfig.overrides.at(-1).properties[0].value = "parsec"),
  ],
  "panel-no-targets-rule": [(board) => delete panel(board, "stat").targets],
  "target-logql-rule": [logs('{a="b"} | ')],
  "target-logql-auto-rule": [logs('count_over_time({a="b"} | json [5m])')],
  "target-promql-rule": [(board) => (query(board).expr += ")"), (board) => (query(board).expr = "")],
  "target-rate-interval-rule": [(board) => (query(board).expr = query(board).expr.replace("$__rate_interval", "5m")),
    (board) => (query(board).expr = query(board).expr.replace("$__rate_interval", "$__range"))],
  "target-job-rule": [(board) => (query(board).expr = query(board).expr.replace('job=~"$job", ', ""))],
  "target-instance-rule": [
    (board) => (query(board).expr = query(board).expr.replace('instance=~"$instance"', 'instance="$instance"')),
  ],
  "target-counter-agg-rule": [
    (board) => (query(board).expr = 'sum(traces_spanmetrics_calls_total{job=~"$job", instance=~"$instance"})'),
    (board) => (query(board).expr = 'max_over_time(traces_spanmetrics_calls_total{job=~"$job", instance=~"$instance"}[$__range])'),
  ],
  "uneditable-dashboard": [(board) => (board.editable = true), (board) => delete board.editable],
};

test("a clean dashboard is clean", () => assert.deepEqual(lint(clean()), []));

test("every rule has a fault here", () => {
  assert.equal(Object.keys(rules).length, 17);
  assert.deepEqual(Object.keys(FAULTS).sort(), Object.keys(rules).sort());
});

for (const [rule, faults] of Object.entries(FAULTS)) {
  faults.forEach((fault, index) => {
    test(`${rule} ${index + 1}`, () => {
      const board = clean();
      fault(board);
      const others = { "target-logql-rule": ["target-promql-rule", "target-logql-rule"], "target-logql-auto-rule": ["target-promql-rule", "target-logql-auto-rule"] };
      // Without its data source variables a dashboard is not one for Prometheus, and its panels have no variable to ask.
      const expected = index === 0 && rule === "template-datasource-rule" ? [rule, "panel-datasource-rule"] : (others[rule] ?? [rule]);
      assert.deepEqual(found(board).sort(), [...expected].sort());
    });
  });
}

test("a hidden query of logs is left alone", () => {
  const board = read("braid-service");
  titled(board, "Error logs").targets[0].expr = '{a="b"} | ';
  assert.ok(found(board).includes("target-logql-rule"));
  titled(board, "Error logs").targets[0].hide = true;
  assert.ok(!found(board).includes("target-logql-rule"));
});

test("a fault in a panel within a row is found", () => {
  const board = clean();
  const inner = panel(board, "timeseries");
  board.panels.push({ type: "row", title: "Row", panels: [{ ...inner, description: "" }] });
  assert.deepEqual(found(board), ["panel-title-description-rule"]);
});

test("exclusions take what they name, and nothing else", () => {
  const slo = read("braid-slo");
  const list = { "target-job-rule": { entries: [{ dashboard: slo.title, panel: "Objectives", reason: "r" }] } };
  const left = exclude(lint(slo), list).filter((finding) => finding.rule === "target-job-rule");
  assert.ok(left.length > 0 && left.every((finding) => !finding.where.includes("Objectives")));
});

test("an exclusion that nothing needs, or without a reason, is found", () => {
  const list = { "panel-units-rule": { entries: [{ dashboard: "Braid / Services" }] } };
  const messages = exclude(lint(clean()), list).map((finding) => finding.message);
  assert.deepEqual(messages, ["is excluded in lint.json, and need not be", "is excluded in lint.json without a reason"]);
});

test("every exclusion of the list has a reason", () => {
  for (const { entries } of Object.values(loadExclusions())) for (const entry of entries) assert.ok(entry.reason.length > 10);
});
