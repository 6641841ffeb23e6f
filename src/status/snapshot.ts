/** What a running service knows of itself at one moment, as plain values. Times in epoch seconds, files absolute. */

export interface Snapshot {
  readonly now: number;
  readonly version: string;
  readonly startedAt: number;
  /** The systemd unit that it runs as; null elsewhere. */
  readonly unit: string | null;
  readonly configuration: ConfigurationState;
  readonly signingKey: SigningKeyState;
  readonly certificates: readonly CertificateState[];
  readonly authorities: readonly AuthorityState[];
  readonly replayStore: ReplayStoreState;
  readonly revocations: RevocationsState;
  /** null where the configuration names no bundle. */
  readonly entitlements: EntitlementsState | null;
  readonly clock: ClockState;
  readonly listeners: readonly ListenerState[];
  /** Empty where one thread does everything. */
  readonly workers: readonly WorkerState[];
  /** null where the configuration names no file. */
  readonly auditFile: AuditFileState | null;
  readonly descriptors: DescriptorsState;
}

export interface ConfigurationState {
  readonly file: string;
  /** The one that every thread answers by. */
  readonly generation: number;
  readonly loadedAt: number;
  /** The keys that the environment sets, each with its variable. */
  readonly overrides: readonly { readonly key: string; readonly variable: string }[];
  /** Files in use that are not as they were when they were read. */
  readonly changedFiles: readonly string[];
  /** null before the first. */
  readonly lastReload: ReloadState | null;
}

export interface ReloadState {
  readonly at: number;
  /** Some of them where there are many; of each file at least the first. */
  readonly mistakes: readonly ReloadMistake[];
  /** How many there are. */
  readonly count: number;
  /** Why not every thread uses the configuration, or what else went wrong. */
  readonly fault: string | null;
}

export interface ReloadMistake {
  /** The file that it is in. */
  readonly source: string;
  /** With its place. */
  readonly text: string;
}

export interface SigningKeyState {
  readonly algorithm: string;
  readonly keyId: string;
  /** RFC 7638. */
  readonly thumbprint: string;
  readonly file: string;
  /** The keys that its files hold now, by file: of the key, and of its certificate. */
  readonly onDisk: readonly KeyOnDisk[];
  /** The folder of a rotation that was begun and not finished, and what comes next. */
  readonly rotation: {
    readonly folder: string;
    readonly next: 'switch' | 'finish';
    readonly since: number;
  } | null;
}

export interface KeyOnDisk {
  readonly file: string;
  /** null where it cannot be read. */
  readonly thumbprint: string | null;
  readonly fault: string | null;
}

export type CertificateUse = 'signing' | 'additional-key' | 'tls' | 'client-ca' | 'authority-ca';

export interface CertificateState {
  readonly use: CertificateUse;
  /** The key of the configuration that names its file. */
  readonly key: string;
  readonly file: string;
  readonly subject: string;
  readonly endsAt: number;
}

export interface AuthorityState {
  readonly name: string;
  /** `authority`, or `authorities.NAME`. */
  readonly key: string;
  readonly issuer: string;
  /** The file of its keys, or where its metadata is. */
  readonly source: { readonly file: string } | { readonly url: string };
  /** The file of certificate authorities for its HTTPS; null for those of the system. */
  readonly caFile: string | null;
  /** Of keys that are fetched; null where there are none yet. */
  readonly fetchedAt: number | null;
  /** null where nothing was fetched yet, and for a file. */
  readonly lastFetch: { readonly at: number; readonly fault: string | null } | null;
  readonly keysMaxAge: number;
  /** Why none of its tokens can be verified, or why its keys should not be relied on any longer. */
  readonly failing: string | null;
  /** Seconds by which its clock is ahead of ours, by its last answer; null where that is not known. */
  readonly clockAhead: number | null;
  readonly clockSkew: number;
}

export interface ReplayStoreState {
  readonly kind: 'memory' | 'redis';
  readonly entries: number | null;
  readonly capacity: number | null;
  /** Why no proof can be recorded. */
  readonly fault: string | null;
  /** A proof dated earlier needs a nonce: what was used before is not known. null where nothing was lost. */
  readonly rememberedSince: number | null;
}

export interface RevocationsState {
  readonly count: number;
  /** null where the configuration names none. */
  readonly list: { readonly file: string; readonly modifiedAt: number | null } | null;
}

/** The vendor's bundle in force. */
export interface EntitlementsState {
  readonly file: string;
  readonly serial: number;
  readonly issuer: string;
  /** Of the key that signed it. */
  readonly keyId: string;
  readonly issuedAt: number;
  /** By its own end, or by entitlements.maxAge. */
  readonly expiresAt: number;
  readonly onExpiry: 'keep' | 'deny';
  readonly note: string | null;
  readonly plans: number;
  readonly revokedLicenses: number;
  /** Of the newer bundle of which only the revocations are in force; null where there is none. */
  readonly revocationsSerial: number | null;
  /** Why a restart will not know the serial; null where it will. */
  readonly serialFault: string | null;
}

export interface ClockState {
  /** The last time that it was set back while the service ran. */
  readonly setBack: { readonly at: number; readonly seconds: number } | null;
}

export interface ListenerState {
  readonly name: 'server' | 'telemetry';
  /** A URL, or `unix:PATH`. */
  readonly address: string;
}

export interface WorkerState {
  /** From 1. */
  readonly worker: number;
  readonly isListening: boolean;
  readonly generation: number;
  readonly deaths: number;
}

export interface AuditFileState {
  readonly file: string;
  /** Lines lost since the start. */
  readonly dropped: number;
  /** Why lines cannot be written now. */
  readonly fault: string | null;
}

export interface DescriptorsState {
  /** null where there is no limit. */
  readonly limit: number | null;
  readonly open: number | null;
  readonly level: 'enough' | 'few' | 'none';
}
