// Scenario: dashboards with one fault in identity, grid, variables or links.
// Guarantees: the check that is for it finds it, and only that; the committed ones are clean.

import assert from "node:assert/strict";
import { test } from "node:test";

import { all, out, panel, read, titled, variable, without } from "./sample.mjs";

const { structure } = await out("checks/structure.js");

const rulesOf = (files) => [...new Set(structure(files).map((finding) => finding.rule))];

test("committed dashboards are clean", () => assert.deepEqual(structure(all("braid-services")), []));

const links = (board, title) =>
  titled(board, title).fieldConfig.overrides.flatMap((one) => one.properties).filter((one) => one.id === "links")[0].value;

const FAULTS = {
  "an id": ["identity", (board) => (board.id = 7)],
  "another uid than the file": ["identity", (board) => (board.uid = "other-uid")],
  "a uid with spaces": ["identity", (board) => (board.uid = "my board")],
  "a title that another has": ["identity", (board) => (board.title = "Braid / Service map")],
  "another schema": ["identity", (board) => (board.schemaVersion = 36)],
  "inputs of the import dialogue": ["portable", (board) => (board.__inputs = [])],
  "a placeholder of the import dialogue": ["portable", (board) => (panel(board, "stat").description = "${DS_")],
  "an address": ["portable", (board) => (panel(board, "stat").description = "see http://127.0.0.1")],
  "two panels of one id": ["panel-id", (board) => (board.panels[1].id = board.panels[0].id)],
  "two panels of one title": ["panel-about", (board) => (panel(board, "stat").title = "Slowest operations")],
  "a stat without description": ["panel-about", (board) => (panel(board, "stat").description = "")],
  "a heatmap without unit": ["panel-about", (board) => delete panel(board, "heatmap").fieldConfig.defaults.unit, "braid-service"],
  "a map without units": ["panel-about", (board) => delete panel(board, "nodeGraph").options.nodes.mainStatUnit, "braid-map"],
  "a map without queries": ["panel-targets", (board) => (panel(board, "nodeGraph").targets = []), "braid-map"],
  "two queries of one letter": ["panel-targets", (board) => (panel(board, "table").targets[1].refId = "A")],
  "a fixed data source": ["panel-targets", (board) => (panel(board, "table").targets[1].datasource.uid = "prom")],
  "a transformation of nothing": [
    "panel-targets",
    (board) => (panel(board, "nodeGraph").transformations[0].filter.options = "nodes_size"),
    "braid-map",
  ],
  "overlapping panels": ["grid", (board) => (board.panels[1].gridPos.x = board.panels[0].gridPos.x)],
  "a panel beyond the edge": ["grid", (board) => (board.panels.at(-1).gridPos.w = 25)],
  "an unknown variable": ["variables", (board) => (panel(board, "stat").targets[0].expr += " + $nothing")],
  "a reference to a link's row elsewhere": ["variables", (board) => (panel(board, "stat").title = "${__data.fields.x}")],
  "an unused variable": ["variables", (board) => board.templating.list.push({ name: "spare", type: "custom", query: "a" })],
  "a variable that needs a later one": ["variables", (board) => board.templating.list.reverse()],
  "a link to no dashboard": ["links", (board) => (links(board, "Slowest operations")[0].url = "/d/braid-nowhere?${__url_time_range}")],
  "a link that sets nothing": ["links", (board) => (links(board, "Slowest operations")[0].url += "&var-color=red")],
  "a link that forgets the time": ["links", (board) => (links(board, "Slowest operations")[0].url = "/d/braid-service")],
  "a link without title": ["links", (board) => (links(board, "Slowest operations")[0].title = "")],
  "broken panes": ["links", (board) => (links(board, "Services over the time shown")[1].url += "%7B")],
  "broken TraceQL in a link": [
    "links",
    (board) => {
      const link = links(board, "Services over the time shown")[1];
      link.url = link.url.replace("%7B%20resource", "%7B%20resource.%7B");
    },
  ],
  "several values where another dashboard takes one": [
    "carried",
    (board, files) => {
      const text = JSON.stringify(board).replaceAll("$services", "$service").replaceAll('"name":"services"', '"name":"service"');
      files.set("tempo/braid-services.json", JSON.parse(text));
    },
  ],
  "no links to the others": ["links", (board) => (board.links = [])],
};

for (const [name, [rule, fault, uid = "braid-services"]] of Object.entries(FAULTS)) {
  test(name, () => assert.deepEqual(rulesOf(all(uid, fault)), [rule]));
}

test("a dashboard without the tag is not found by the others", () => {
  const files = all("braid-map", (board) => (board.tags = []));
  const wrong = structure(files).filter((finding) => finding.rule === "links");
  assert.equal(wrong.length, 5);
});

test("a link's variable must be the other dashboard's", () => {
  const files = all("braid-service", (board) => without(board, "operation"));
  assert.ok(structure(files).some(({ rule, message }) => rule === "links" && message.includes("sets operation")));
});

test("both dialects have the same panels and links", () => {
  for (const uid of ["braid-services", "braid-service", "braid-map", "braid-correlation", "braid-operations", "braid-slo"]) {
    const [tempo, otel] = ["tempo", "otel"].map((dialect) => read(uid, dialect));
    assert.deepEqual(tempo.panels.map((one) => one.title), otel.panels.map((one) => one.title));
    assert.deepEqual(tempo.templating.list.map((one) => one.name), otel.templating.list.map((one) => one.name));
    assert.ok(variable(tempo, "prometheus_datasource"));
  }
});
