// What makes a dashboard importable as it is, and navigable: identity, grid, variables and links.

import { dirname, basename } from "node:path";

import { TAG } from "../src/links.js";
import { BUILT_IN, expand, IN_LINKS, references } from "./expand.js";
import { syntaxError } from "./grammar.js";
import { type Dashboard, type Finding, type Link, type Panel, panelsOf, place, strings, variablesOf } from "./model.js";

const SOURCES = ["prometheus", "loki", "tempo"];
const GRID = 24;

type Say = (rule: string, where: string, message: string) => void;

/** Path under dashboards/grafana to dashboard, of one dialect or several. */
export function structure(files: Map<string, Dashboard>): Finding[] {
  const found: Finding[] = [];
  const say: Say = (rule, where, message) => found.push({ rule, where, message });
  for (const [path, dashboard] of files) {
    const siblings = [...files].filter(([other]) => dirname(other) === dirname(path)).map(([, sibling]) => sibling);
    identity(path, dashboard, siblings, say);
    portable(dashboard, say);
    panels(dashboard, say);
    grid(dashboard, say);
    variables(dashboard, say);
    links(dashboard, siblings, say);
    carried(dashboard, siblings, say);
  }
  return found;
}

function identity(path: string, dashboard: Dashboard, siblings: Dashboard[], say: Say): void {
  const where = place(dashboard);
  if (dashboard.id !== null) say("identity", where, "id is not null: Grafana gives it");
  if (basename(path) !== `${dashboard.uid}.json`) say("identity", where, `the file ${path} is not named after its uid ${dashboard.uid}`);
  if (!/^[a-z][a-z0-9-]{3,39}$/.test(dashboard.uid ?? "")) say("identity", where, `uid ${dashboard.uid} is none`);
  if (siblings.filter((other) => other.uid === dashboard.uid).length !== 1) say("identity", where, "uid is not unique");
  if (siblings.filter((other) => other.title === dashboard.title).length !== 1) say("identity", where, "title is not unique");
  if (dashboard.schemaVersion !== 41) say("identity", where, `schemaVersion is ${dashboard.schemaVersion}, not 41`);
  if (!dashboard.tags?.includes(TAG)) say("identity", where, `has no tag ${TAG}`);
}

