/** One function a part: a snapshot to what a person needs to know of it. */
import { shellWord } from '../platform/quoting.ts';
import { formatTime } from '../platform/time.ts';
import { describeEnd, groupByFile } from './certificates.ts';
import { type Facts, type PartState, type StatusPart, type StatusReport, worstOf } from './report.ts';
import type {
  AuditFileState,
  AuthorityState,
  CertificateUse,
  ClockState,
  Snapshot,
  WorkerState,
} from './snapshot.ts';

export function describeStatus(snapshot: Snapshot): StatusReport {
  const { configuration, version, startedAt, now } = snapshot;
  const { file, generation, loadedAt, overrides, lastReload } = configuration;
  const parts = [
    configurationPart(snapshot),
    signingKeyPart(snapshot),
    ...certificateParts(snapshot),
    ...snapshot.authorities.map((authority) => authorityPart(authority, snapshot)),
    replayStorePart(snapshot),
    revocationsPart(snapshot),
    ...entitlementsPart(snapshot),
    ...workersPart(snapshot),
    ...auditFilePart(snapshot.auditFile),
    descriptorsPart(snapshot),
    clockPart(snapshot),
    listenersPart(snapshot),
  ];
  return {
    state: worstOf(parts),
    version,
    at: formatTime(now),
    startedAt: formatTime(startedAt),
    generation,
    configuration: {
      path: file,
      loadedAt: formatTime(loadedAt),
      overrides,
      lastReload:
        lastReload === null
          ? null
          : {
              at: formatTime(lastReload.at),
              mistakes: [
                ...lastReload.mistakes.map(({ text }) => text),
                ...(lastReload.fault === null ? [] : [lastReload.fault]),
              ],
            },
    },
    parts,
  };
}

function part(
  name: string,
  state: PartState,
  sentence: string,
  { command = null, facts = {} }: { readonly command?: string | null; readonly facts?: Facts } = {},
): StatusPart {
  return { name, state, sentence, command, facts };
}

function configurationPart({ configuration, unit }: Snapshot): StatusPart {
  const { file, generation, loadedAt, overrides, changedFiles, lastReload } = configuration;
  const runs = `generation ${generation} of ${formatTime(loadedAt)}`;
  const facts = {
    file,
    generation,
    loadedAt: formatTime(loadedAt),
    overrides: overrides.map(({ key, variable }) => ({ key, variable })),
    changedFiles,
    lastReloadAt: lastReload === null ? null : formatTime(lastReload.at),
    mistakes: lastReload?.mistakes.map(({ text }) => text) ?? [],
  };
  const [mistake] = lastReload?.mistakes ?? [];
  if (lastReload !== null && mistake !== undefined) {
    const others = lastReload.count - 1;
    const more = others === 0 ? '' : ` (and ${counted(others, 'more mistake')})`;
    return part(
      'configuration',
      'error',
      `It still runs ${runs}, because the reload of ${formatTime(lastReload.at)} failed: ${mistake.text}${more}.`,
      { command: `registry-token check --mistakes --config ${shellWord(file)}`, facts },
    );
  }
  if (lastReload !== null && lastReload.fault !== null)
    return part(
      'configuration',
      'error',
      `It runs ${runs}; the last reload is incomplete: ${lastReload.fault}.`,
      {
        command: restartOf(unit),
        facts,
      },
    );
  const [changed, ...more] = changedFiles;
  if (changed !== undefined) {
    const rest = more.length === 0 ? '' : ` and ${counted(more.length, 'other file')}`;
    return part('configuration', 'warning', `It runs ${runs}; ${changed}${rest} changed since: reload.`, {
      command: reloadOf(unit),
      facts,
    });
  }
  const set = overrides.map(({ key, variable }) => `${key} (${variable})`);
  const environment = set.length === 0 ? '' : `; the environment sets ${set.join(', ')}`;
  return part('configuration', 'ok', `It runs ${runs}, ${file}${environment}.`, { facts });
}

const DAY = 86_400;
/** How long a rotation may take: registries are given both keys, and tokens of the old key expire. */
const ROTATION = 7 * DAY;

