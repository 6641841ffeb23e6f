/**
 * The kubelet as an image credential provider meets it: the types of k8s.io/kubelet write the request, and decode its
 * configuration and the response strictly.
 */
import { readFile } from 'node:fs/promises';
import { run, runOrFail } from './processes.ts';
import { BINARY } from './running-service.ts';

export interface PodRequest {
  readonly image: string;
  /** Of the pod's service account; none without `tokenAttributes`. */
  readonly token?: string;
  /** Of the service account: `NAME=VALUE`. */
  readonly annotations?: readonly string[];
}

/** What the kubelet has of a response. */
export interface ProviderResponse {
  readonly cacheKeyType: string;
  readonly cacheDuration: string;
  readonly auth: Readonly<Record<string, { readonly username: string; readonly password: string }>> | null;
}

/** The sample of its configuration; with `tokenAttributes` it sends the token of the pod's service account along. */
export async function readProviderConfiguration(tokens: 'with tokenAttributes' | 'without'): Promise<string> {
  const text = await readFile(
    new URL('../../etc/kubernetes/credential-provider.yaml', import.meta.url),
    'utf8',
  );
  if (tokens === 'without') return text;
  const [head = '', attributes = ''] = text.split(/(?=^ {4}# tokenAttributes:)/m);
  if (attributes === '') throw new Error('The sample has no tokenAttributes any more.');
  return head + attributes.replace(/^ {4}# /gm, '    ');
}

/** Asks the executable as a kubelet with this configuration does, but for the place of the profiles. */
export async function askProvider(
  configuration: string,
  profilesPath: string,
  { image, token, annotations = [] }: PodRequest,
): Promise<ProviderResponse> {
  const [provider] = JSON.parse(await decodeStrictly('config', configuration));
  const words = provider.args.map((word: string) => (word.endsWith('.yaml') ? profilesPath : word));
  const pod = token === undefined ? [] : [token, ...annotations];
  const input = await runOrFail(['kubelet-types', 'request', image, ...pod]);
  // The kubelet passes its provider no more of its environment than this.
  const { exitCode, stdout, stderr } = await run([BINARY, ...words], { input });
  if (exitCode !== 0 || stderr !== '') throw new Error(`The provider ended with ${exitCode}: ${stderr}`);
  return JSON.parse(await decodeStrictly('response', stdout));
}

/** Throws where the kubelet could not read it. Returns JSON. */
export function decodeStrictly(what: 'config' | 'response', input: string): Promise<string> {
  return runOrFail(['kubelet-types', what], { input });
}
