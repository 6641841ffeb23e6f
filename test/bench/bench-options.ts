/** The words of `bun run bench`. */
import { existsSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type Cell, cells } from './cells.ts';
import type { MeasureOptions } from './measure.ts';
import type { Peer } from './peer.ts';

export const USAGE = `Usage: bun run bench [--rounds N] [--seconds N] [--cells NAME,NAME] [--before FILE] [--smoke] [--json FILE]
       bun run bench --cells NAME --peer URL --peer-pid N [--peer-header 'NAME: VALUE']…
       bun run bench --overload [--smoke] [--json FILE]
       bun run bench --cores [--seconds N] [--smoke] [--json FILE]
       bun run bench --agent [--rounds N] [--smoke] [--json FILE]
       bun run bench --curves [--smoke] [--scale FILE] [--json FILE] [--svg FILE]
       bun run bench --soak [--seconds N] [--smoke] [--json FILE]
       bun run bench --attack [--minutes N] [--workers N] [--smoke] [--json FILE]

The figures are good on a machine that does nothing else meanwhile.

  --rounds N      how often each cell is loaded, with the floor before and after, 1 to 60; default 6
  --seconds N     how long each time, 1 to 60, default 1; of a soak 60 to 3600, default 600
  --before FILE   another build of the executable: each cell loads both by turns
  --peer URL      another token service that runs already: loaded by turns with the one cell that --cells names
  --peer-pid N    its process, whose CPU time is measured
  --peer-header H a header that it needs, as often as necessary
  --cells NAMES   only these of: ${cells.map(({ name }) => name).join(', ')}
  --overload      twice the capacity, the service on one core and the load on another
  --agent         a layer of 2 GiB through the agent, and from the registry itself
  --cores         one to four workers on all cores and on one, the lock under contention, and a model of more cores
  --curves        what a token costs against plans, licences, live proofs and workers, as a picture
  --soak          70 % of the capacity, with reloads, key rotations and hostile requests
  --attack        clients, good and bad, while everything around the service changes and fails
  --minutes N     how long an attack lasts, 1 to 120; default 10
  --workers N     of the service under attack, 2 to 64; default 4
  --smoke         a few hundred requests: whether the bench works, not how fast anything is
  --json FILE     where the figures go; default dist/bench.json, dist/bench-overload.json, …
  --scale FILE    what bun run bench:scale has written; default dist/bench-scale.json
  --svg FILE      where the picture goes; default etc/bench/scaling.svg
`;

export interface Options {
  readonly mode: 'cells' | 'overload' | 'cores' | 'agent' | 'curves' | 'soak' | 'attack';
  readonly cells: readonly Cell[];
  readonly measure: Omit<MeasureOptions, 'signal'>;
  readonly smoke: boolean;
  readonly soakSeconds: number;
  readonly minutes: number;
  readonly workers: number;
  readonly json: string;
  readonly scale: string;
  readonly picture: string;
}

/** Throws an Error that says which word is wrong. */
export function readOptions(words: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...words],
    options: {
      rounds: { type: 'string', default: '6' },
      seconds: { type: 'string' },
      cells: { type: 'string' },
      before: { type: 'string' },
      peer: { type: 'string' },
      'peer-pid': { type: 'string' },
      'peer-header': { type: 'string', multiple: true, default: [] },
      overload: { type: 'boolean', default: false },
      cores: { type: 'boolean', default: false },
      agent: { type: 'boolean', default: false },
      soak: { type: 'boolean', default: false },
      curves: { type: 'boolean', default: false },
      attack: { type: 'boolean', default: false },
      minutes: { type: 'string', default: '10' },
      workers: { type: 'string', default: '4' },
      scale: { type: 'string' },
      svg: { type: 'string', default: new URL('../../etc/bench/scaling.svg', import.meta.url).pathname },
      smoke: { type: 'boolean', default: false },
      json: { type: 'string' },
    },
  });
  const { soak } = values;
  const soakSeconds = soak ? wholeNumber('--seconds', values.seconds ?? '600', 60, 3600) : 0;
  const seconds = soak ? 1 : wholeNumber('--seconds', values.seconds ?? '1', 1, 60);
  const rounds = wholeNumber('--rounds', values.rounds, 1, 60);
  const { smoke } = values;
  const { before = null } = values;
  if (before !== null && !existsSync(before)) throw new Error(`--before: there is no ${before}`);
  const peer = readPeer(values.peer, values['peer-pid'], values['peer-header']);
  const chosen = chooseCells(values.cells);
  if (peer !== null && chosen.length !== 1)
    throw new Error('--peer is measured beside one cell: name it with --cells');
  const [mode = 'cells'] = (['overload', 'cores', 'agent', 'curves', 'soak', 'attack'] as const).filter(
    (name) => values[name],
  );
  return {
    mode,
    cells: chosen,
    measure: smoke
      ? {
          rounds: 1,
          seconds: 1,
          floorMs: 10,
          warmUpSeconds: 1,
          warmUpRequests: 100,
          mostRequests: 300,
          peer,
          before,
        }
      : {
          rounds,
          seconds,
          floorMs: 300,
          warmUpSeconds: 5,
          warmUpRequests: 30_000,
          mostRequests: 500_000,
          peer,
          before,
        },
    smoke,
    soakSeconds,
    minutes: wholeNumber('--minutes', values.minutes, 1, 120),
    workers: wholeNumber('--workers', values.workers, 2, 64),
    json: values.json ?? defaultFile(mode),
    scale: values.scale ?? defaultFile('scale'),
    picture: values.svg,
  };
}

function readPeer(url: string | undefined, pid: string | undefined, headers: readonly string[]): Peer | null {
  if (url === undefined) {
    if (pid !== undefined || headers.length > 0) throw new Error('--peer-pid and --peer-header need --peer');
    return null;
  }
  if (!/^http:\/\/(?:127\.\d+\.\d+\.\d+|localhost|\[::1\])[:/]/.test(url))
    throw new Error(`--peer is an http URL on this machine, not ${url}`);
  return { url, pid: wholeNumber('--peer-pid', pid ?? '', 2, 4_194_304), headers };
}

function defaultFile(mode: Options['mode'] | 'scale'): string {
  const name = mode === 'cells' ? 'bench' : `bench-${mode}`;
  return new URL(`../../dist/${name}.json`, import.meta.url).pathname;
}

function chooseCells(names: string | undefined): readonly Cell[] {
  if (names === undefined) return cells;
  return names.split(',').map((name) => {
    const cell = cells.find((candidate) => candidate.name === name);
    if (cell === undefined) throw new Error(`There is no cell ${name}`);
    return cell;
  });
}

function wholeNumber(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > most)
    throw new Error(`${name} is a whole number from ${least} to ${most}, not ${text}`);
  return value;
}
