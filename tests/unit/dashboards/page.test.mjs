// Scenario: docs/dashboards.md and its pictures are not those of the dashboards.
// Guarantees: each way in which they can differ is found; what is committed does not.

import assert from "node:assert/strict";
import { test } from "node:test";

import { out } from "./sample.mjs";

const { committedPage, page } = await out("checks/page.js");
const { withTables } = await out("src/page.js");

/** What is found when the committed page has been changed. */
function broken(change) {
  const there = committedPage();
  change(there);
  return page(there).map(({ where, message }) => `${where} ${message}`);
}

test("what is committed is what the sources make", () => assert.deepEqual(page(), []));

test("a table that somebody changed, or did not regenerate, is found", () => {
  const found = broken((there) => { there.text = there.text.replace("sum by (service)", "sum by (job)"); });
  assert.match(found.join(), /its tables are not what the sources make: npm run generate/);
});

test("a dashboard without a place on the page, and a place without a dashboard, are found", () => {
  const found = broken((there) => { there.text = there.text.replace("panels of braid-map", "panels of braid-maps"); }).join();
  assert.match(found, /has no place for the table of braid-map/);
  assert.match(found, /has a table of braid-maps, which there is not/);
});

test("a picture that is missing, not shown, too large, out of date or not complete in itself is found", () => {
  const changed = (uid, edit) => broken((there) => there.pictures.set(uid, edit(there.pictures.get(uid)))).join();
  assert.match(broken((there) => there.pictures.delete("braid-slo")).join(), /braid-slo.svg is missing/);
  const unseen = broken((there) => { there.text = there.text.replace("](dashboards/braid-slo.svg)", "](braid-slo.svg)"); });
  assert.match(unseen.join(), /does not show dashboards\/braid-slo.svg/);
  assert.match(changed("braid-slo", (svg) => svg + " ".repeat(60_000)), /braid-slo.svg has \d+ bytes, more than/);
  assert.match(changed("braid-slo", (svg) => svg.replace(">Objectives</text>", ">Goals</text>")), /does not show Objectives/);
  assert.match(changed("braid-slo", (svg) => svg.replace("</svg>", '<image href="x"/></svg>')), /refers to something outside/);
  assert.match(changed("braid-slo", (svg) => svg.replace("<style>", "<style>@import 'x';")), /refers to something outside/);
});

test("tables escape what ends a cell, shorten what every query has, and name columns and lines", () => {
  const panels = [
    { type: "row", title: "Part" },
    {
      type: "table",
      title: "T",
      description: "a | b",
      targets: [{ refId: "A", expr: 'x{job=~"$job", instance=~"$instance", y=~"a|b"}' }],
      transformations: [{ id: "organize", options: { renameByName: { Value: "Count" } } }],
    },
    { type: "timeseries", title: "G", fieldConfig: { defaults: { unit: "s" } }, targets: [{ expr: "z", legendFormat: "p50" }, { expr: "w" }] },
  ];
  const made = withTables("before\n<!-- panels of u -->\nold\n<!-- end -->\nafter", [{ uid: "u", panels }]);
  assert.equal(
    made,
    "before\n<!-- panels of u -->\n\n| Panel | Shows | Asks |\n|---|---|---|\n| ***Part*** | | |\n" +
      '| **T** (table) | a \\| b | Count: `x{…, y=~"a\\|b"}` |\n| **G** (timeseries, s) |  | p50: `z`<br>`w` |\n\n<!-- end -->\nafter',
  );
});
