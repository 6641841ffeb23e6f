/**
 * The other part of a limit: a `Bun.serve` that answers each request with the same bytes, and does nothing else. As a
 * program, `bun bare-server.ts BYTES`, it prints its port.
 */
import { withParent } from '../support/processes.ts';

export interface BareServer extends AsyncDisposable {
  readonly pid: number;
  readonly url: string;
}

/** Starts one whose answers have a body of `bytes` bytes. */
export async function startBareServer(bytes: number): Promise<BareServer> {
  const child = Bun.spawn([...withParent, process.execPath, import.meta.path, String(bytes)], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'inherit',
  });
  const { value } = await child.stdout.getReader().read();
  const port = Number(new TextDecoder().decode(value));
  return {
    pid: child.pid,
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await child.exited;
    },
  };
}

if (import.meta.main) {
  const body = 'x'.repeat(Number(process.argv[2]));
  const { port } = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    development: false,
    fetch: () =>
      new Response(body, { headers: { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' } }),
  });
  process.stdout.write(`${port}\n`);
}
