// A node graph from instant Prometheus queries.
//
// Grafana's panel wants two tables, nodes and edges, with columns of fixed names (id, title, mainstat, arc__..., source,
// target, ...). Labels can be given any name in PromQL, a query's value cannot: it is called "Value #<refId>", and
// renaming it changes what is displayed, not the name that the panel looks for. So each value is copied into a new
// field of the right name, everything else is left out, and the tables of one kind are merged by `id`.

import type * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import * as nodegraph from "@grafana/grafana-foundation-sdk/nodegraph";

import { instantQuery, type Link, type Panel } from "./panels.js";
import { PROMETHEUS } from "./variables.js";

export interface Stat {
  /** The column that the query's value becomes; without it only the labels count. */
  column?: string;
  /** A query whose result has the label `id`, and for others of these columns labels of their names. */
  expr: string;
}

// Merging needs `id` in every table, and the panel fails on an edge whose ends are no nodes. So each of these queries has
// a row for every node, or every edge, that the first of its kind has.
export interface NodeGraph {
  title: string;
  description: string;
  width: number;
  height: number;
  nodes: Stat[];
  edges: Stat[];
  nodeUnits: [main: string, secondary: string];
  edgeUnits: [main: string, secondary: string];
  /** Columns that are shares of the ring around a node, with their colours. */
  arcs: Record<string, string>;
  nodeLinks: Link[];
  edgeLinks: Link[];
}

const NODE_LABELS = ["id", "title", "subtitle", "icon"];
const EDGE_LABELS = ["id", "source", "target", "color", "detail__connection", "strokedasharray"];

export function nodeGraph(g: NodeGraph): Panel {
  const queries = [...named("nodes", g.nodes), ...named("edges", g.edges)];
  const columns = queries.flatMap((query) => query.column ?? []);
  const transformations: dashboard.DataTransformerConfig[] = [];
  for (const { ref, column } of queries) {
    if (column === undefined) continue;
    transformations.push({
      id: "calculateField",
      filter: { id: "byRefId", options: ref },
      options: {
        mode: "reduceRow",
        reduce: { include: [`Value #${ref}`], reducer: "sum" },
        alias: column,
        timeSeries: false,
      },
    });
  }
  const names = [...new Set([...NODE_LABELS, ...EDGE_LABELS, ...columns])];
  transformations.push({ id: "filterFieldsByName", options: { include: { names } } });
  for (const kind of ["nodes", "edges"]) {
    transformations.push({ id: "merge", filter: { id: "byRefId", options: `/^${kind}/` }, options: {} });
  }
  const [nodeMain, nodeSecondary] = g.nodeUnits;
  const [edgeMain, edgeSecondary] = g.edgeUnits;
  return new nodegraph.PanelBuilder()
    .title(g.title)
    .description(g.description)
    .datasource(PROMETHEUS)
    .span(g.width)
    .height(g.height)
    .zoomMode(nodegraph.ZoomMode.Cooperative)
    .nodes(
      new nodegraph.NodeOptionsBuilder()
        .mainStatUnit(nodeMain)
        .secondaryStatUnit(nodeSecondary)
        .arcs(Object.entries(g.arcs).map(([field, color]) => new nodegraph.ArcOptionBuilder().field(field).color(color))),
    )
    .edges(new nodegraph.EdgeOptionsBuilder().mainStatUnit(edgeMain).secondaryStatUnit(edgeSecondary))
    .overrideByName("detail__connection", [{ id: "displayName", value: "Connection" }])
    // Only nodes have a title, only edges a target.
    .overrideByName("title", [{ id: "links", value: g.nodeLinks }])
    .overrideByName("target", [{ id: "links", value: g.edgeLinks }])
    .targets(queries.map(({ expr, ref }) => instantQuery(expr, ref)))
    .transformations(transformations);
}

function named(kind: string, stats: Stat[]): (Stat & { ref: string })[] {
  return stats.map((stat, index) => ({ ...stat, ref: `${kind}_${stat.column ?? index}` }));
}
