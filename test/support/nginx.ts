/** Debian's nginx with the sample configuration of etc/nginx. */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { type Child, createTemporaryFolder, start } from './processes.ts';
import { readSample, type SamplePlace } from './samples.ts';

export interface NginxOptions {
  readonly port: number;
  readonly registryPort: number;
  readonly servicePort: number;
  readonly certificatePath: string;
  readonly keyPath: string;
}

export interface Nginx extends AsyncDisposable {
  /** Both logs so far. */
  readonly output: () => string;
}

/** Starts it on loopback, and waits until it listens. */
export async function startNginx(options: NginxOptions): Promise<Nginx> {
  const folder = await createTemporaryFolder();
  await writeFile(
    folder.at('registry-token.conf'),
    await readSample('nginx/registry-token.conf', placesOf(options)),
  );
  await writeFile(folder.at('nginx.conf'), mainConfiguration(folder.path));
  const child: Child = start(['nginx', '-c', folder.at('nginx.conf'), '-e', 'stderr']);
  const dispose = async () => {
    await child.stop();
    await folder[Symbol.asyncDispose]();
  };
  try {
    // It answers so to plain http, which needs no certificate authority here.
    await child.waitForStatus(`http://127.0.0.1:${options.port}/`, 400);
  } catch (cause) {
    await dispose();
    throw cause;
  }
  return {
    output: () => `${child.stderr()}${readFileSync(folder.at('access.log'), 'utf8')}`,
    [Symbol.asyncDispose]: dispose,
  };
}

function placesOf(options: NginxOptions): SamplePlace[] {
  return [
    ['server 127.0.0.1:5000;', `server 127.0.0.1:${options.registryPort};`],
    ['server 127.0.0.1:8085;', `server 127.0.0.1:${options.servicePort};`],
    ['listen 443 ssl;', `listen 127.0.0.1:${options.port} ssl;`],
    ['server_name registry.example.com;', 'server_name localhost 127.0.0.1;'],
    ['/etc/nginx/tls/registry.example.com.crt', options.certificatePath],
    ['/etc/nginx/tls/registry.example.com.key', options.keyPath],
  ];
}

/** What Debian's nginx.conf has around a file of conf.d. */
function mainConfiguration(folder: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join('\n  ');
  return `user root;
daemon off;
worker_processes 1;
pid ${folder}/nginx.pid;
error_log stderr warn;
events { worker_connections 512; }
http {
  access_log ${folder}/access.log;
  ${temporary}
  include ${folder}/registry-token.conf;
}
`;
}
