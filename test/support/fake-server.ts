/** A server on loopback that says what a test wants it to: for the answers that no real part gives on demand. */

export interface Heard {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  readonly form: URLSearchParams;
}

export interface FakeServer extends AsyncDisposable {
  readonly url: string;
  /** Every request so far. */
  readonly heard: readonly Heard[];
  /** The requests to a path. */
  readonly heardAt: (path: string) => readonly Heard[];
}

/** Starts it on a free port; `answer` is given each request and how many came to its path before. */
export function startFakeServer(
  answer: (heard: Heard, before: number) => Response | Promise<Response>,
  tls: { readonly cert: string; readonly key: string; readonly ca?: string } | null = null,
): FakeServer {
  const heard: Heard[] = [];
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    ...(tls === null
      ? {}
      : { tls: { ...tls, requestCert: tls.ca !== undefined, rejectUnauthorized: tls.ca !== undefined } }),
    fetch: async (request) => {
      const url = new URL(request.url);
      const { method, headers } = request;
      const form = new URLSearchParams(await request.text());
      const one: Heard = { method, path: url.pathname, query: url.searchParams, headers, form };
      const before = heard.filter(({ path }) => path === one.path).length;
      heard.push(one);
      return answer(one, before);
    },
  });
  return {
    url: `${tls === null ? 'http' : 'https'}://127.0.0.1:${server.port}`,
    heard,
    heardAt: (path) => heard.filter((one) => one.path === path),
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}
