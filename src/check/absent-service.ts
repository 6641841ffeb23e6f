/** Why no service answers: what systemd, the configuration and the port say of it. */
import { connect } from 'node:net';
import { loadConfiguration } from '../config/load.ts';
import type { ListenAddress } from '../config/values.ts';
import { ConfigurationFault, formatMistake } from '../document/mistakes.ts';
import { readCommand } from '../platform/command-output.ts';
import { excerpt } from '../platform/escape.ts';
import { shellWord } from '../platform/quoting.ts';
import { settleWithin } from '../platform/wait.ts';
import type { StatusPart } from '../status/report.ts';
import { openConfiguration } from './open-configuration.ts';
import { readUnitState } from './unit-state.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** `file` is null where there is none; `now` in epoch seconds. */
export async function explainAbsence(
  file: string | null,
  env: Environment,
  unit: string,
  now: number,
): Promise<readonly StatusPart[]> {
  const [unitParts, configuration] = await Promise.all([
    describeUnit(unit, env),
    file === null ? null : judgeConfiguration(file, env, now),
  ]);
  const port = configuration?.listen === undefined ? null : await describePort(configuration.listen, env);
  return [
    ...unitParts,
    ...(configuration === null ? [] : [configuration.part]),
    ...(port === null ? [] : [port]),
  ];
}

async function describeUnit(unit: string, env: Environment): Promise<StatusPart[]> {
  const state = await readUnitState(unit, env);
  if (state === null) return [];
  const { active, result, exitStatus, restarts, lastLine } = state;
  const said = lastLine === null ? '' : ` Its last line is: ${excerpt(lastLine, 500)}`;
  const facts = { unit, active, result, exitStatus, restarts, lastLine };
  const journal = `journalctl -u ${unit} -n 20 --no-pager`;
  const part = (sentence: string, command: string): StatusPart => ({
    name: 'unit',
    state: 'error',
    sentence,
    command,
    facts,
  });
  if (active === 'active')
    return [
      part(
        `${unit}.service runs, but does not answer there: it was started with a different telemetry.listen, or without one.`,
        `systemctl restart ${unit}`,
      ),
    ];
  if (active === 'activating')
    return [part(`${unit}.service is starting (attempt ${restarts + 1}).${said}`, journal)];
  if (active === 'failed')
    return [part(`${unit}.service failed (${result}, exit status ${exitStatus}).${said}`, journal)];
  return [part(`${unit}.service is ${active}.`, `systemctl start ${unit}`)];
}

interface Judged {
  readonly part: StatusPart;
  /** Where it would listen; undefined where the configuration does not say. */
  readonly listen?: ListenAddress;
}

/** In this environment, and as this user: the unit may have others. */
async function judgeConfiguration(file: string, env: Environment, now: number): Promise<Judged> {
  const part = (state: StatusPart['state'], sentence: string, mistakes: readonly string[]): StatusPart => ({
    name: 'configuration',
    state,
    sentence,
    command: state === 'ok' ? null : `registry-token check --config ${shellWord(file)}`,
    facts: { file, mistakes },
  });
  let listen: ListenAddress | undefined;
  try {
    const loaded = loadConfiguration(file, env);
    listen = loaded.configuration.server.listen;
    await openConfiguration(loaded, now);
    return { part: part('ok', `${file} has no mistakes.`, []), listen };
  } catch (cause) {
    if (!(cause instanceof ConfigurationFault)) throw cause;
    return {
      part: describeMistakes(cause, part),
      ...(listen === undefined ? {} : { listen }),
    };
  }
}

function describeMistakes(
  { mistakes }: ConfigurationFault,
  part: (state: 'error', sentence: string, mistakes: readonly string[]) => StatusPart,
): StatusPart {
  const texts = mistakes.map(formatMistake);
  const more = texts.length > 1 ? ` (and ${texts.length - 1} more)` : '';
  return part('error', `The service would not start: ${texts[0]}${more}.`, texts);
}

const CONNECT_MS = 2000;
const SS_MS = 2000;

/** null where nobody listens there. */
async function describePort({ host, port }: ListenAddress, env: Environment): Promise<StatusPart | null> {
  const local = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host;
  if (!(await isListening(local, port))) return null;
  const holder = await findHolder(port, env);
  const effect =
    holder?.startsWith('registry-token ') === true
      ? 'a service that was started without this telemetry.listen, or with another configuration'
      : 'a service cannot start beside it';
  return {
    name: 'listeners',
    state: 'error',
    sentence: `Port ${port} of ${host} (server.listen) is taken${holder === null ? '' : ` by ${holder}`}: ${effect}.`,
    command: `ss -ltnp 'sport = :${port}'`,
    facts: { host, port, holder },
  };
}

async function isListening(host: string, port: number): Promise<boolean> {
  const socket = connect({ host, port });
  const { promise, resolve } = Promise.withResolvers<boolean>();
  socket.on('connect', () => resolve(true));
  socket.on('error', () => resolve(false));
  const isConnected = await settleWithin(CONNECT_MS, promise, () => false);
  socket.destroy();
  return isConnected;
}

/** `nginx (pid 812)`; null where that cannot be told: only root sees the processes of others. */
async function findHolder(port: number, env: Environment): Promise<string | null> {
  const output = await readCommand(['ss', '-Hltnp', `sport = :${port}`], env, SS_MS);
  const [, name, pid] = /users:\(\("([^"]{1,64})",pid=(\d+)/.exec(output?.stdout ?? '') ?? [];
  return name === undefined ? null : `${excerpt(name)} (pid ${pid})`;
}
