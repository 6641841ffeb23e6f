/** Proxies of Debian, and Envoy: each with its sample of etc/ and nothing else that matters. */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { type Child, createTemporaryFolder, start, type TemporaryFolder } from './processes.ts';
import { readSample, type SamplePlace } from './samples.ts';

export interface ProxyOptions {
  /** The address of this machine that it listens on. */
  readonly host: string;
  readonly port: number;
  readonly registryPort: number;
  readonly servicePort: number;
  readonly server: { readonly certificatePath: string; readonly keyPath: string };
  readonly clientsCa: { readonly certificatePath: string };
}

export interface Proxy extends AsyncDisposable {
  /** Its logs so far. */
  readonly output: () => string;
}

export const proxyNames = ['nginx', 'haproxy', 'caddy', 'apache2', 'envoy'] as const;
export type ProxyName = (typeof proxyNames)[number];

/** The `server.clientCertificateHeader` that each sample names. */
export const certificateHeaders: Readonly<Record<ProxyName, string>> = {
  nginx: 'X-SSL-Client-Cert',
  haproxy: 'Client-Cert',
  caddy: 'Client-Cert',
  apache2: 'X-SSL-Client-Cert',
  envoy: 'X-Forwarded-Client-Cert',
};

/** The words that start it in the foreground, and the file of its log where it is not its output. */
interface Prepared {
  readonly command: readonly string[];
  readonly logPath?: string;
}

const preparations: Readonly<
  Record<ProxyName, (folder: TemporaryFolder, options: ProxyOptions) => Promise<Prepared>>
> = {
  nginx: prepareNginx,
  haproxy: prepareHaproxy,
  caddy: prepareCaddy,
  apache2: prepareApache,
  envoy: prepareEnvoy,
};

/** Starts it on loopback, and waits until it listens. */
export async function startProxy(name: ProxyName, options: ProxyOptions): Promise<Proxy> {
  const folder = await createTemporaryFolder();
  const { command, logPath } = await preparations[name](folder, options);
  const child: Child = start(command, { env: { HOME: folder.path } });
  const dispose = async () => {
    await child.stop();
    await folder[Symbol.asyncDispose]();
  };
  try {
    await untilListening(child, options);
  } catch (cause) {
    await dispose();
    throw cause;
  }
  const logFile = () => (logPath === undefined ? '' : readFileSync(logPath, 'utf8'));
  return {
    output: () => `${child.stdout()}${child.stderr()}${logFile()}`,
    [Symbol.asyncDispose]: dispose,
  };
}

async function untilListening(child: Child, { host, port }: ProxyOptions): Promise<void> {
  const deadline = performance.now() + 15_000;
  let isRunning = true;
  void child.exited.finally(() => {
    isRunning = false;
  });
  while (!(await accepts(host, port))) {
    if (!isRunning || performance.now() > deadline)
      throw new Error(`Nothing listens on ${port}: ${child.stdout()}${child.stderr()}`);
    await Bun.sleep(20);
  }
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host);
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}