function signingKeyPart({ signingKey, configuration, unit, now }: Snapshot): StatusPart {
  const { algorithm, keyId, thumbprint, file, onDisk, rotation } = signingKey;
  const facts = {
    algorithm,
    keyId,
    thumbprint,
    file,
    onDisk: onDisk.map(({ file, thumbprint, fault }) => ({ file, thumbprint, fault })),
    rotation: rotation === null ? null : { next: rotation.next, since: formatTime(rotation.since) },
  };
  const inUse = `${algorithm} ${short(thumbprint)}`;
  const other = onDisk.find((key) => key.thumbprint !== null && key.thumbprint !== thumbprint);
  const { changedFiles, lastReload } = configuration;
  const isTried = lastReload !== null && lastReload.mistakes.length > 0;
  if (other !== undefined && changedFiles.includes(other.file) && !isTried)
    return part(
      'signing-key',
      'warning',
      `It signs with ${inUse}, and ${other.file} now holds ${short(other.thumbprint ?? '')}: the next reload takes it.`,
      { command: reloadOf(unit), facts },
    );
  if (other !== undefined)
    return part(
      'signing-key',
      'error',
      `It signs with ${inUse}, but ${other.file} now holds ${short(other.thumbprint ?? '')}: the service must take the new key before registries forget the old one.`,
      { command: restartOf(unit), facts },
    );
  const unreadable = onDisk.find(({ fault }) => fault !== null);
  if (unreadable !== undefined)
    return part(
      'signing-key',
      'warning',
      `It signs with ${inUse}, but ${unreadable.file} ${unreadable.fault}: the service could not start again.`,
      { command: `ls -l ${shellWord(unreadable.file)}`, facts },
    );
  if (rotation !== null && now - rotation.since > ROTATION)
    return part(
      'signing-key',
      'warning',
      `It signs with ${inUse}. A rotation that was begun on ${formatTime(rotation.since)} is not finished.`,
      {
        command: `registry-token keygen --out ${shellWord(rotation.folder)} --${rotation.next}`,
        facts,
      },
    );
  return part('signing-key', 'ok', `It signs with ${inUse} of ${file}.`, { facts });
}

/** Enough to tell two keys apart. */
function short(thumbprint: string): string {
  return thumbprint.slice(0, 12);
}

/** A part for each file of certificates: what matters is the first that ends. */
function certificateParts({ certificates, now, unit }: Snapshot): StatusPart[] {
  return groupByFile(certificates, now).map((group) => {
    const { name, use, key, file, state, first, days } = group;
    const facts = {
      key,
      file,
      certificates: group.certificates
        .slice(0, MOST_LISTED)
        .map(({ subject, endsAt }) => ({ subject, endsAt: formatTime(endsAt) })),
    };
    if (state === 'ok') {
      const sentence = `Valid until ${formatTime(first.endsAt)} (${counted(days, 'day')}), ${file}.`;
      return part(name, state, sentence, { facts });
    }
    return part(name, state, describeEnd(group), { command: successorOf(use, file, unit), facts });
  });
}

/** Of the certificates of a file, in the facts. */
const MOST_LISTED = 20;

function successorOf(use: CertificateUse, file: string, unit: string | null): string | null {
  if (use === 'signing' || use === 'additional-key') {
    const folder = file.slice(0, file.lastIndexOf('/')) || '/';
    return `registry-token keygen --out ${shellWord(folder)} --rotate`;
  }
  const reload = reloadOf(unit);
  return reload === null ? null : `replace ${shellWord(file)}, then: ${reload}`;
}

