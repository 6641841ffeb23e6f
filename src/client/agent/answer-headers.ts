/** The fields of the registry's answer as the client gets them: what leads to the registry leads to the agent. */
import { isRegistryPath } from './check-request.ts';

/**
 * RFC 9110 §7.6.1, what is between the registry and whom it knows, and what is about the registry's own origin. The
 * challenge is answered here; a client that saw it would look for credentials it does not have.
 */
const ownFields = [
  'alt-svc',
  'authentication-info',
  'connection',
  'dpop-nonce',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-connection',
  'set-cookie',
  'strict-transport-security',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'www-authenticate',
];

/** `target` is what the registry was asked for, `agentOrigin` what the client asked. */
export function answerHeaders(received: Headers, target: URL, agentOrigin: string): Headers {
  const headers = new Headers(received);
  for (const name of (received.get('connection') ?? '').split(','))
    if (/^[\w-]+$/.test(name.trim())) headers.delete(name.trim());
  for (const name of ownFields) headers.delete(name);
  const location = headers.get('location');
  if (location !== null) headers.set('Location', rewriteReference(location, target, agentOrigin));
  const link = headers.get('link');
  if (link !== null) headers.set('Link', rewriteLinks(link, target, agentOrigin));
  return headers;
}

/**
 * A reference to /v2/ of the registry is made one to the agent. Any other is left to the client, which goes there
 * itself and without a token: a storage that a redirect names has its own signature in the URL, and the agent speaks
 * to nobody but the registry and the token services.
 */
export function rewriteReference(reference: string, target: URL, agentOrigin: string): string {
  const url = URL.parse(reference, target.href);
  if (url === null) return reference;
  // By host, not by origin: a registry behind a proxy often does not know that its clients come by https.
  const isRegistry = url.host === target.host && (url.protocol === 'https:' || url.protocol === 'http:');
  if (!isRegistry || !isRegistryPath(url.pathname)) return url.href;
  return `${agentOrigin}${url.pathname}${url.search}`;
}

/** RFC 8288 §3: the references are in angle brackets; parameters stay as they are. */
function rewriteLinks(field: string, target: URL, agentOrigin: string): string {
  return field.replace(
    /<([^<>]*)>/g,
    (_, reference: string) => `<${rewriteReference(reference, target, agentOrigin)}>`,
  );
}