async function prepareNginx(folder: TemporaryFolder, options: ProxyOptions): Promise<Prepared> {
  const sample = await readSample('nginx/registry-token.conf', [
    ['server 127.0.0.1:5000;', `server 127.0.0.1:${options.registryPort};`],
    ['server 127.0.0.1:8085;', `server 127.0.0.1:${options.servicePort};`],
    ['listen 443 ssl;', `listen ${options.host}:${options.port} ssl;`],
    ['server_name registry.example.com;', `server_name localhost ${options.host};`],
    ...serverFiles('/etc/nginx/tls', options),
  ]);
  await writeFile(folder.at('registry-token.conf'), sample);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${folder.at(name)};`)
    .join('\n  ');
  const logPath = folder.at('access.log');
  // What Debian's nginx.conf has around a file of conf.d.
  const main = `user root;
daemon off;
worker_processes 1;
pid ${folder.at('nginx.pid')};
error_log stderr warn;
events { worker_connections 512; }
http {
  access_log ${logPath};
  ${temporary}
  include ${folder.at('registry-token.conf')};
}
`;
  await writeFile(folder.at('nginx.conf'), main);
  return { command: ['nginx', '-c', folder.at('nginx.conf'), '-e', 'stderr'], logPath };
}

async function prepareHaproxy(folder: TemporaryFolder, options: ProxyOptions): Promise<Prepared> {
  const { certificatePath, keyPath } = options.server;
  await writeFile(folder.at('server.pem'), `${readFileSync(certificatePath)}${readFileSync(keyPath)}`);
  const sample = await readSample('haproxy/registry-token.cfg', [
    ['server registry 127.0.0.1:5000', `server registry 127.0.0.1:${options.registryPort}`],
    ['server registry_token 127.0.0.1:8085', `server registry_token 127.0.0.1:${options.servicePort}`],
    ['bind :443', `bind ${options.host}:${options.port}`],
    ['/etc/haproxy/tls/registry.example.com.pem', folder.at('server.pem')],
    ['/etc/haproxy/tls/clients-ca.crt', options.clientsCa.certificatePath],
  ]);
  await writeFile(folder.at('haproxy.cfg'), `global\n    log stdout format raw local0\n\n${sample}`);
  return { command: ['haproxy', '-db', '-f', folder.at('haproxy.cfg')] };
}

async function prepareCaddy(folder: TemporaryFolder, options: ProxyOptions): Promise<Prepared> {
  const { host, port } = options;
  const sample = await readSample('caddy/Caddyfile', [
    ['reverse_proxy 127.0.0.1:5000', `reverse_proxy 127.0.0.1:${options.registryPort}`],
    ['reverse_proxy 127.0.0.1:8085', `reverse_proxy 127.0.0.1:${options.servicePort}`],
    ['registry.example.com:443 {', `https://localhost:${port}, https://${host}:${port} {`],
    ...serverFiles('/etc/caddy/tls', options),
  ]);
  await writeFile(folder.at('Caddyfile'), `{\n\tadmin off\n\tauto_https off\n}\n${sample}`);
  return { command: ['caddy', 'run', '--config', folder.at('Caddyfile'), '--adapter', 'caddyfile'] };
}

async function prepareApache(folder: TemporaryFolder, options: ProxyOptions): Promise<Prepared> {
  const sample = await readSample('apache/registry-token.conf', [
    ['ProxyPass /token http://127.0.0.1:8085/', `ProxyPass /token http://127.0.0.1:${options.servicePort}/`],
    ['/auth/token http://127.0.0.1:8085/', `/auth/token http://127.0.0.1:${options.servicePort}/`],
    ['http://127.0.0.1:5000/', `http://127.0.0.1:${options.registryPort}/`],
    ['<VirtualHost *:443>', `<VirtualHost ${options.host}:${options.port}>`],
    ['ServerName registry.example.com', 'ServerName localhost'],
    ...serverFiles('/etc/apache2/tls', options),
  ]);
  await writeFile(folder.at('registry-token.conf'), sample);
  const modules = [
    'mpm_event',
    'authz_core',
    'alias',
    'ssl',
    'headers',
    'proxy',
    'proxy_http',
    'socache_shmcb',
  ];
  const logPath = folder.at('apache2.log');
  const main = `ServerRoot ${folder.path}
${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
Listen ${options.host}:${options.port}
PidFile ${folder.at('apache2.pid')}
DefaultRuntimeDir ${folder.path}
ErrorLog ${logPath}
ServerName localhost
CustomLog ${logPath} "%h %r %>s"
${process.getuid?.() === 0 ? 'User daemon\nGroup daemon' : ''}
Include ${folder.at('registry-token.conf')}
`;
  await writeFile(folder.at('apache2.conf'), main);
  return { command: ['apache2', '-f', folder.at('apache2.conf'), '-D', 'FOREGROUND'], logPath };
}

async function prepareEnvoy(folder: TemporaryFolder, options: ProxyOptions): Promise<Prepared> {
  const address = '{ address: 127.0.0.1, port_value:';
  const sample = await readSample('envoy/registry-token.yaml', [
    [`${address} 5000 }`, `${address} ${options.registryPort} }`],
    [`${address} 8085 }`, `${address} ${options.servicePort} }`],
    ['{ address: 0.0.0.0, port_value: 443 }', `{ address: ${options.host}, port_value: ${options.port} }`],
    ['domains: [registry.example.com]', `domains: [localhost, ${options.host}]`],
    ...serverFiles('/etc/envoy/tls', options),
  ]);
  await writeFile(folder.at('envoy.yaml'), sample);
  return { command: ['envoy', '--config-path', folder.at('envoy.yaml'), '--disable-hot-restart'] };
}

/** The certificate and the key of the sample, whose names are alike in all of them. */
function serverFiles(folder: string, { server }: ProxyOptions): SamplePlace[] {
  return [
    [`${folder}/registry.example.com.crt`, server.certificatePath],
    [`${folder}/registry.example.com.key`, server.keyPath],
  ];
}
