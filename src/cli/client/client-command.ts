/** What the commands of a client have in common: their faults, the time, and where options and profile say the registry is. */
import { ClientFault } from '../../client/client-fault.ts';
import type { ClientSettings, ClientSurroundings } from '../../client/client-settings.ts';
import { type Command, type CommandContext, CommandFailure } from '../command.ts';
import { type ClientOptionValues, readProfile, toClientSettings } from './client-options.ts';

/** Beside `clientOptions`. */
export const registryOptions = {
  registry: { type: 'string' },
  realm: { type: 'string' },
  service: { type: 'string' },
} as const;

/** As given, else as the profile has it. */
export type RegistryPlace = { readonly [Name in keyof typeof registryOptions]: string | undefined };

/** Throws UsageError and ConfigurationFault. */
export function readClient(
  options: ClientOptionValues & Partial<RegistryPlace>,
  env: CommandContext['env'],
): { readonly settings: ClientSettings; readonly place: RegistryPlace } {
  const profile = readProfile(options, env);
  return {
    settings: toClientSettings(options, profile),
    place: {
      registry: options.registry ?? profile.registry,
      realm: options.realm ?? profile.realm,
      service: options.service ?? profile.service,
    },
  };
}

/** The time and the pauses of this machine, which end when `stop` is aborted; of keys that are made nobody is told. */
export function wallClockSurroundings(stop?: AbortSignal): ClientSurroundings {
  return {
    clock: () => Date.now() / 1000,
    pause: async (milliseconds) => {
      await Bun.sleep(milliseconds);
      if (stop?.aborted === true) throw new ClientFault('interrupted; nothing was written');
    },
    ...(stop === undefined ? {} : { stop }),
    onNewKey: () => {},
  };
}

/** A command whose ClientFaults are failures, in their own words. */
export function failingByFaults(run: Command['run']): Command['run'] {
  return async (context) => {
    try {
      return await run(context);
    } catch (cause) {
      throw cause instanceof ClientFault ? new CommandFailure(cause.message) : cause;
    }
  };
}
