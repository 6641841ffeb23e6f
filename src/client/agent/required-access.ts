/** What a request at a registry needs: by which requests share a token, and what to ask for before the registry says. */

export interface RequiredAccess {
  /** Equal for requests that a registry wants the same scopes for. */
  readonly key: string;
  /** What distribution asks for. Only where the registry cannot be asked first: its own challenge counts. */
  readonly usualScopes: readonly string[];
}

const REPOSITORY =
  /^\/v2\/(.+)\/(?:manifests\/[^/]+|blobs\/(?:uploads(?:\/.*)?|[^/]+)|tags\/list|referrers\/[^/]+)$/;

/** Of distribution: GET and HEAD pull, POST, PUT and PATCH pull and push, DELETE delete; a mount pulls its source. */
export function requiredAccess(method: string, { pathname, searchParams }: URL): RequiredAccess {
  const action = actionsOf(method);
  if (pathname === '/v2/') return { key: '', usualScopes: [] };
  if (pathname === '/v2/_catalog') return { key: `catalog ${action}`, usualScopes: ['registry:catalog:*'] };
  const repository = REPOSITORY.exec(pathname)?.[1];
  if (repository === undefined) return { key: `${pathname} ${action}`, usualScopes: [] };
  const source = mountSource(method, searchParams);
  return {
    key: `repository ${repository} ${action} ${source ?? ''}`,
    usualScopes: [
      `repository:${repository}:${action}`,
      ...(source === null ? [] : [`repository:${source}:pull`]),
    ],
  };
}

/** The repository that a request, which starts an upload, would have the blob of; null where it names none. */
export function mountSource(method: string, query: URLSearchParams): string | null {
  const { mount, from: source } = Object.fromEntries(query);
  return method === 'POST' && mount !== undefined ? (source ?? null) : null;
}

/** The same upload without the source; a registry that cannot mount starts it like that too. */
export function withoutMount(target: URL): URL {
  const plain = new URL(target);
  const others = [...plain.searchParams].filter(([name]) => !/^(?:mount|from)$/.test(name));
  plain.search = new URLSearchParams(others).toString();
  return plain;
}

function actionsOf(method: string): string {
  switch (method) {
    case 'GET':
    case 'HEAD':
      return 'pull';
    case 'DELETE':
      return 'delete';
    default:
      return 'pull,push';
  }
}
