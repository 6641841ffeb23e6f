/** What etc/entitlements/README.md prints, run as it is printed: from nothing to a bundle in force, and to the next one. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { AUTHORITY_AUDIENCE, type Authority, startAuthority } from '../support/authority.ts';
import { type ConfiguredService, startConfiguredService } from '../support/configured-service.ts';
import { describeWith } from '../support/debian-parts.ts';
import {
  createTemporaryFolder,
  type Finished,
  run,
  runOrFail,
  searchPath,
  type TemporaryFolder,
} from '../support/processes.ts';
import { type ReadmePlace, readCommands, readYaml } from '../support/readme.ts';
import { type Registry, startRegistry } from '../support/registry.ts';
import { BINARY, type RunningService, startService } from '../support/running-service.ts';

setDefaultTimeout(180_000);

const page = 'etc/entitlements/README.md';
const pipeline = new URL('../../etc/entitlements/release.sh', import.meta.url).pathname;

/** A machine where `registry-token` and `sudo` are in PATH. */
async function createMachine(): Promise<TemporaryFolder> {
  const folder = await createTemporaryFolder();
  await mkdir(folder.at('bin'));
  await mkdir(folder.at('stick'));
  await symlink(BINARY, folder.at('bin/registry-token'));
  await symlink('/usr/bin/env', folder.at('bin/sudo'));
  await writeFile(folder.at('plans.yaml'), await readYaml(page, 'issuer: vendor.example.com'));
  return folder;
}

const shell = (machine: TemporaryFolder, commands: string, env: Readonly<Record<string, string>> = {}) =>
  run(['bash', '-euo', 'pipefail', '-c', commands], {
    cwd: machine.path,
    env: { HOME: machine.path, ...env, PATH: `${machine.at('bin')}:${searchPath}` },
    timeoutMs: 60_000,
  });

async function shellOrFail(...args: Parameters<typeof shell>): Promise<string> {
  const finished: Finished = await shell(...args);
  expect(finished).toMatchObject({ exitCode: 0 });
  return finished.stdout;
}

test('three commands at the vendor and two at the site put a bundle in force; the next one is read before it counts', async () => {
  await using machine = await createMachine();
  const audit = machine.at('audit.log');
  const logging = { level: 'info', format: 'json', auditPath: audit };
  await using service = await startConfiguredService({ logging });
  const etc = `${service.folder.path}/`;
  const stick: ReadmePlace = ['/media/stick', machine.at('stick')];

  const vendor = await readCommands(page, '--serial 1 --site', [stick]);
  expect(vendor.trim().split('\n')).toHaveLength(3);
  await shellOrFail(machine, vendor);

  service.configure({ logging, ...parse(await readYaml(page, 'keysPath: vendor-jwks.json')) });
  const site = await readCommands(page, 'entitlements verify --config', [
    stick,
    ['/etc/registry-token/', etc],
  ]);
  expect(site.trim().split('\n')).toHaveLength(2);
  const verified = await shellOrFail(machine, site);
  const { keys } = JSON.parse(await readFile(machine.at('vendor/registry-jwks.json'), 'utf8'));
  expect(verified).toContain(`keyId           ${keys[0].kid}`);
  await untilSerial(service, 1);
  const pro = { 'stellaops:plan': 'pro', 'stellaops:license': 'LIC-7', tid: 'acme', sub: 'ci-acme' };
  const push = 'repository:customers/acme/app:push';
  expect((await service.ask('repository:vendor/public/app:pull')).status).toBe(200);
  expect((await service.ask(push, pro)).status).toBe(200);
  expect((await service.ask('', { 'stellaops:license': 'LIC-4711' })).status).toBe(403);

  const plans = await readFile(machine.at('plans.yaml'), 'utf8');
  await writeFile(
    machine.at('plans.yaml'),
    plans.replace('[pull, push]', '[pull]').replace('[LIC-4711]', '[LIC-4711, LIC-4712]'),
  );
  const [, signing = ''] = vendor.split('\n');
  await shellOrFail(machine, signing.replace('--serial 1', '--serial 2'));
  const diff = await readCommands(page, 'entitlements diff', [
    stick,
    ['/etc/registry-token/', etc],
    ['/var/log/registry-token/audit.log', audit],
  ]);
  const { exitCode, stdout } = await shell(machine, diff);
  expect(exitCode).toBe(1);
  const lines = stdout.split('\n');
  const printed = /^```\n(serial 1 .*?)^```$/ms.exec(await readFile(page, 'utf8'))?.[1]?.split('\n') ?? [];
  // Times, and how many subjects this test has.
  expect(lines.slice(1, 5)).toEqual(printed.slice(1, 5));
  expect(lines.slice(-4)).toEqual(printed.slice(-4));
  await shellOrFail(machine, `sudo cp ${machine.at('stick')}/entitlements.jws ${etc}`);
  await untilSerial(service, 2);
  expect((await service.ask(push, pro)).status).toBe(403);
  expect((await service.ask('', { 'stellaops:license': 'LIC-4712' })).status).toBe(403);
});

