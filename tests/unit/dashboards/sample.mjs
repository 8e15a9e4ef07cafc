// Committed dashboards to break, and what the checks say of them then.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const GRAFANA = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..", "dashboards", "grafana");

export const out = (path) => import(join(GRAFANA, "out", path));

const NAMES = ["services", "service", "map", "correlation", "operations", "slo"];

export function read(uid, dialect = "tempo") {
  return JSON.parse(readFileSync(join(GRAFANA, dialect, `${uid}.json`), "utf8"));
}

/** All of a dialect, as structure() wants them, with one of them changed. */
export function all(uid, change = () => {}) {
  const files = new Map(NAMES.map((name) => [`tempo/braid-${name}.json`, read(`braid-${name}`)]));
  change(files.get(`tempo/${uid}.json`), files);
  return files;
}

export const panel = (board, type) => board.panels.find((one) => one.type === type);
export const titled = (board, title) => board.panels.find((one) => one.title === title);
export const variable = (board, name) => board.templating.list.find((one) => one.name === name);
export const without = (board, name) => {
  board.templating.list = board.templating.list.filter((one) => one.name !== name);
};
