// Scenario: files that the sources do not make, and JSON that Grafana has no room for.
// Guarantees: each is found; what is committed is neither.

import assert from "node:assert/strict";
import { test } from "node:test";

import { out, panel, read } from "./sample.mjs";

const { committed, parsed, regenerated } = await out("checks/files.js");
const { generateAll } = await out("src/all.js");
const { types } = await out("checks/types.js");

test("generating twice gives the same bytes, and those are committed", () => {
  assert.deepEqual([...generateAll()], [...generateAll()]);
  assert.deepEqual(regenerated(committed()), []);
  assert.equal(parsed(committed()).size, 12);
});

test("a changed, a missing and a left-over file are found", () => {
  const there = committed();
  there.set("tempo/braid-map.json", there.get("tempo/braid-map.json").replace("Service map", "Service maps"));
  there.delete("otel/braid-map.json");
  there.set("otel/braid-old.json", "{}");
  const found = regenerated(there).map(({ where, message }) => `${where} ${message.split(":")[0]}`);
  assert.deepEqual(found.sort(), [
    "otel/braid-map.json is missing",
    "otel/braid-old.json nothing makes this file any more",
    "tempo/braid-map.json is not what the sources make",
  ]);
});

test("what does not fit Grafana's types is found", () => {
  const faults = {
    "a number as title": (board) => (board.title = 3),
    "an unknown key": (board) => (board.colour = "red"),
    "an unknown enum value": (board) => (panel(board, "timeseries").fieldConfig.defaults.custom.showPoints = "sometimes"),
    "an unknown option": (board) => (panel(board, "timeseries").options.legend.place = "left"),
    "a refresh that there is not": (board) => (board.templating.list[2].refresh = 9),
    "a panel of an unknown type": (board) => (panel(board, "stat").type = "dial"),
  };
  const names = Object.keys(faults);
  const boards = new Map(names.map((name, index) => [`tempo/${index}.json`, read("braid-services")]));
  names.forEach((name, index) => {
    const board = boards.get(`tempo/${index}.json`);
    faults[name](board);
    if (typeof board.title === "string") board.title = name;
  });
  const found = types(boards, "types-broken");
  for (const name of names.slice(1)) assert.ok(found.some(({ where }) => where.startsWith(name)), `${name}: ${JSON.stringify(found)}`);
  assert.ok(found.some(({ message }) => message.includes("'number' is not assignable to type 'string'")));
});

test("what is committed fits them", () => {
  const one = new Map([...parsed(committed())].filter(([path]) => path.endsWith("braid-service.json")));
  assert.deepEqual(types(one, "types-committed"), []);
});