function authorityPart(authority: AuthorityState, { now }: Snapshot): StatusPart {
  const { name, key, issuer, source, caFile, fetchedAt, lastFetch, keysMaxAge, failing } = authority;
  const facts = {
    name,
    issuer,
    source: 'file' in source ? source.file : source.url,
    fetchedAt: fetchedAt === null ? null : formatTime(fetchedAt),
    lastFetchAt: lastFetch === null ? null : formatTime(lastFetch.at),
    fault: lastFetch?.fault ?? null,
    keysMaxAgeSeconds: keysMaxAge,
    clockAheadSeconds: authority.clockAhead,
  };
  if ('file' in source) return part(key, 'ok', `Its keys come from ${source.file}.`, { facts });
  const fault = lastFetch?.fault ?? null;
  const command = fault === null ? null : fetchCommand(source.url, fault);
  if (fetchedAt === null)
    return part(
      key,
      lastFetch === null ? 'warning' : 'error',
      fault === null
        ? `Its keys are being fetched from ${source.url} for the first time.`
        : `No keys: ${fault} Until they can be fetched, all of its tokens are answered 503.${trustAdvice(fault, key, caFile)}`,
      { command, facts },
    );
  const age = duration(now - fetchedAt);
  if (failing !== null)
    return part(key, 'error', `${failing}${trustAdvice(failing, key, caFile)}`, { command, facts });
  if (fault !== null)
    return part(
      key,
      'warning',
      `The last fetch failed: ${fault} Keys of ${age} ago stay in use.${trustAdvice(fault, key, caFile)}`,
      { command, facts },
    );
  return part(key, 'ok', `Keys of ${issuer}, fetched ${age} ago.`, { facts });
}

/** Where TLS itself failed, what the configuration trusts is what to look at. */
function trustAdvice(fault: string, key: string, caFile: string | null): string {
  if (/ALTNAME/.test(fault)) return ` Its certificate is for another host name than that of ${key}.issuer.`;
  if (!/CERT|LEAF_SIGNATURE/.test(fault)) return '';
  return caFile === null
    ? ` Name the certificate authority that signed its certificate in ${key}.caPath.`
    : ` ${caFile} (${key}.caPath) does not hold the certificate authority that signed its certificate: add the new one.`;
}

/** Shows the certificates that it presents, where those are what is wrong; else its answer. */
function fetchCommand(url: string, fault: string): string {
  const parsed = URL.parse(url);
  if (parsed === null || !/CERT|LEAF_SIGNATURE/.test(fault)) return `curl -sS ${shellWord(url)}`;
  const host = `${parsed.hostname}:${parsed.port === '' ? '443' : parsed.port}`;
  return `openssl s_client -showcerts -connect ${shellWord(host)} </dev/null`;
}

/** From this share of its capacity on, the memory of used proofs is worth a look. */
const NEARLY_FULL = 0.9;

function replayStorePart({ replayStore, startedAt }: Snapshot): StatusPart {
  const { kind, entries, capacity, fault, rememberedSince } = replayStore;
  const facts = {
    store: kind,
    entries,
    capacity,
    fault,
    rememberedSince: rememberedSince === null ? null : formatTime(rememberedSince),
  };
  if (fault !== null)
    return part(
      'replay-store',
      'error',
      `No proof can be recorded, so DPoP requests are answered 503: ${fault}.`,
      {
        command: kind === 'redis' ? 'systemctl start redis-server   # where Redis runs' : null,
        facts,
      },
    );
  if (entries !== null && capacity !== null && entries > NEARLY_FULL * capacity)
    return part(
      'replay-store',
      'warning',
      `${entries} of ${capacity} used proofs: when it is full, requests are answered 503. Raise senderConstraint.replay.capacity, and restart.`,
      { facts },
    );
  const lost =
    kind === 'redis' && rememberedSince !== null && rememberedSince > startedAt
      ? ` Redis lost entries: proofs from before ${formatTime(rememberedSince)} need a nonce.`
      : '';
  const filled = entries === null || capacity === null ? '' : `: ${entries} of ${capacity} used proofs`;
  return part('replay-store', 'ok', `In ${kind === 'redis' ? 'Redis' : 'memory'}${filled}.${lost}`, {
    facts,
  });
}

function revocationsPart({ revocations: { count, list }, configuration }: Snapshot): StatusPart {
  const modified = list?.modifiedAt ?? null;
  const facts = {
    count,
    file: list?.file ?? null,
    modifiedAt: modified === null ? null : formatTime(modified),
  };
  const mistake = configuration.lastReload?.mistakes.find(({ source }) => source === list?.file);
  if (list !== null && mistake !== undefined)
    return part(
      'revocations',
      'error',
      `The former list with ${counted(count, 'revoked licence')} stays in force: ${mistake.text}.`,
      { command: `registry-token check --mistakes --config ${shellWord(configuration.file)}`, facts },
    );
  const of =
    list === null ? '' : `; list ${list.file}${modified === null ? '' : ` of ${formatTime(modified)}`}`;
  return part('revocations', 'ok', `${counted(count, 'revoked licence')}${of}.`, { facts });
}

