/** `logout`: revokes and removes what `login` keeps. */
import { ClientFault } from '../../client/client-fault.ts';
import { openParts } from '../../client/client-settings.ts';
import { logOut } from '../../client/login.ts';
import { forgetOpTokAsPassword, openOpTokCache } from '../../client/op-tok-as-password.ts';
import { escapeText } from '../../platform/escape.ts';
import { type Command, type CommandContext, CommandFailure, readOptions } from '../command.ts';
import {
  clientDependencies,
  failingByFaults,
  loginOptions,
  loginOptionsHelp,
  readLoginSettings,
} from './options.ts';

export const logout: Command = {
  name: 'logout',
  summary: 'revokes and removes the login of a person',
  help: `Usage: registry-token logout --profile NAME [options]
       registry-token logout --authority URL --client-id ID [options]

Revokes the refresh token of the login at the Authority (RFC 7009), if its metadata name a revocation endpoint, and removes it
from this machine; also the DPoP key, unless the profile or --dpop-key names it. If the Authority cannot be reached or refuses,
the files are removed anyway. A running agent keeps using its OpTok until that expires.

${loginOptionsHelp}
Exit codes: 0 logged out, 1 removed but not revoked, or not removed, 2 usage, 78 a profile has mistakes.

Example:
  registry-token logout --profile me
`,
  run: failingByFaults(run),
};

async function run({ args, env, tell, stopRequested }: CommandContext): Promise<number> {
  const { settings, source } = readLoginSettings(readOptions(args, loginOptions), env);
  const stop = new AbortController();
  void stopRequested.then(() => stop.abort());
  const dependencies = clientDependencies({ env, tell }, stop.signal);
  const revocation = await logOut(source, dependencies, () => {
    forgetOpTokAsPassword(settings, openOpTokCache(env.XDG_RUNTIME_DIR));
    return openParts(settings, dependencies);
  });
  const authority = escapeText(source.authority);
  if (revocation instanceof ClientFault)
    throw new CommandFailure(
      `the login is removed from this machine, but could not be revoked at ${authority}: ${revocation.message}`,
    );
  tell(
    {
      revoked: `Logged out: the login is revoked at ${authority} and removed from this machine.\n`,
      'not offered': `Logged out: the login is removed from this machine. ${authority} offers no revocation, so it stays valid there until it expires.\n`,
      nothing: 'Nobody was logged in.\n',
    }[revocation],
  );
  return 0;
}
