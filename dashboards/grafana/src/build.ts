// A dashboard from its parts: what all have in common.

import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";

import { others, TAG } from "./links.js";
import type { Panel } from "./panels.js";
import type { Variable } from "./variables.js";

/** Understood by Grafana 11 to 13, the later of which migrate it when they load it. */
const SCHEMA_VERSION = 41;

export interface Section {
  /** Without a title: at the top, under no heading. */
  title?: string;
  panels: Panel[];
}

export interface About {
  uid: string;
  title: string;
  description: string;
  variables: Variable[];
  sections: Section[];
  from: string;
  refresh: string;
}

export function build(about: About): dashboard.Dashboard {
  const builder = new dashboard.DashboardBuilder(about.title)
    .id(null)
    .uid(about.uid)
    .description(about.description)
    .tags([TAG])
    .timezone("browser")
    .readonly()
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .time({ from: about.from, to: "now" })
    .refresh(about.refresh)
    .variables(about.variables)
    .annotation(
      new dashboard.AnnotationQueryBuilder()
        .name("Annotations & Alerts")
        .datasource({ type: "grafana", uid: "-- Grafana --" })
        .builtIn(1)
        .enable(true)
        .hide(true)
        .iconColor("rgba(0, 211, 255, 1)")
        .type("dashboard"),
    )
    .link(others());
  for (const section of about.sections) {
    if (section.title !== undefined) builder.withRow(new dashboard.RowBuilder(section.title));
    for (const panel of section.panels) builder.withPanel(panel);
  }
  return finish(builder.build());
}

/** What the builders do not let one say. */
function finish(built: dashboard.Dashboard): dashboard.Dashboard {
  built.schemaVersion = SCHEMA_VERSION;
  (built.panels ?? []).forEach((panel, index) => {
    panel.id = index + 1;
    // Grafana 12 moved a table's footer to its fields; none is wanted here.
    if (panel.type === "table" && "options" in panel) delete (panel.options as { footer?: unknown }).footer;
  });
  // Shown beside the title, where all versions show them; not in the menu that Grafana 12 added.
  for (const link of built.links ?? []) delete link.placement;
  for (const variable of built.templating?.list ?? []) {
    // These belong to variables of type interval.
    delete variable.auto;
    delete variable.auto_min;
    delete variable.auto_count;
  }
  return built;
}
