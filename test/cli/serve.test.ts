/** `serve` in this process: what it reads, what it tells, and how it ends. */
import { afterAll, describe, expect, test } from 'bun:test';
import { createServer } from 'node:net';
import { CommandFailure, UsageError } from '../../src/cli/command.ts';
import { serve } from '../../src/cli/serve.ts';
import { ConfigurationFault } from '../../src/document/mistakes.ts';
import { createInstallation } from '../assemble/installation.ts';
import { SERVICE } from '../support/tokens.ts';

const site = await createInstallation();
afterAll(() => site[Symbol.asyncDispose]());
const FILE = site.folder.at('registry-token.yaml');

interface Running {
  readonly url: string;
  readonly lines: () => Record<string, unknown>[];
  readonly text: () => string;
  readonly reload: () => void;
  /** Resolves to the line that has this message. */
  readonly waitFor: (message: string) => Promise<Record<string, unknown>>;
  /** Asks it to stop; resolves to its exit code. */
  readonly stop: () => Promise<number>;
}

function run(args: readonly string[], env: Readonly<Record<string, string>> = {}, isTerminal = false) {
  let text = '';
  let reload = () => {};
  const stopRequested = Promise.withResolvers<void>();
  const unexpected = () => {
    throw new Error('Results are for standard output; serve has none.');
  };
  const exited = serve.run({
    args,
    env,
    self: ['registry-token'],
    readInput: async () => '',
    openInput: async function* () {},
    printPart: async () => true,
    print: unexpected,
    tell: (line) => {
      text += line;
    },
    isTerminal,
    terminalColumns: null,
    isJournal: false,
    createWorker: () => {
      throw new Error('No worker is expected here.');
    },
    processUsage: () => ({ cpuSeconds: 0, residentBytes: 0, startedAt: 0 }),
    stopRequested: stopRequested.promise,
    onReloadRequested: (listener) => {
      reload = listener;
    },
  });
  return {
    exited,
    text: () => text,
    reload: () => reload(),
    stop: () => {
      stopRequested.resolve();
      return exited;
    },
  };
}

async function start(
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<Running> {
  const running = run(['--config', FILE, '--listen', '127.0.0.1:0', ...args], env);
  const lines = () =>
    running
      .text()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  let fault: unknown = null;
  running.exited.catch((cause) => {
    fault = cause;
  });
  const waitFor = async (message: string) => {
    for (let round = 0; round < 500; round += 1) {
      const line = lines().findLast((candidate) => candidate.message === message);
      if (line !== undefined) return line;
      await Bun.sleep(10);
      if (fault !== null) throw fault;
    }
    throw new Error(`There is no "${message}" in: ${running.text()}`);
  };
  const { url } = await waitFor('ready');
  return { ...running, url: String(url), lines, waitFor };
}

/** What it fails with; an error where it does not fail, or not soon. */
async function faultOf(promise: Promise<unknown>): Promise<Error> {
  const outcome = promise.then(
    () => 'it ended well',
    (cause) => cause,
  );
  const fault = await Promise.race([outcome, Bun.sleep(3000).then(() => 'it still runs')]);
  if (fault instanceof Error) return fault;
  throw new Error(`A fault was expected: ${fault}.`);
}

describe('serve', () => {
  test('names at the start, and at each reload, what the environment overrides, by key and variable', async () => {
    site.configure({ logging: { format: 'json' } });
    const running = await start([], { REGISTRY_TOKEN_SIGNING__LIFETIME: '6m' });
    const overrides = [
      'server.listen (REGISTRY_TOKEN_SERVER__LISTEN)',
      'signing.lifetime (REGISTRY_TOKEN_SIGNING__LIFETIME)',
    ];
    expect(await running.waitFor('ready')).toMatchObject({ overrides });
    running.reload();
    expect(await running.waitFor('reloaded')).toMatchObject({ overrides });
    expect(await running.stop()).toBe(0);
  });

  test('answers until it is told to stop, and ends with 0', async () => {
    site.configure({ logging: { format: 'json' } });
    const running = await start();
    expect((await fetch(`${running.url}/healthz`)).status).toBe(200);
    const opTok = site.opTok();
    // With fractions of a second: proofs dated before the start need a nonce.
    const proof = site.proof(opTok, { claims: { iat: Date.now() / 1000 } });
    const response = await fetch(`${running.url}/token?service=${SERVICE}`, {
      headers: { Authorization: `DPoP ${opTok}`, DPoP: proof },
    });
    expect(response.status).toBe(200);
    expect(await running.stop()).toBe(0);
    await faultOf(fetch(`${running.url}/healthz`));
    const messages = running.lines().map(({ message }) => message);
    expect(messages).toEqual(['ready', 'issued', 'stopping', 'stopped']);
    for (const secret of [...opTok.split('.'), ...proof.split('.')])
      expect(running.text()).not.toInclude(secret);
  });

  test('says where it listens, from which file, and what it is', async () => {
    site.configure({ logging: { format: 'json' } });
    const running = await start();
    expect(await running.waitFor('ready')).toMatchObject({
      level: 'info',
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:[1-9]\d*$/),
      configuration: FILE,
      version: expect.any(String),
      commit: expect.any(String),
    });
    await running.stop();
  });

  test('writes lines for people where standard error is a terminal, unless told otherwise', async () => {
    for (const [format, isTerminal, json] of [
      ['auto', true, false],
      ['auto', false, true],
      ['json', true, true],
      ['pretty', false, false],
    ] as const) {
      site.configure({ logging: { format } });
      const running = run(['--config', FILE, '--listen', '127.0.0.1:0'], {}, isTerminal);
      while (!running.text().includes('ready')) await Bun.sleep(5);
      await running.stop();
      expect(running.text().startsWith('{')).toBe(json);
    }
  });

  test('writes no less than logging.level', async () => {
    site.configure({ logging: { format: 'json', level: 'error' } });
    const running = run(['--config', FILE, '--listen', '127.0.0.1:0']);
    await Bun.sleep(200);
    expect(await running.stop()).toBe(0);
    expect(running.text()).toBe('');
  });

  test('reads the file that the option names, not that of the variable', async () => {
    site.configure({ logging: { format: 'json' } });
    const running = await start([], {
      REGISTRY_TOKEN_CONFIG: '/nonexistent.yaml',
      REGISTRY_TOKEN_SIGNING__ISSUER: 'env',
    });
    const { keys } = (await (await fetch(`${running.url}/.well-known/jwks.json`)).json()) as {
      keys: unknown[];
    };
    expect(keys).toHaveLength(1);
    await running.stop();
  });

  test('listens where --listen says, whatever the environment says', async () => {
    site.configure({ logging: { format: 'json' } });
    for (const name of ['REGISTRY_TOKEN_SERVER__LISTEN', 'registry_token_server__listen']) {
      const running = await start([], { [name]: '192.0.2.1:1' });
      expect(running.url).toMatch(/^http:\/\/127\.0\.0\.1:/);
      await running.stop();
    }
  });
});

