/** The alerts and the dashboard of etc, as the tests read them. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

export const prometheusFolder = new URL('../../etc/prometheus/', import.meta.url).pathname;

export interface Rule {
  readonly alert?: string;
  readonly record?: string;
  readonly expr: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export function readRulesText(): string {
  return readFileSync(`${prometheusFolder}registry-token.rules.yml`, 'utf8');
}

export function parseRules(text: string): readonly Rule[] {
  const { groups } = parse(text) as { groups: readonly { readonly rules: readonly Rule[] }[] };
  return groups.flatMap(({ rules }) => rules);
}

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly datasource: { readonly type: string; readonly uid: string };
  readonly gridPos: Readonly<Record<'x' | 'y' | 'w' | 'h', number>>;
  readonly fieldConfig: { readonly defaults: FieldDefaults };
  readonly targets: readonly {
    readonly expr: string;
    readonly refId: string;
    readonly legendFormat?: string;
  }[];
}

export interface FieldDefaults {
  readonly unit?: string;
  readonly max?: number;
  readonly thresholds?: {
    readonly steps: readonly { readonly color: string; readonly value: number | null }[];
  };
  readonly custom?: { readonly thresholdsStyle?: { readonly mode: string } };
}

export interface Dashboard {
  readonly title: string;
  readonly schemaVersion: number;
  readonly panels: readonly Panel[];
  readonly annotations: { readonly list: readonly { readonly expr?: string }[] };
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string; readonly definition?: string }[];
  };
}

export const grafanaFolder = new URL('../../etc/grafana/', import.meta.url).pathname;

export function readDashboard(): Dashboard {
  return JSON.parse(readFileSync(`${grafanaFolder}registry-token.json`, 'utf8')) as Dashboard;
}

/** A query of the dashboard as Grafana sends it, with all instances chosen. */
export function fillVariables(expression: string, rateInterval = '1m'): string {
  const filled = expression
    .replaceAll('$__rate_interval', rateInterval)
    .replaceAll('$job', 'registry-token')
    .replaceAll('$instance', '.+');
  if (filled.includes('$')) throw new Error(`A variable is left in ${filled}`);
  return filled;
}
