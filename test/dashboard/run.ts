/**
 * `bun run picture`: draws etc/grafana/registry-token.svg, the dashboard as it looks at two real services under load,
 * scraped by a real Prometheus, while things go wrong. Every line is the answer to a query of the dashboard.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { fillVariables, grafanaFolder, readDashboard, readRulesText } from '../support/operators-files.ts';
import type { Prometheus } from '../support/prometheus.ts';
import { liveThrough, startSetting } from './incidents.ts';
import { drawDashboard, type PanelAnswers } from './picture.ts';

const STEP = 2;

/** Asks Prometheus every query of the dashboard over these seconds. */
async function askAll(prometheus: Prometheus, start: number, seconds: number): Promise<PanelAnswers> {
  const range = { start, end: start + seconds, step: STEP };
  const answers = new Map<number, Awaited<ReturnType<Prometheus['queryRange']>>[]>();
  for (const { id, targets } of readDashboard().panels) {
    const queries = targets.map(({ expr }) => prometheus.queryRange(fillVariables(expr, '10s'), range));
    answers.set(id, await Promise.all(queries));
  }
  return answers;
}

async function drawPicture(seconds: number, file: string): Promise<void> {
  await using setting = await startSetting(readRulesText());
  // A rate takes two scrapes.
  await Bun.sleep(3000);
  const start = Math.ceil(Date.now() / 1000);
  await liveThrough(setting, seconds);
  const answers = await askAll(setting.prometheus, start, seconds);
  const caption = `Two services under a mixed load for ${seconds} seconds: a reload, clients outside their plan, new keys of the Authority, Redis down, a proof sent again and again. Drawn by bun run picture.`;
  await writeFile(file, drawDashboard(readDashboard(), answers, { start, seconds, step: STEP, caption }));
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '120' },
      out: { type: 'string', default: `${grafanaFolder}registry-token.svg` },
    },
  });
  const seconds = Number(values.seconds);
  if (!Number.isInteger(seconds) || seconds < 10 || seconds > 600)
    throw new Error(`--seconds is a whole number from 10 to 600, not ${values.seconds}`);
  await drawPicture(seconds, values.out);
}