describe('a reload', () => {
  test('is told, and what it brings is in force', async () => {
    site.configure({ logging: { format: 'json' } });
    const running = await start();
    site.configure({ logging: { format: 'json' }, registry: { realm: 'https://a.example/new/path' } });
    running.reload();
    await running.waitFor('reloaded');
    expect((await fetch(`${running.url}/new/path`)).status).toBe(400);
    await running.stop();
  });

  test('that fails is told, a line for each mistake, and changes nothing', async () => {
    site.configure({ logging: { format: 'json' } });
    const running = await start();
    site.configure({
      logging: { format: 'json' },
      signing: { lifetime: 'x' },
      authority: { clockSkew: 'y' },
    });
    running.reload();
    await running.waitFor('not reloaded');
    const told = running.lines().filter(({ message }) => message === 'not reloaded');
    expect(told.map(({ level }) => level)).toEqual(['error', 'error']);
    expect(told.map(({ mistake }) => String(mistake)).join('\n')).toMatch(
      /registry-token\.yaml:\d+:\d+: signing\.lifetime: must be/,
    );
    expect((await fetch(`${running.url}/readyz`)).status).toBe(200);
    await running.stop();
    expect(running.lines().map(({ message }) => message)).not.toContain('reloaded');
  });

  test('comes by itself when a file in use changes', async () => {
    site.configure({ logging: { format: 'json' } });
    const running = await start();
    const jwks = {
      keys: [{ ...site.authorityKey.publicJwk, kid: site.authorityKey.thumbprint, comment: 'new' }],
    };
    site.write('jwks.json', JSON.stringify(jwks));
    await running.waitFor('reloaded');
    await running.stop();
  }, 10_000);
});

describe('what an operator may want is told at the start', () => {
  test.each([
    ['bearer-only', { senderConstraint: { accept: ['dpop', 'none'] } }],
    ['anonymous', { anonymousPlan: 'community' }],
  ])('%s', async (word, sections) => {
    site.configure({ logging: { format: 'json' }, ...sections });
    const running = await start();
    await running.stop();
    const warnings = running.lines().filter(({ level }) => level === 'warn');
    expect(warnings.map(({ message }) => String(message).split(':', 1)[0] ?? '')).toEqual([word]);
  });
});

describe('serve does not start', () => {
  test.each([
    [['--port', '1'], "Unknown option '--port'"],
    [['--config'], "Option '--config <value>' argument missing"],
    [['extra'], 'unexpected argument "extra"'],
  ])('with the words %p', async (args, message) => {
    const { exited } = run(args);
    const fault = await faultOf(exited);
    expect(fault).toBeInstanceOf(UsageError);
    expect(fault.message).toInclude(message);
  });

  test('with an address that is none', async () => {
    site.configure();
    const { exited, text } = run(['--config', FILE, '--listen', 'nowhere']);
    const fault = await faultOf(exited);
    expect(fault).toBeInstanceOf(UsageError);
    expect(fault.message).toBe('--listen must be host:port, not nowhere');
    expect(text()).toBe('');
  });

  test('with mistakes, and writes nothing to the log', async () => {
    site.configure({ signing: { keyPath: 'nothing.pem' } });
    const { exited, text } = run(['--config', FILE]);
    expect(await faultOf(exited)).toBeInstanceOf(ConfigurationFault);
    expect(text()).toBe('');
  });

  test('where the address is taken, and says so', async () => {
    site.configure();
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const address = other.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const { exited } = run(['--config', FILE, '--listen', `127.0.0.1:${port}`]);
    const fault = await faultOf(exited);
    expect(fault).toBeInstanceOf(CommandFailure);
    expect(fault.message).toInclude(`cannot listen on 127.0.0.1:${port}: another process uses that address`);
    other.close();
  });
});
