// A dashboard as it is read from its file: only what the checks look at, and nothing taken for granted.

export interface Source {
  type?: string;
  uid?: string;
}

export interface Target {
  refId?: string;
  datasource?: Source;
  expr?: string;
  query?: string;
  hide?: boolean;
  panelId?: number;
  format?: string;
  instant?: boolean;
  range?: boolean;
  exemplar?: boolean;
}

export interface Override {
  matcher: { id: string; options?: unknown };
  properties: { id: string; value?: unknown }[];
}

export interface Panel {
  id?: number;
  type: string;
  title?: string;
  description?: string;
  datasource?: Source;
  gridPos?: { x: number; y: number; w: number; h: number };
  targets?: Target[];
  options?: Record<string, unknown>;
  fieldConfig?: {
    defaults?: { unit?: string; mappings?: unknown; links?: Link[]; custom?: Record<string, unknown> };
    overrides?: Override[];
  };
  transformations?: { id: string; filter?: { id: string; options: string }; options: Record<string, unknown> }[];
  panels?: Panel[];
}

export interface Variable {
  name: string;
  type: string;
  label?: string;
  query?: string | { query?: string };
  datasource?: Source;
  multi?: boolean;
  includeAll?: boolean;
  allValue?: string;
  refresh?: number;
  current?: { value?: string | string[] };
  options?: { value?: string | string[] }[];
}

export interface Link {
  title?: string;
  url?: string;
  type?: string;
  tags?: string[];
}

export interface Dashboard {
  id?: unknown;
  uid?: string;
  title?: string;
  tags?: string[];
  editable?: boolean;
  schemaVersion?: number;
  panels?: Panel[];
  templating?: { list?: Variable[] };
  links?: Link[];
  [other: string]: unknown;
}

/** What a check found, and where. */
export interface Finding {
  rule: string;
  where: string;
  message: string;
}

/** All panels, rows and those within rows included. */
export function panelsOf(dashboard: Dashboard): Panel[] {
  const walk = (panels: Panel[]): Panel[] => panels.flatMap((panel) => [panel, ...walk(panel.panels ?? [])]);
  return walk(dashboard.panels ?? []);
}

export function variablesOf(dashboard: Dashboard): Variable[] {
  return dashboard.templating?.list ?? [];
}

export function place(dashboard: Dashboard, panel?: Panel, target?: Target): string {
  const parts = [dashboard.title ?? dashboard.uid ?? "a dashboard without a title"];
  if (panel) parts.push(panel.title ?? `panel ${panel.id}`);
  if (target) parts.push(target.refId ?? "a query without refId");
  return parts.join(": ");
}

/** Every string anywhere in a value, with where it is: `panels.3.options.content`. */
export function* strings(value: unknown, path = ""): Generator<[string, string]> {
  if (typeof value === "string") {
    yield [path, value];
  } else if (value !== null && typeof value === "object") {
    for (const [key, inner] of Object.entries(value)) yield* strings(inner, path === "" ? key : `${path}.${key}`);
  }
}