async function untilSerial(service: ConfiguredService, serial: number): Promise<void> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    const text = await (await fetch(`${service.url}/metrics`)).text();
    if (text.includes(`\nregistry_token_entitlements_serial ${serial}\n`)) return;
    if (performance.now() > deadline) throw new Error(`No serial ${serial}:\n${service.child.stderr()}`);
    await Bun.sleep(50);
  }
}

test('a command signs in place of the key as printed', async () => {
  await using machine = await createMachine();
  await runOrFail([BINARY, 'keygen', '--out', machine.at('vendor')]);
  await shellOrFail(machine, await readCommands(page, '--sign-command', []));
  const keys = machine.at('vendor/registry-jwks.json');
  const bundle = machine.at('entitlements.jws');
  await runOrFail([BINARY, 'entitlements', 'verify', bundle, '--keys', keys, '--site', 'plant-7']);
});

describeWith(['docker-registry', 'oras'], 'through a registry', () => {
  let machine: TemporaryFolder;
  let authority: Authority;
  let service: RunningService;
  let registry: Registry;
  /** As oras has it: it speaks http to localhost alone. */
  let host: string;

  beforeAll(async () => {
    machine = await createMachine();
    for (const name of ['signing', 'vendor']) await runOrFail([BINARY, 'keygen', '--out', machine.at(name)]);
    const clients = [
      { id: 'vendor', plan: 'vendor' },
      { id: 'plant-7', plan: 'site' },
    ];
    authority = await startAuthority({ clients });
    service = await startService({
      authorityIssuer: authority.issuer,
      signing: {
        keyPath: machine.at('signing/registry-signing.pem'),
        certificatePath: machine.at('signing/registry-signing.crt'),
      },
      sections: {
        authority: { issuer: authority.issuer, audiences: [AUTHORITY_AUDIENCE] },
        defaultPlan: 'site',
        plans: {
          vendor: { repositories: [{ pattern: 'entitlements/*', actions: ['pull', 'push'] }] },
          site: { repositories: [{ pattern: 'entitlements/plant-7' }] },
        },
      },
    });
    registry = await startRegistry({
      realm: `http://localhost:${service.port}/token`,
      service: 'registry.e2e.example',
      issuer: 'registry-token.e2e.example',
      rootCertificatePath: machine.at('signing/registry-signing.crt'),
    });
    host = `localhost:${registry.port}`;
    await writeFile(machine.at('plant-7.secret'), authority.clientSecret);
    await login('vendor', 'plant-7', 'pull,push');
  });

  afterAll(async () => {
    for (const part of [registry, service, authority, machine]) await part?.[Symbol.asyncDispose]();
  });

  /** Leaves the vendor's token for one site in `vendor.json`. */
  async function login(client: string, site: string, actions: string): Promise<void> {
    await runOrFail([
      ...[BINARY, 'token', '--authority', authority.issuer, '--client-id', client],
      ...['--client-secret-path', machine.at('plant-7.secret'), '--registry', `http://${host}`],
      ...[
        '--scope',
        `repository:entitlements/${site}:${actions}`,
        '--docker-config',
        machine.at('vendor.json'),
      ],
    ]);
  }

  const places = (): ReadmePlace[] => [['registry.example.com', host]];

  test('the vendor pushes a bundle, and the site pulls it with a token of its own, as printed', async () => {
    const key = machine.at('vendor/registry-signing.pem');
    const options = [
      '--serial',
      '1',
      '--site',
      'plant-7',
      '--expires',
      '35d',
      '--out',
      machine.at('entitlements.jws'),
    ];
    await runOrFail([
      BINARY,
      'entitlements',
      'sign',
      '--key',
      key,
      '--in',
      machine.at('plans.yaml'),
      ...options,
    ]);
    await shellOrFail(machine, await readCommands(page, 'oras push', places()));
    await runOrFail(['cp', machine.at('vendor/registry-jwks.json'), machine.at('vendor-jwks.json')]);
    const pull = await readCommands(page, 'oras pull', [
      ['https://authority.example.com', authority.issuer],
      ['--registry registry.example.com', `--registry http://${host}`],
      ...places(),
    ]);
    expect(await shellOrFail(machine, pull)).toContain('incoming/entitlements.jws: good');
    const manifest = await shellOrFail(
      machine,
      `oras manifest fetch --registry-config vendor.json ${host}/entitlements/plant-7:latest`,
    );
    expect(JSON.parse(manifest)).toMatchObject({
      artifactType: 'application/vnd.registry-token.entitlements+jwt',
      layers: [{ mediaType: 'application/jose' }],
    });
  });

  test('the pipeline signs the first bundle of a site, then what changes, and nothing where nothing does', async () => {
    await login('vendor', 'plant-9', 'pull,push');
    const command = (await readCommands(page, 'release.sh plant-7', places()))
      .replace('sh release.sh', `sh ${pipeline}`)
      .replace('plant-7', 'plant-9');
    const expected = machine.at('last/entitlements.jws');
    const last = async () => {
      await shellOrFail(
        machine,
        `oras pull --registry-config vendor.json --output last ${host}/entitlements/plant-9:latest`,
      );
      const keys = machine.at('vendor/registry-jwks.json');
      return runOrFail([BINARY, 'entitlements', 'verify', expected, '--keys', keys, '--site', 'plant-9']);
    };
    expect(await shellOrFail(machine, command)).toContain(`pushed serial 1 to ${host}/entitlements/plant-9`);
    expect(await last()).toContain('serial          1');
    expect(await shellOrFail(machine, command)).toContain('serial 1 for plant-9 stays');

    const plans = await readFile(machine.at('plans.yaml'), 'utf8');
    await writeFile(machine.at('plans.yaml'), plans.replace('[LIC-4711]', '[LIC-4711, LIC-4712]'));
    const changed = await shellOrFail(machine, command);
    expect(changed).toContain('newly revoked (1): LIC-4712');
    expect(changed).toContain('pushed serial 2');
    expect(await last()).toContain('serial          2');

    // A bundle that ends soon is followed by one that says the same.
    expect(await shellOrFail(machine, command, { EXPIRES: '10d' })).toContain('serial 2 for plant-9 stays');
    await writeFile(machine.at('plans.yaml'), plans);
    expect(await shellOrFail(machine, command, { EXPIRES: '10d' })).toContain('pushed serial 3');
    expect(await shellOrFail(machine, command)).toContain('pushed serial 4');

    await writeFile(machine.at('plans.yaml'), plans.replace('vendor/**', 'vendor//'));
    expect((await shell(machine, command)).exitCode).toBe(78);
    const nowhere = command.replaceAll(host, 'localhost:1');
    expect((await shell(machine, nowhere)).exitCode).toBe(1);
    expect(await last()).toContain('serial          4');
  });
});
