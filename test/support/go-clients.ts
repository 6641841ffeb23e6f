/** Clients that no Debian package has: crane and oras of the libraries that most tools are made with, and regctl. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { environmentOf, type ImageClient, imageId, type RegistryAccess } from './image-clients.ts';
import { type Finished, run, runOrFail, type TemporaryFolder } from './processes.ts';

export const goClientNames = ['crane', 'oras', 'regctl'] as const;
export type GoClientName = (typeof goClientNames)[number];

/** How a client's command line says what is to be copied. */
interface Dialect {
  readonly push: (folder: string, target: string, access: RegistryAccess) => readonly string[];
  readonly pull: (source: string, folder: string, access: RegistryAccess) => readonly string[];
  /** Done before either: what is no option of theirs. */
  readonly prepare?: (host: string, access: RegistryAccess) => Promise<readonly string[]>;
}

/** A client that keeps its files in `folder`. By `access` it is given the credentials of a helper alone. */
export function createGoClient(
  name: GoClientName,
  folder: TemporaryFolder,
  environment: Readonly<Record<string, string>> = {},
): ImageClient {
  const { push, pull, prepare } = dialects[name];
  let pulls = 0;
  const call = async (words: readonly string[], place: string, access: RegistryAccess): Promise<Finished> => {
    const env = { HOME: folder.path, ...environment, ...environmentOf(access) };
    const preparation = await prepare?.(place.split('/', 1).join(''), access);
    if (preparation !== undefined) await runOrFail([name, ...preparation], { env });
    return run([name, ...words], { env });
  };
  return {
    push: (source, target, access) => call(push(source, target, access), target, access),
    pull: async (source, access) => {
      pulls += 1;
      const target = folder.at(`${name}-${pulls}`);
      const finished = await call(pull(source, target, access), source, access);
      return { ...finished, id: finished.exitCode === 0 ? await imageId(target) : null };
    },
  };
}

const dialects: Readonly<Record<GoClientName, Dialect>> = {
  // It has no option for a client certificate, and takes loopback to speak http.
  crane: {
    push: (folder, target) => ['push', folder, target],
    pull: (source, folder) => ['pull', '--format=oci', source, folder],
  },
  oras: {
    push: (folder, target, access) => [
      ...['copy', '--from-oci-layout', `${folder}:latest`, ...orasOptions(access, 'to'), target],
    ],
    pull: (source, folder, access) => [
      ...['copy', ...orasOptions(access, 'from'), source, '--to-oci-layout', `${folder}:latest`],
    ],
  },
  regctl: {
    push: (folder, target) => ['image', 'copy', `ocidir://${folder}:latest`, target],
    pull: (source, folder) => ['image', 'copy', source, `ocidir://${folder}:latest`],
    prepare: async (host, access) => ['registry', 'set', ...(await regctlOptions(access)), host],
  },
};

function orasOptions(access: RegistryAccess, side: 'from' | 'to'): readonly string[] {
  const own = certificateOptions(access);
  // Said either way: it would speak http to localhost whatever certificates it is given.
  return [`--plain-http=${access === 'plain-http'}`, ...own].map((word) => word.replace(/^--/, `--${side}-`));
}

/** The options of oras and helm for a helper and a client certificate. */
export function certificateOptions(access: RegistryAccess): readonly string[] {
  if (access === 'plain-http') return [];
  const { authFile } = checkHelper(access);
  const [ca, certificate, key] = certificateFiles(access.certificateFolder);
  const files = ['--ca-file', ca, '--cert-file', certificate, '--key-file', key];
  return ['--registry-config', authFile, ...files];
}

/** In its configuration it has the texts of the files. */
async function regctlOptions(access: RegistryAccess): Promise<readonly string[]> {
  if (access === 'plain-http') return ['--tls', 'disabled'];
  checkHelper(access);
  const [ca, certificate, key] = certificateFiles(access.certificateFolder);
  const [caText, certificateText, keyText] = await Promise.all(
    [ca, certificate, key].map((path) => readFile(path, 'utf8')),
  );
  return [
    ...['--cred-helper', 'docker-credential-registry-token', '--cacert', caText ?? ''],
    ...['--client-cert', certificateText ?? '', '--client-key', keyText ?? ''],
  ];
}

function certificateFiles(folder: string): readonly [string, string, string] {
  return [join(folder, 'ca.crt'), join(folder, 'client.cert'), join(folder, 'client.key')];
}

function checkHelper(access: Exclude<RegistryAccess, 'plain-http'>) {
  if ('authFile' in access) return access;
  throw new Error('These clients are given the credentials of a helper alone.');
}
