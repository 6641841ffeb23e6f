/** What a token costs as things grow: plans and revoked licences, as `bench:scale` has measured, live proofs, workers. */
import { readFile } from 'node:fs/promises';
import { usualCell } from './cells.ts';
import type { Curve, Point } from './draw-curves.ts';
import { type MeasureOptions, measureCell } from './measure.ts';
import { measureInserts } from './proof-inserts.ts';
import { createRow } from './report.ts';

export interface CurveSizes {
  readonly proofs: readonly number[];
  readonly workers: readonly number[];
}

export const fullSizes: CurveSizes = {
  proofs: [1000, 10_000, 100_000, 1_000_000, 10_000_000],
  workers: [1, 2, 4],
};

export const smokeSizes: CurveSizes = { proofs: [1000, 2000], workers: [2] };

/** What the report of `bench:scale` is read for. */
interface ScaleRow {
  readonly plans: number;
  readonly patterns: number;
  readonly licenses: number;
  readonly decision: { readonly nanoseconds: number };
}

/** The curves of plans and of licences. Throws where the report is not there or is none. */
export async function readScaleCurves(file: string): Promise<Curve[]> {
  const text = await readFile(file, 'utf8').catch(() => {
    throw new Error(`There is no ${file}: run bun run bench:scale first`);
  });
  const rows: readonly ScaleRow[] = JSON.parse(text).rows;
  const fewestPlans = Math.min(...rows.map(({ plans }) => plans));
  const patterns = rows[0]?.patterns ?? 0;
  const unit = 'microseconds of a decision';
  const points = (chosen: readonly ScaleRow[], x: 'plans' | 'licenses'): Point[] =>
    chosen.map((row) => ({ x: row[x], y: row.decision.nanoseconds / 1000 }));
  const byPlans = rows.filter(({ licenses }) => licenses === 0);
  const byLicenses = rows.filter(({ plans, licenses }) => plans === fewestPlans && licenses > 0);
  return [
    { title: 'Plans', grows: `plans of ${patterns} patterns`, unit, points: points(byPlans, 'plans') },
    { title: 'Revoked licences', grows: 'revoked licences', unit, points: points(byLicenses, 'licenses') },
  ];
}

/** Measures the others; `tell` is told of each point before it is measured. */
export async function measureCurves(
  sizes: CurveSizes,
  options: MeasureOptions,
  tell: (point: string) => void,
): Promise<Curve[]> {
  // The first inserts of a process are those of code that is not compiled yet.
  measureInserts(100_000);
  const proofs = sizes.proofs.map((x): Point => {
    tell(`${x} proofs`);
    return { x, y: measureInserts(x) };
  });
  const workers: Point[] = [];
  for (const x of sizes.workers) {
    tell(`${x} workers`);
    const cell = { ...usualCell, name: `workers-${x}`, workers: x, connections: 32 };
    workers.push({ x, y: createRow(cell, await measureCell(cell, options)).tokensPerSecond });
  }
  return [
    {
      title: 'Live proofs',
      grows: 'proofs in memory',
      unit: 'microseconds to insert one more',
      points: proofs,
    },
    { title: 'Workers', grows: 'workers', unit: 'tokens a second, beside the load', points: workers },
  ];
}
