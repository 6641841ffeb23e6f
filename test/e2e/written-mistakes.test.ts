/** What the executable says of files and variables as people really write them: each file made by the program that makes it. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { readFile, writeFile } from 'node:fs/promises';
import { describeWith } from '../support/debian-parts.ts';
import { createTemporaryFolder, runOrFail, type TemporaryFolder } from '../support/processes.ts';
import { BINARY, runBinary } from '../support/running-service.ts';

setDefaultTimeout(60_000);

const minimal = new URL('../../etc/registry-token.minimal.yaml', import.meta.url);

describeWith(['openssl'], 'a mistake', () => {
  let folder: TemporaryFolder;
  let configuration: string;

  beforeAll(async () => {
    folder = await createTemporaryFolder();
    configuration = await readFile(minimal, 'utf8');
    await runOrFail([BINARY, 'keygen', '--out', folder.path]);
    await writeFile(folder.at('registry-token.yaml'), configuration);
  });

  afterAll(() => folder?.[Symbol.asyncDispose]());

  const shell = (script: string) => runOrFail(['sh', '-ec', script], { cwd: folder.path });

  const mistakesOf = async (file: string, env: Readonly<Record<string, string>> = {}) => {
    const { exitCode, stderr } = await runBinary(['check', '--mistakes', '--config', folder.at(file)], {
      env,
    });
    expect(exitCode).toBe(78);
    return stderr.replaceAll(`${folder.path}/`, '');
  };

  test.each([
    ['UTF-16', 'UTF-16LE'],
    ['UTF-16LE', 'UTF-16LE'],
    ['UTF-16BE', 'UTF-16BE'],
    ['UTF-32', 'UTF-32LE'],
    ['UTF-32BE', 'UTF-32BE'],
  ])('of a file in %s is its encoding, and the command that it names mends it', async (encoding, named) => {
    await shell(`iconv -f UTF-8 -t ${encoding} registry-token.yaml > wide.yaml`);
    const command = `iconv -f ${named} -t UTF-8`;
    expect(await mistakesOf('wide.yaml')).toBe(
      `wide.yaml:1:1: is ${named.slice(0, 6)}; save it as UTF-8 (${command})\n`,
    );
    await shell(`${command} wide.yaml > mended.yaml`);
    const { exitCode } = await runBinary(['check', '--mistakes', '--config', folder.at('mended.yaml')]);
    expect(exitCode).toBe(0);
  });

  test('of a file in Latin-1 is at its first letter outside ASCII', async () => {
    await shell(`{ cat registry-token.yaml; echo '# für'; } | iconv -f UTF-8 -t LATIN1 > latin.yaml`);
    const line = configuration.split('\n').length;
    expect(await mistakesOf('latin.yaml')).toBe(
      `latin.yaml:${line}:4: is not UTF-8; save it as UTF-8 (from Latin-1: iconv -f LATIN1 -t UTF-8)\n`,
    );
  });

  test('is not a byte order mark, nor the line ends of Windows', async () => {
    await writeFile(folder.at('bom.yaml'), `\ufeff${configuration.replaceAll('\n', '\r\n')}`);
    const { exitCode } = await runBinary(['check', '--mistakes', '--config', folder.at('bom.yaml')]);
    expect(exitCode).toBe(0);
  });

  test.each([
    ['pattern: *', 'a value that begins with * must be quoted: "*"'],
    ['pattern: team/*, actions: *', 'a value that begins with * must be quoted: "*"'],
    ['pattern: */app', 'alias without an anchor; a value that begins with * must be quoted: "*"'],
    ['pattern: {claim:tid}/*', 'a value that begins with { must be quoted'],
  ])('of the rule { %s } says what to quote', async (rule, message) => {
    await writeFile(folder.at('rule.yaml'), configuration.replace(/\{ pattern: .*? \}/, `{ ${rule} }`));
    expect(await mistakesOf('rule.yaml')).toMatch(
      new RegExp(`^rule\\.yaml:13:\\d+: is not valid YAML: ${RegExp.escape(message)}\n$`),
    );
  });

  test('of a rule that is a claim alone says what to quote', async () => {
    await writeFile(
      folder.at('rule.yaml'),
      configuration.replace(/\{ pattern: .*? \}/, '{ pattern: {claim:tid} }'),
    );
    expect(await mistakesOf('rule.yaml')).toContain(
      'plans.team.repositories[0].pattern: must be text, not a mapping; a value that begins with { must be quoted\n',
    );
  });

  test('of a variable whose levels are not separated names the right one', async () => {
    const env = { REGISTRY_TOKEN_SIGNING_KEY_PATH: 'x' };
    expect(await mistakesOf('registry-token.yaml', env)).toBe(
      'environment: REGISTRY_TOKEN_SIGNING_KEY_PATH: is not a key of the configuration; did you mean REGISTRY_TOKEN_SIGNING__KEY_PATH? Two underscores separate levels\n',
    );
  });

  test('of a plan that does not exist lists those that do', async () => {
    const config = ['--config', folder.at('registry-token.yaml')];
    const { exitCode, stdout } = await runBinary([
      'explain',
      ...config,
      ...['--plan', 'nope', 'repository:team/app:pull'],
    ]);
    expect(exitCode).toBe(1);
    expect(stdout).toBe(
      'Refused, 403 plan-unknown: There is no plan "nope". The plans are team. Add the plan, or correct the claim or the rule that names it.\n',
    );
  });

  const EC = 'openssl genpkey -algorithm EC -pkeyopt';
  const SUPPORTED = 'supported are P-256, P-384, Ed25519 and RSA';
  test.each([
    [
      'of the curve secp256k1',
      `${EC} ec_paramgen_curve:secp256k1`,
      `holds a key of the kind secp256k1; ${SUPPORTED}`,
    ],
    [
      'of the curve brainpoolP256r1, as SEC1',
      `${EC} ec_paramgen_curve:brainpoolP256r1 | openssl ec`,
      `holds a key of the kind brainpoolP256r1; ${SUPPORTED}`,
    ],
    ['of Ed448', 'openssl genpkey -algorithm ed448', `holds a key of the kind Ed448; ${SUPPORTED}`],
    [
      'with its curve written out',
      'openssl ecparam -name secp256k1 -genkey -noout -param_enc explicit | openssl pkcs8 -topk8 -nocrypt',
      `holds a key of the kind EC with a curve of its own; ${SUPPORTED}`,
    ],
    [
      'of SEC1 with the label of PKCS#8',
      'openssl ecparam -name prime256v1 -genkey -noout | sed s/EC.PRIVATE/PRIVATE/',
      'has the label PRIVATE KEY but the content of EC PRIVATE KEY; correct the label',
    ],
    [
      'of RSA with the label of an EC key',
      'openssl genrsa -traditional | sed s/RSA/EC/',
      'has the label EC PRIVATE KEY but the content of RSA PRIVATE KEY; correct the label',
    ],
    [
      'that is a public one with another label',
      `${EC} ec_paramgen_curve:P-256 | openssl pkey -pubout | sed s/PUBLIC/PRIVATE/`,
      'has the label PRIVATE KEY but the content of PUBLIC KEY, which is not a private key',
    ],
    ['that is a certificate', 'cat registry-signing.crt', 'holds no PEM private key, but a CERTIFICATE'],
    [
      'of OpenSSH',
      "ssh-keygen -q -t ecdsa -N '' -f ssh && cat ssh",
      "holds a key in OpenSSH's own format; ssh-keygen -p -m PKCS8 -f FILE converts it, except for Ed25519",
    ],
    [
      'in UTF-16',
      'iconv -t UTF-16 registry-signing.pem',
      'is not a PEM file: it is UTF-16; save it as UTF-8',
    ],
    [
      'in DER',
      'openssl ec -in registry-signing.pem -outform DER',
      'is not a PEM file: it is binary; if it is DER, openssl pkey -inform DER converts it',
    ],
    [
      'without its line breaks',
      "tr -d '\\n' < registry-signing.pem",
      'has lost its line breaks; the BEGIN and END lines stand by themselves',
    ],
    [
      'that is indented',
      "sed 's/^/  /' registry-signing.pem",
      'is indented; PEM lines begin at the first column',
    ],
    ['that is cut off', 'head -2 registry-signing.pem', 'is cut off: there is no END PRIVATE KEY line'],
    [
      'that is damaged',
      "sed '2s/^..../AAAA/' registry-signing.pem",
      'holds a private key that is damaged or cut off',
    ],
  ])('of a key %s says what the file has', async (_, command, message) => {
    await shell(`{ ${command}; } > key.pem 2>/dev/null`);
    await writeFile(folder.at('key.yaml'), configuration.replace('registry-signing.pem', 'key.pem'));
    const mistakes = await mistakesOf('key.yaml');
    expect(mistakes).toContain(`signing.keyPath: The file ${message}.\n`);
  });

  test('of an OpenSSH key is mended by the command that it names', async () => {
    await shell(
      "ssh-keygen -q -t ecdsa -N '' -f converted && ssh-keygen -q -p -m PKCS8 -N '' -f converted && mv converted key.pem",
    );
    await writeFile(
      folder.at('key.yaml'),
      configuration.replace('registry-signing.pem', 'key.pem').replace(/^ +certificatePath.*\n/m, ''),
    );
    const { exitCode } = await runBinary(['check', '--mistakes', '--config', folder.at('key.yaml')]);
    expect(exitCode).toBe(0);
  });
});