/** Placeholders that only the import dialogue fills in break provisioning. */
function portable(dashboard: Dashboard, say: Say): void {
  for (const key of ["__inputs", "__requires", "__elements"]) {
    if (key in dashboard) say("portable", place(dashboard), `has ${key}`);
  }
  for (const [path, text] of strings(dashboard)) {
    if (text.includes("${DS_")) say("portable", place(dashboard), `${path} has ${text}`);
    if (/\bhttps?:\/\//.test(text)) say("portable", place(dashboard), `${path} has an address: ${text}`);
  }
}

/** The links in the heads carry the values of variables along by name, and Grafana keeps such a value even where it is none
 *  to choose from: of several services, or of All, one that takes a single one would find nothing. */
function carried(dashboard: Dashboard, siblings: Dashboard[], say: Say): void {
  for (const variable of variablesOf(dashboard)) {
    for (const other of siblings) {
      const same = variablesOf(other).find(({ name }) => name === variable.name);
      if (same && (same.multi ?? false) !== (variable.multi ?? false)) {
        say("carried", place(dashboard), `variable ${variable.name} takes ${variable.multi ? "several" : "one"}, that of ${other.uid} does not`);
      }
    }
  }
}

function panels(dashboard: Dashboard, say: Say): void {
  const ids = new Set<unknown>();
  const titles = new Set<unknown>();
  for (const panel of panelsOf(dashboard)) {
    const where = place(dashboard, panel);
    if (titles.has(panel.title)) say("panel-about", where, "has the title of another panel");
    titles.add(panel.title);
    if (panel.id === undefined || ids.has(panel.id)) say("panel-id", where, `id ${panel.id} is missing or not unique`);
    ids.add(panel.id);
    if (!panel.title) say("panel-about", where, "has no title");
    if (panel.type === "row") continue;
    if (!panel.description) say("panel-about", where, "has no description");
    if (!unitOf(panel)) say("panel-about", where, "has no unit");
    if (!panel.targets || panel.targets.length === 0) say("panel-targets", where, "has no query");
    const refs = new Set<unknown>();
    for (const target of panel.targets ?? []) {
      if (!target.refId || refs.has(target.refId)) say("panel-targets", place(dashboard, panel, target), "refId is missing or not unique");
      refs.add(target.refId);
      const { type, uid } = target.datasource ?? {};
      if (!SOURCES.includes(type ?? "") || uid !== `\${${type}_datasource}`) {
        say("panel-targets", place(dashboard, panel, target), `its data source is ${type} ${uid}`);
      }
      if (uid !== panel.datasource?.uid) say("panel-targets", place(dashboard, panel, target), "asks another data source than its panel");
    }
    for (const transformation of panel.transformations ?? []) {
      const only = transformation.filter?.options;
      if (only === undefined) continue;
      const pattern = only.startsWith("/") ? new RegExp(only.slice(1, -1)) : new RegExp(`^(${only})$`);
      if (![...refs].some((ref) => pattern.test(String(ref)))) say("panel-targets", where, `a transformation is for ${only}, which no query is`);
    }
  }
}

function unitOf(panel: Panel): unknown {
  if (panel.type === "nodeGraph") {
    const parts = [panel.options?.nodes, panel.options?.edges] as Record<string, unknown>[];
    return parts.every((part) => part?.mainStatUnit && part?.secondaryStatUnit);
  }
  return panel.fieldConfig?.defaults?.unit;
}

function grid(dashboard: Dashboard, say: Say): void {
  const placed = (dashboard.panels ?? []).filter((panel) => {
    const g = panel.gridPos;
    const fits = g && g.x >= 0 && g.y >= 0 && g.w > 0 && g.h > 0 && g.x + g.w <= GRID;
    if (!fits) say("grid", place(dashboard, panel), `is outside of the grid: ${JSON.stringify(g)}`);
    return fits;
  });
  placed.forEach((panel, index) => {
    const a = panel.gridPos!;
    for (const other of placed.slice(index + 1)) {
      const b = other.gridPos!;
      if (a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h) {
        say("grid", place(dashboard, panel), `overlaps ${other.title}`);
      }
    }
  });
}

function variables(dashboard: Dashboard, say: Say): void {
  const defined = variablesOf(dashboard).map((variable) => variable.name);
  const used = new Set<string>();
  for (const [path, text] of strings(dashboard)) {
    const inLink = path.endsWith(".url");
    for (const name of references(text)) {
      used.add(name);
      const known = defined.includes(name) || name in BUILT_IN || (inLink && IN_LINKS.includes(name));
      if (!known) say("variables", place(dashboard), `${path} uses $${name}, which is not defined`);
    }
  }
  defined.forEach((name, index) => {
    if (defined.indexOf(name) !== index) say("variables", place(dashboard), `$${name} is defined twice`);
    if (!used.has(name)) say("variables", place(dashboard), `$${name} is not used`);
  });
  // Grafana fills variables in in their order; one that needs a later one would be filled with nothing.
  variablesOf(dashboard).forEach((variable, index) => {
    for (const [, text] of strings(variable)) {
      for (const name of references(text)) {
        if (defined.indexOf(name) >= index) say("variables", place(dashboard), `$${variable.name} needs $${name}, which comes later`);
      }
    }
  });
}

function links(dashboard: Dashboard, siblings: Dashboard[], say: Say): void {
  const where = place(dashboard);
  for (const link of dashboard.links ?? []) {
    if (link.type !== "dashboards") continue;
    const others = siblings.filter((other) => other !== dashboard && link.tags?.every((tag) => other.tags?.includes(tag)));
    if (others.length !== siblings.length - 1) say("links", where, `its links lead to ${others.length} of the other ${siblings.length - 1} dashboards`);
  }
  if (!dashboard.links?.some((link) => link.type === "dashboards")) say("links", where, "does not link to the other dashboards");
  for (const [path, text] of strings(dashboard)) {
    if (path.endsWith(".url") && text !== "") url(dashboard, path, text, siblings, say);
  }
  for (const panel of panelsOf(dashboard)) {
    for (const link of linksOf(panel)) if (!link.title) say("links", place(dashboard, panel), "has a link without a title");
  }
}

function linksOf(panel: Panel): Link[] {
  const overrides = (panel.fieldConfig?.overrides ?? []).flatMap((override) => override.properties);
  return [
    ...(panel.fieldConfig?.defaults?.links ?? []),
    ...overrides.filter((property) => property.id === "links").flatMap((property) => property.value as Link[]),
  ];
}

function url(dashboard: Dashboard, path: string, text: string, siblings: Dashboard[], say: Say): void {
  const where = place(dashboard);
  const [address = "", query = ""] = text.split("?");
  if (address === "/explore") return explore(dashboard, path, query, say);
  const to = siblings.find((other) => address === `/d/${other.uid}`);
  if (!to) return say("links", where, `${path} leads to ${address}, which is no dashboard here`);
  const theirs = variablesOf(to).map((variable) => variable.name);
  for (const part of query.split("&")) {
    const name = /^var-(\w+)=/.exec(part)?.[1] ?? /^\$\{(\w+):queryparam\}$/.exec(part)?.[1];
    if (name === undefined && part !== "${__url_time_range}") say("links", where, `${path} has the part ${part}`);
    if (name !== undefined && !theirs.includes(name)) say("links", where, `${path} sets ${name}, which ${to.title} does not have`);
  }
  if (!query.includes("${__url_time_range}")) say("links", where, `${path} does not keep the time`);
}

/** The part `panes` is JSON in which Grafana fills in references; every query in it has to parse then. */
function explore(dashboard: Dashboard, path: string, query: string, say: Say): void {
  const where = place(dashboard);
  const panes = query.split("&").find((part) => part.startsWith("panes="))?.slice("panes=".length);
  const filled = panes?.replace(/\$\{__(data|field)[^}]*\}/g, "some").replace(/\$\{__(from|to)\}/g, "1700000000000");
  try {
    const parsed = JSON.parse(decodeURIComponent(filled ?? "")) as Record<string, { queries: { query: string }[]; range: object }>;
    for (const pane of Object.values(parsed)) {
      for (const one of pane.queries) {
        const wrong = syntaxError("traceql", expand(one.query, dashboard));
        if (wrong) say("links", where, `${path}: TraceQL ${one.query}: ${wrong}`);
      }
      if (!pane.range) say("links", where, `${path} does not keep the time`);
    }
  } catch (error) {
    say("links", where, `${path}: panes: ${String(error)}`);
  }
}