/** Seconds before the end of a bundle from which on it is a warning. */
const BUNDLE_ENDS_SOON = 7 * DAY;

function entitlementsPart({ entitlements, configuration, now }: Snapshot): StatusPart[] {
  if (entitlements === null) return [];
  const { file, serial, issuer, keyId, issuedAt, expiresAt, onExpiry, serialFault, ...rest } = entitlements;
  const days = Math.floor((now - issuedAt) / DAY);
  const facts = {
    file,
    serial,
    issuer,
    keyId,
    issuedAt: formatTime(issuedAt),
    ageDays: days,
    expiresAt: formatTime(expiresAt),
    ...rest,
  };
  const inForce = `Serial ${serial} of ${issuer} (key ${short(keyId)}), ${counted(days, 'day')} old, from ${file}`;
  const verify = `registry-token entitlements verify --config ${shellWord(configuration.file)}`;
  const one = (state: PartState, sentence: string, command: string | null = null) => [
    part('entitlements', state, sentence, { command, facts }),
  ];
  const mistake = configuration.lastReload?.mistakes.find(
    // A place inside it follows the file's name.
    ({ source }) => source.startsWith(file),
  );
  if (mistake !== undefined) return one('error', `${inForce}, stays in force: ${mistake.text}.`, verify);
  if (now > expiresAt) {
    const then = onExpiry === 'deny' ? 'every request is answered 503' : 'it stays in use';
    return one('error', `${inForce}, expired at ${formatTime(expiresAt)}; ${then}. Get a new one.`, verify);
  }
  if (serialFault !== null)
    return one('error', `${inForce}; a restart would accept an older one: ${serialFault}.`, verify);
  if (now > expiresAt - BUNDLE_ENDS_SOON)
    return one('warning', `${inForce}, expires at ${formatTime(expiresAt)}. Get a new one.`, verify);
  return one('ok', `${inForce}; expires at ${formatTime(expiresAt)}.`);
}

function workersPart({ workers, configuration, unit }: Snapshot): StatusPart[] {
  if (workers.length === 0) return [];
  const facts = {
    workers: workers.map(({ worker, isListening, generation, deaths }) => ({
      worker,
      isListening,
      generation,
      deaths,
    })),
  };
  const down = workers.filter(({ isListening }) => !isListening);
  const behind = workers.filter(({ generation }) => generation < configuration.generation);
  const names = (some: readonly WorkerState[]) => some.map(({ worker }) => worker).join(', ');
  const deaths = workers.reduce((sum, worker) => sum + worker.deaths, 0);
  if (down.length > 0)
    return [
      part('workers', 'error', `${down.length} of ${workers.length} do not answer: ${names(down)}.`, {
        command: restartOf(unit),
        facts,
      }),
    ];
  if (behind.length > 0)
    return [
      part('workers', 'error', `Some answer by an older configuration: ${names(behind)}.`, {
        command: restartOf(unit),
        facts,
      }),
    ];
  const died = deaths === 0 ? '' : `; ${counted(deaths, 'death')} since the start, see the log`;
  return [part('workers', deaths === 0 ? 'ok' : 'warning', `${workers.length} answer${died}.`, { facts })];
}

function auditFilePart(auditFile: AuditFileState | null): StatusPart[] {
  if (auditFile === null) return [];
  const { file, dropped, fault } = auditFile;
  const facts = { file, dropped, fault };
  const lost = dropped === 0 ? '' : ` ${counted(dropped, 'decision')} lost since the start.`;
  if (fault !== null)
    return [
      part('audit-file', 'error', `${file} cannot be written: ${fault}. Lines wait in memory.${lost}`, {
        command: `df -h ${shellWord(file)}`,
        facts,
      }),
    ];
  return [part('audit-file', dropped === 0 ? 'ok' : 'warning', `${file} is written.${lost}`, { facts })];
}

