/** `serve`: runs the service until it is told to stop. */
import { assemble } from '../assemble/assemble.ts';
import { findConfigurationFile, loadConfiguration } from '../config/load.ts';
import { listen } from '../server/listen.ts';
import { buildInfo } from '../telemetry/build-info.ts';
import { createLog } from '../telemetry/log.ts';
import { type Command, CommandFailure, readOptions } from './command.ts';

export const serve: Command = {
  name: 'serve',
  summary: 'runs the service',
  help: `Usage: registry-token serve [--config FILE] [--listen HOST:PORT]

Runs the service in the foreground until SIGINT or SIGTERM; running requests are then answered first.
The configuration is FILE, else REGISTRY_TOKEN_CONFIG, else etc/registry-token.yaml, else
/etc/registry-token/registry-token.yaml. Each of its keys can be overridden by the environment:
REGISTRY_TOKEN_SIGNING__KEY_PATH=/run/keys/signing.pem. The log goes to standard error.

  --config FILE        the configuration
  --listen HOST:PORT   overrides server.listen

Exit codes: 0 stopped, 1 the address cannot be had, 2 usage, 78 the configuration has mistakes.

Example:
  registry-token serve --config /etc/registry-token/registry-token.yaml
`,
  run: async ({ args, env, tell, isTerminal, stopRequested, processUsage }) => {
    const options = readOptions(args, { config: { type: 'string' }, listen: { type: 'string' } });
    const overrides =
      options.listen === undefined ? env : { ...env, REGISTRY_TOKEN_SERVER__LISTEN: options.listen };
    const loaded = loadConfiguration(findConfigurationFile(options.config, env), overrides);
    const { server, logging } = loaded.configuration;
    const format = logging.format === 'auto' ? (isTerminal ? 'pretty' : 'json') : logging.format;
    const log = createLog(logging.level, format, tell);
    const service = await assemble(loaded, { clock: () => Date.now() / 1000, log, processUsage });

    const listener = startListening(server.listen, service.handle);
    void service.open();
    if (loaded.configuration.senderConstraint.accept.includes('none'))
      log.warn('bearer-only: OpToks without a sender constraint are accepted; whoever holds one can use it');
    const { version, commit } = buildInfo();
    log.info('ready', { url: listener.url, configuration: loaded.file, version, commit });
    await stopRequested;
    log.info('stopping', { graceSeconds: server.shutdownGrace });
    await listener.stop(server.shutdownGrace * 1000);
    service.close();
    log.info('stopped');
    return 0;
  },
};

function startListening(
  address: { host: string; port: number },
  handle: Parameters<typeof listen>[0]['handle'],
) {
  try {
    return listen({ ...address, handle });
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown fault';
    throw new CommandFailure(
      `cannot listen on ${address.host}:${address.port} (${code}); is something else there? --listen names another address`,
    );
  }
}
