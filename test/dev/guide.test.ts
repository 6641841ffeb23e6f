/** What `dev` prints is meant for a shell: each word arrives as it is, whatever the paths look like. */
import { expect, test } from 'bun:test';
import { type GuideOptions, renderGuide } from '../../src/dev/guide.ts';
import { type LoopbackAddress, parseLoopbackAddress } from '../../src/dev/loopback.ts';
import { shellWord } from '../../src/platform/quoting.ts';
import { run } from '../support/processes.ts';

function address(text: string): LoopbackAddress {
  const parsed = parseLoopbackAddress(text);
  if (parsed === null) throw new Error(`${text} is no address`);
  return parsed;
}

const options: GuideOptions = {
  addresses: {
    service: address('127.0.0.1:8085'),
    authority: address('127.0.0.1:8086'),
    registry: address('127.0.0.1:5000'),
  },
  folder: '/tmp/dev',
  kept: false,
  self: ['/opt/registry-token'],
  clientId: 'dev',
  service: 'registry.localhost',
  registryProgram: 'docker-registry',
  registryTaken: false,
};

/** A shell in which every program prints its words, one a line, and stands for its own output. */
async function wordsOf(guide: string): Promise<string[]> {
  const commands = guide.slice(guide.indexOf('# 1.'));
  const show = `show() { for word in "$@"; do printf '%s\\n' "$word"; done >&2; echo '"access_token":"o","token":"t"'; }`;
  const stubs = ['docker-registry', 'curl', 'skopeo'].map((name) => `alias ${name}='show ${name}'`);
  const script = `${show}\n${stubs.join('\n')}\n${commands}`;
  const { exitCode, stderr } = await run(['sh', '-c', `eval "$0"`, script]);
  expect(exitCode).toBe(0);
  return stderr.split('\n');
}

test.each(['plain', '/a/b-c_d.e:f', 'a b', "it's", '$HOME', '`x`', 'a"b', '', '*', '~', 'a\nb', 'ü'])(
  'a shell takes %j for one word',
  async (word) => {
    const { stdout } = await run(['sh', '-c', `printf '%s' ${shellWord(word)}`]);
    expect(stdout).toBe(word);
  },
);

test('a folder and a program with spaces and quotes in their paths reach the commands whole', async () => {
  const folder = "/tmp/it's a folder";
  const words = await wordsOf(renderGuide({ ...options, folder, self: ['echo', "/opt/it's here"] }));
  expect(words).toContain(`${folder}/config.yml`);
  expect(words).toContain(`client_secret@${folder}/client-secret.txt`);
  expect(words).toContain(`oci:${folder}/image:latest`);
  expect(words).toContain(`oci:${folder}/pulled:latest`);
  expect(words.filter((word) => word.includes("/opt/it's here dpop-proof"))).toHaveLength(2);
});

test('the token of either way is the one that skopeo gets, and the OpTok goes into the second proof', async () => {
  const words = await wordsOf(renderGuide({ ...options, self: ['echo'] }));
  expect(words.filter((word) => word === 't')).toHaveLength(2);
  expect(words).toContain('Authorization: DPoP o');
  const proof = words.find((word) => word.startsWith('DPoP: ') && word.includes('--access-token o'));
  expect(proof).toContain('--url http://127.0.0.1:8085/token');
});

test('each step is headed by its number', () => {
  const headings = renderGuide(options).match(/^# \d\..*$/gm) ?? [];
  expect(headings.map((line) => line.slice(0, 4))).toEqual(['# 1.', '# 2.', '# 3.', '# 4.']);
});

test('says that the Authority is for development only, and whether the files stay', () => {
  expect(renderGuide(options)).toMatch(/Authority +http:\/\/127\.0\.0\.1:8086 +for development only/);
  expect(renderGuide(options)).toMatch(/\/tmp\/dev +removed at the end/);
  expect(renderGuide({ ...options, kept: true })).toMatch(/\/tmp\/dev +kept\n/);
});

test('says what is missing: a registry program, or a free address for it', () => {
  expect(renderGuide({ ...options, registryProgram: null })).toContain('Debian has it as docker-registry');
  expect(renderGuide({ ...options, registryProgram: 'registry' })).toContain(
    '\nregistry serve /tmp/dev/config.yml',
  );
  expect(renderGuide({ ...options, registryTaken: true })).toContain('the address is in use');
});
