/** What a token costs as things grow: plans, revoked licences, live proofs, workers. */
import { type Cell, usualCell } from './cells.ts';
import type { Curve, Point } from './draw-curves.ts';
import { type MeasureOptions, measureCell } from './measure.ts';
import { measureInserts } from './proof-inserts.ts';
import { createRow, type Row } from './report.ts';

export interface CurveSizes {
  readonly plans: readonly number[];
  readonly patternsPerPlan: number;
  readonly licenses: readonly number[];
  readonly proofs: readonly number[];
  readonly workers: readonly number[];
}

export const fullSizes: CurveSizes = {
  plans: [10, 100, 1000, 10_000],
  patternsPerPlan: 100,
  licenses: [10, 1000, 100_000, 1_000_000],
  proofs: [1000, 10_000, 100_000, 1_000_000, 10_000_000],
  workers: [1, 2, 4],
};

export const smokeSizes: CurveSizes = {
  plans: [2],
  patternsPerPlan: 2,
  licenses: [2],
  proofs: [100, 1000],
  workers: [2],
};

/** Measures all of them; `tell` is told of each point before it is measured. */
export async function measureCurves(
  sizes: CurveSizes,
  options: MeasureOptions,
  tell: (point: string) => void,
): Promise<Curve[]> {
  const cellCurve = async (
    curve: Omit<Curve, 'points'>,
    counts: readonly number[],
    change: (count: number) => Partial<Cell>,
    figure: (row: Row) => number,
  ): Promise<Curve> => {
    const points: Point[] = [];
    for (const x of counts) {
      tell(`${x} ${curve.grows}`);
      const cell = { ...usualCell, name: `${x} ${curve.grows}`, ...change(x) };
      points.push({ x, y: figure(createRow(cell, await measureCell(cell, options))) });
    }
    return { ...curve, points };
  };
  const ratio = ({ ratio }: Row) => ratio.median;
  // The first inserts of a process are those of code that is not compiled yet.
  measureInserts(100_000);
  return [
    await cellCurve(
      {
        title: 'Plans',
        grows: `plans of ${sizes.patternsPerPlan} patterns`,
        unit: 'CPU time of a token, in floors',
      },
      sizes.plans,
      (count) => withPlans(count, sizes.patternsPerPlan),
      ratio,
    ),
    await cellCurve(
      { title: 'Revoked licences', grows: 'revoked licences', unit: 'CPU time of a token, in floors' },
      sizes.licenses,
      (count) => ({
        opTokClaims: { 'stellaops:license': 'license-good' },
        revokedLicenses: Array.from({ length: count }, (_, index) => `license-${index}`),
      }),
      ratio,
    ),
    {
      title: 'Live proofs',
      grows: 'proofs in memory',
      unit: 'microseconds to insert one more',
      points: sizes.proofs.map((x) => {
        tell(`${x} proofs`);
        return { x, y: measureInserts(x) };
      }),
    },
    await cellCurve(
      { title: 'Workers', grows: 'workers', unit: 'tokens a second, beside the load' },
      sizes.workers,
      (workers) => ({ workers, connections: 32 }),
      ({ tokensPerSecond }) => tokensPerSecond,
    ),
  ];
}

/** The last pattern of the last plan is the one that allows what is asked for. */
function withPlans(count: number, patterns: number): Partial<Cell> {
  const repositories = Array.from({ length: patterns }, (_, index) => ({
    pattern: index === patterns - 1 ? 'bench/*' : `team-${index}/*/images-*`,
  }));
  const plans = Object.fromEntries(
    Array.from({ length: count }, (_, index) => [`plan-${index}`, { repositories }]),
  );
  return { sections: { plans, defaultPlan: `plan-${count - 1}` } };
}
