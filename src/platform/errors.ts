/** What a caught error is called in a message: in words, with the system's code. */
import { userInfo } from 'node:os';
import { excerpt } from './escape.ts';

/**
 * The system's short name for what went wrong (`ENOENT`, `ECONNREFUSED`); `otherwise` where the cause has none. A code
 * quotes nothing, so it may be shown and logged.
 */
export function errorCode(cause: unknown, otherwise = 'unknown fault'): string {
  return cause instanceof Error && 'code' in cause && cause.code !== undefined
    ? String(cause.code)
    : otherwise;
}

/** The system's code, or the message of an error of ours. Not for errors whose text may quote a secret. */
export function errorCodeOrMessage(cause: unknown): string {
  return errorCode(cause, cause instanceof Error ? cause.message : undefined);
}

/** What failed: some codes mean something else for each of them. */
export type Operation = 'read' | 'write' | 'connect' | 'listen';

/**
 * What the system says went wrong and what to do about it, as the end of a sentence:
 * `the disk is full (ENOSPC); free space there (df shows how much is left)`. An unknown code stands for itself. The text of a
 * failed connection without a code is shown; that of a file's error never is, it may quote a secret.
 */
export function explainError(cause: unknown, operation: Operation): string {
  const code = errorCode(cause, '');
  if (code === '') {
    const isShown = (operation === 'connect' || operation === 'listen') && cause instanceof Error;
    return isShown ? excerpt(cause.message.split('\n', 1).join('')) : 'unknown fault';
  }
  const text = texts[operation][code] ?? common[code];
  if (text === undefined) return excerpt(code);
  const [fault, mend] = typeof text === 'function' ? text() : text;
  return mend === undefined ? `${fault} (${code})` : `${fault} (${code}); ${mend}`;
}

type Text = readonly [fault: string, mend?: string];
type Texts = Readonly<Record<string, Text | (() => Text)>>;

const UNTRUSTED: Text = [
  'its certificate authority is not trusted',
  'name a file with that authority (caPath, --ca)',
];
const FULL = 'free space there (df shows how much is left)';

const common: Texts = {
  EISDIR: ['it is a directory'],
  ENOTDIR: ['a part of the path is a file, not a directory'],
  ELOOP: ['its symbolic links form a loop'],
  ENAMETOOLONG: ['the path is too long'],
  ENOSPC: ['the disk is full', FULL],
  EDQUOT: ['the disk quota is used up', FULL],
  EFBIG: ['the file would be larger than the limit (ulimit -f, LimitFSIZE=)'],
  EIO: ['the disk reports an error', 'the kernel log (dmesg) says more'],
  EPERM: ['the system does not allow it'],
  EROFS: [
    'the file system is read-only',
    'under systemd only /var/log/registry-token and /var/lib/registry-token are writable (ReadWritePaths= adds more)',
  ],
  EMFILE: ['too many files and connections are open', 'raise the limit (LimitNOFILE=, ulimit -n)'],
  ENFILE: ['the whole machine has too many open files', 'raise fs.file-max'],
  EADDRINUSE: ['another process uses that address'],
};

const texts: Readonly<Record<Operation, Texts>> = {
  read: {
    ENOENT: ['no such file'],
    EACCES: () => [`${self()} may not read it`, 'check the owner and mode of the file and of its folders'],
  },
  write: {
    ENOENT: ['no such file or folder'],
    EEXIST: ['there is a file of that name'],
    EACCES: () => [
      `${self()} may not write there`,
      'check the owner and mode of the file and of its folders',
    ],
  },
  connect: {
    ENOENT: ['there is no such socket'],
    EACCES: () => [`${self()} may not use that socket`],
    ECONNREFUSED: ['connection refused: nothing listens there'],
    ECONNRESET: ['it closed the connection', 'it may expect TLS (https) on this port'],
    EPIPE: ['it closed the connection'],
    ENOTFOUND: ['its host name has no address', 'check the name, DNS and /etc/hosts'],
    EAI_AGAIN: ['DNS does not answer', 'check /etc/resolv.conf'],
    ETIMEDOUT: ['no answer in time', 'check the route and the firewalls in between'],
    EHOSTUNREACH: ['there is no route to it', 'check the address and the network'],
    ENETUNREACH: ['there is no route to it', 'check the address and the network'],
    EPROTO: ['the TLS handshake failed', 'it may not speak TLS on this port, or want a client certificate'],
    DEPTH_ZERO_SELF_SIGNED_CERT: UNTRUSTED,
    SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
    UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
    UNABLE_TO_GET_ISSUER_CERT: UNTRUSTED,
    UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
    ERR_TLS_CERT_ALTNAME_INVALID: [
      'its certificate is for another name',
      'use a name that is in the certificate, or renew it with this name',
    ],
    CERT_HAS_EXPIRED: ['its certificate has expired', 'renew it there; if it is current, set this clock'],
    CERT_NOT_YET_VALID: ['its certificate is not valid yet', 'set the clocks of both machines (NTP)'],
  },
  listen: {
    ENOENT: ['its folder does not exist'],
    EADDRNOTAVAIL: ['this machine does not have that address'],
    EACCES: ['ports below 1024 need CAP_NET_BIND_SERVICE: see etc/systemd/low-port.conf'],
    ENOTFOUND: ['the host name has no address: check the name, DNS and /etc/hosts'],
    EAI_AGAIN: ['the host name cannot be resolved: DNS does not answer'],
    ENAMETOOLONG: ['the path of a socket has at most 107 bytes'],
  },
};

/** Whom the system denied something. Not by name: Bun takes that from the variable USER (1.4.5). */
function self(): string {
  return `this process (uid ${userInfo().uid})`;
}