function descriptorsPart({ descriptors: { limit, open, level }, unit }: Snapshot): StatusPart {
  const facts = { limit, open, level };
  const name = 'descriptors';
  if (limit === null) return part(name, 'ok', 'No limit.', { facts });
  const used = open === null ? `The limit is ${limit}` : `${open} of ${limit} in use`;
  if (level === 'enough') return part(name, 'ok', `${used}.`, { facts });
  const effect = level === 'none' ? 'no connection is accepted' : 'connections are closed after each answer';
  return part(
    name,
    level === 'none' ? 'error' : 'warning',
    `${used}: ${effect}. Raise LimitNOFILE, or find who holds connections open.`,
    {
      command: unit === null ? 'ss -tnp' : `systemctl edit ${unit}   # [Service] LimitNOFILE=`,
      facts,
    },
  );
}

/** How long a step of the clock is worth mention. */
const STEP_MENTIONED = 3600;

/** Compared with the Authorities, which date the tokens. */
function clockPart({ clock, authorities, now }: Snapshot): StatusPart {
  const facts = {
    setBack:
      clock.setBack === null
        ? null
        : { at: formatTime(clock.setBack.at), seconds: Math.round(clock.setBack.seconds) },
    aheadSeconds: Object.fromEntries(authorities.map(({ key, clockAhead }) => [key, clockAhead])),
  };
  const compared = authorities.flatMap(({ key, clockAhead, clockSkew }) =>
    clockAhead === null ? [] : [{ key, ahead: clockAhead, off: Math.abs(clockAhead), clockSkew }],
  );
  const worst = compared.sort((a, b) => b.off / b.clockSkew - a.off / a.clockSkew)[0];
  if (worst !== undefined && worst.off > Math.max(2, worst.clockSkew / 2)) {
    const { key, ahead, off, clockSkew } = worst;
    const isError = off > clockSkew;
    const effect = isError
      ? 'its tokens are refused as expired or not yet valid'
      : `more than ${clockSkew} s are not accepted`;
    return part(
      'clock',
      isError ? 'error' : 'warning',
      `This machine's clock is ${duration(off)} ${ahead > 0 ? 'behind' : 'ahead of'} that of ${key}: ${effect}. Synchronize both clocks (NTP).`,
      { command: 'timedatectl set-ntp true', facts },
    );
  }
  return setBackPart(clock, now, facts, compared.length > 0);
}

function setBackPart({ setBack }: ClockState, now: number, facts: Facts, isCompared: boolean): StatusPart {
  if (setBack !== null && Math.abs(now - setBack.at) < STEP_MENTIONED)
    return part(
      'clock',
      'warning',
      `It was set back by ${duration(setBack.seconds)} at ${formatTime(setBack.at)}: tokens and proofs dated ahead of it are refused until it catches up.`,
      { command: 'timedatectl set-ntp true', facts },
    );
  return part('clock', 'ok', isCompared ? 'Agrees with the Authority.' : 'Not compared with another clock.', {
    facts,
  });
}

function listenersPart({ listeners }: Snapshot): StatusPart {
  const facts = { listeners: listeners.map(({ name, address }) => ({ name, address })) };
  const all = listeners.map(({ name, address }) => `${name} on ${address}`);
  return part('listeners', 'ok', `${all.join(', ')}.`, { facts });
}

function restartOf(unit: string | null): string | null {
  return unit === null ? null : `systemctl restart ${unit}`;
}

function reloadOf(unit: string | null): string | null {
  return unit === null ? null : `systemctl reload ${unit}`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** `40 s`, `3 min`, `5 h`, `2 days`. */
function duration(seconds: number): string {
  const rounded = Math.max(0, Math.round(seconds));
  if (rounded < 120) return `${rounded} s`;
  if (rounded < 2 * 3600) return `${Math.round(rounded / 60)} min`;
  return rounded < 2 * DAY ? `${Math.round(rounded / 3600)} h` : counted(Math.round(rounded / DAY), 'day');
}
