/** `login`: a person approves this client in a browser, and its commands get OpToks in their name. */
import { openParts } from '../../client/client-settings.ts';
import type { DeviceAuthorization } from '../../client/device-login.ts';
import { logIn } from '../../client/login.ts';
import { forgetOpTokAsPassword, openOpTokCache } from '../../client/op-tok-as-password.ts';
import { escapeText, excerpt } from '../../platform/escape.ts';
import { type Command, type CommandContext, readOptions } from '../command.ts';
import {
  clientDependencies,
  failingByFaults,
  loginOptions,
  loginOptionsHelp,
  readLoginSettings,
} from './options.ts';
import { encodeQrCode } from './qr-code.ts';

export const login: Command = {
  name: 'login',
  summary: 'logs a person in, for token, agent and the credential helper',
  help: `Usage: registry-token login --profile NAME [options]
       registry-token login --authority URL --client-id ID [options]

Logs a person in by the device authorization grant (RFC 8628): prints a page and a code, and waits until the person has
approved the request in a browser, on this machine or another. On a terminal it also shows a QR code and the time left.

It keeps a refresh token in a file (0600) beside the DPoP key that the Authority binds the token to. Without the key, a
copy is useless. With bind: certificate, the token is bound to the client certificate. If the profile has login: true, or
with --login, 'token' and 'agent' get their OpToks by it; so do 'docker-credential' and 'kubelet-credential-provider' if
it is bound to a certificate. Processes take turns, and a new refresh token is stored before its OpTok is used. 'logout'
revokes and removes it.

At the Authority, make the client a public one with the grants device_code and refresh_token. The scope offline_access is
added if the Authority's metadata list it.

${loginOptionsHelp}  --no-qr                    shows no QR code

Exit codes: 0 logged in, 1 denied, expired or not reachable, 2 usage, 78 a profile has mistakes.

Example, with login: true in the profile:
  registry-token login --profile me
  registry-token token --profile me --scope repository:team/app:pull
`,
  run: failingByFaults(run),
};

async function run(context: CommandContext): Promise<number> {
  const { args, env, tell, stopRequested } = context;
  const options = readOptions(args, { ...loginOptions, 'no-qr': { type: 'boolean', default: false } });
  const { settings, source, isInProfile } = readLoginSettings(options, env);
  const stop = new AbortController();
  void stopRequested.then(() => stop.abort());
  const dependencies = clientDependencies({ env, tell }, stop.signal);
  const parts = openParts(settings, dependencies);
  using screen = openScreen(context, options['no-qr'], parts.clock);
  const { onNewKey } = dependencies;
  const { show, warn } = screen;
  const subject = await logIn(source, { bind: settings.bind, onNewKey, warn }, parts, show);
  screen[Symbol.dispose]();
  forgetOpTokAsPassword(settings, openOpTokCache(env.XDG_RUNTIME_DIR));
  const who = subject === null ? '' : ` as ${excerpt(subject, 100)}`;
  tell(`Logged in at ${escapeText(source.authority)}${who}. The login is kept in ${source.loginPath}.\n`);
  if (!isInProfile)
    tell(
      `Warning: the profile ${escapeText(options.profile ?? '')} has no login: true, so its commands use this login only with --login.\n`,
    );
  return 0;
}

interface Screen extends Disposable {
  readonly show: (device: DeviceAuthorization) => void;
  readonly warn: (warning: string) => void;
}

const CLEAR_LINE = '\r\x1b[K';

/** Without a terminal one line is all there is. */
function openScreen(
  { tell, isTerminal, terminalColumns }: CommandContext,
  isWithoutQr: boolean,
  clock: () => number,
): Screen {
  let timer: ReturnType<typeof setInterval> | null = null;
  const show = ({ verificationUri, completeUri, userCode, expiresAt }: DeviceAuthorization) => {
    const page = escapeText(verificationUri);
    const code = escapeText(userCode);
    const timeLeft = () => formatDuration(Math.max(0, expiresAt - clock()));
    if (!isTerminal) return tell(`Open ${page} and enter the code ${code} within ${timeLeft()}.\n`);
    tell(`Open this page, and enter the code:\n\n  ${page}\n\n  ${code}\n\n`);
    const qr = isWithoutQr || terminalColumns === null ? null : encodeQrCode(completeUri ?? verificationUri);
    if (qr !== null && terminalColumns !== null && qr.columns <= terminalColumns)
      tell(`${qr.lines.join('\n')}\n\n`);
    const tick = () => tell(`${CLEAR_LINE}Waiting for the approval, ${timeLeft()} left`);
    tick();
    timer = setInterval(tick, 1000);
  };
  return {
    show,
    warn: (warning) => tell(`${timer === null ? '' : CLEAR_LINE}Warning: ${escapeText(warning)}\n`),
    [Symbol.dispose]: () => {
      if (timer === null) return;
      clearInterval(timer);
      timer = null;
      tell(CLEAR_LINE);
    },
  };
}

/** `14:05`. */
function formatDuration(seconds: number): string {
  const whole = Math.ceil(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}
