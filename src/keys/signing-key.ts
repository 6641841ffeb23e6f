/** The key that signs registry tokens, from PEM or PFX, with its certificates and `kid`; and the keys published beside it. */
import { createPublicKey, type KeyObject, sign, type X509Certificate } from 'node:crypto';
import { CompactSign, exportJWK, type JWK } from 'jose';
import type { Signer } from '../issue/signer.ts';
import { holdsCertificate, PemFault, parseCertificates, parsePrivateKey } from '../platform/pem.ts';
import { algorithmOf, KeyFault, type SigningAlgorithm } from './key-algorithm.ts';
import { libtrustId, thumbprintId } from './key-ids.ts';

/** The files' contents, as the configuration names them. */
export interface SigningKeyMaterial {
  /** PEM: PKCS#8 (encrypted or not), PKCS#1 or SEC1; as bytes also a PFX container (PKCS#12). The content tells. */
  readonly key: string | Buffer;
  readonly password: string | null;
  /** PEM: the leaf first, then its chain; null for those of a PFX container, and for no `x5c` with PEM. */
  readonly certificates: string | null;
  /** `thumbprint`, `libtrust`, or the `kid` as it is. */
  readonly keyId: string;
}

export interface SigningKey extends Signer {
  readonly algorithm: SigningAlgorithm;
  readonly keyId: string;
  /** RFC 7638, whatever the `kid` is. */
  readonly thumbprint: string;
  readonly publicJwk: JWK;
  /** The leaf first; empty where there is no certificate. */
  readonly certificates: readonly X509Certificate[];
}

/** In seconds: how far the clock of the machine that made a certificate may be ahead. */
const CLOCK_DIFFERENCE = 60;

/** Creates a signer from the contents of the files. `now` in epoch seconds. Throws KeyFault, also for an expired certificate. */
export async function openSigningKey(material: SigningKeyMaterial, now: number): Promise<SigningKey> {
  const { privateKey, certificates: own } = await openKeyFile(material);
  const publicKey = createPublicKey(privateKey);
  const algorithm = algorithmOf(privateKey);
  const { certificates: certificatePem } = material;
  const certificates =
    certificatePem === null
      ? own
      : readPem('certificate', material.password !== null, () => parseCertificates(certificatePem));
  const [leaf] = certificates;
  if (leaf !== undefined && !leaf.checkPrivateKey(privateKey))
    throw new KeyFault(
      'certificate',
      'The first certificate does not belong to the signing key: name the certificate of this key.',
    );
  for (const { validFrom, validTo } of certificates) {
    if (Date.parse(validFrom) / 1000 > now + CLOCK_DIFFERENCE)
      throw new KeyFault(
        'certificate',
        `A certificate is not valid before ${validFrom}: registries refuse tokens that carry it until then. Compare the clocks.`,
      );
    if (Date.parse(validTo) / 1000 <= now)
      throw new KeyFault(
        material.certificates === null ? 'key' : 'certificate',
        `A certificate expired on ${validTo}: registries refuse tokens that carry it. Create a new one with registry-token keygen.`,
      );
  }
  const thumbprint = await thumbprintId(publicKey);
  const keyId = keyIdOf(material.keyId, thumbprint, publicKey);
  const x5c = certificates.map((certificate) => certificate.raw.toString('base64'));
  const header = { typ: 'JWT', alg: algorithm, kid: keyId, ...(x5c.length > 0 ? { x5c } : {}) };
  return {
    algorithm,
    keyId,
    thumbprint,
    publicJwk: { ...(await exportJWK(publicKey)), kid: keyId, alg: algorithm, use: 'sig' },
    certificates,
    sign: algorithm === 'RS256' ? await createJoseSign(privateKey, header) : createSign(privateKey, header),
  };
}

type JwsHeader = Readonly<Record<string, unknown>> & { readonly alg: SigningAlgorithm };

/** RSA is slow, so it runs on a WebCrypto thread and does not block the event loop. */
async function createJoseSign(privateKey: KeyObject, header: JwsHeader): Promise<Signer['sign']> {
  const key = await crypto.subtle.importKey(
    'pkcs8',
    privateKey.export({ type: 'pkcs8', format: 'der' }),
    { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
    false,
    ['sign'],
  );
  return (claims) =>
    new CompactSign(Buffer.from(JSON.stringify(claims))).setProtectedHeader(header).sign(key);
}

/** An elliptic-curve signature takes less time than a switch to another thread. */
function createSign(key: KeyObject, header: JwsHeader): Signer['sign'] {
  const digest = { ES256: 'sha256', ES384: 'sha384', RS256: 'sha256', EdDSA: null }[header.alg];
  const encodedHeader = Buffer.from(JSON.stringify(header)).toString('base64url');
  return (claims) => {
    const input = `${encodedHeader}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
    // RFC 7518 §3.4: R and S concatenated, not DER.
    const signature = sign(digest, Buffer.from(input, 'latin1'), { key, dsaEncoding: 'ieee-p1363' });
    return `${input}.${signature.toString('base64url')}`;
  };
}

interface OpenedKey {
  readonly privateKey: KeyObject;
  /** Those that came with the key. */
  readonly certificates: readonly X509Certificate[];
}

/** The private key alone. Throws KeyFault. */
export async function openPrivateKey(key: Buffer, password: string | null): Promise<KeyObject> {
  return (await openKeyFile({ key, password })).privateKey;
}

async function openKeyFile({
  key,
  password,
}: Pick<SigningKeyMaterial, 'key' | 'password'>): Promise<OpenedKey> {
  const bytes = Buffer.from(key);
  if (isDer(bytes)) {
    const { openPkcs12 } = await import('./pkcs12/pkcs12.ts');
    return openPkcs12(bytes, password);
  }
  if (isJavaKeystore(bytes))
    throw new KeyFault(
      'key',
      'The file is a Java keystore: convert it to PKCS#12 with keytool -importkeystore -deststoretype PKCS12.',
    );
  return {
    privateKey: readPem('key', password !== null, () => parsePrivateKey(bytes.toString(), password)),
    certificates: [],
  };
}

/** A SEQUENCE of more than 127 bytes. No text begins like that: the second byte is no character. */
function isDer(bytes: Buffer): boolean {
  const [tag, length = 0] = bytes;
  return tag === 0x30 && length >= 0x80;
}

/** JKS and JCEKS, by their first four bytes. */
function isJavaKeystore(bytes: Buffer): boolean {
  return ['feedfeed', 'cececece'].includes(bytes.toString('hex', 0, 4));
}

/** The platform's reader of a PEM text; what it finds wrong becomes a KeyFault of that file. */
function readPem<Value>(source: KeyFault['source'], hasPassword: boolean, read: () => Value): Value {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof PemFault)) throw cause;
    const hint = cause.isEncrypted && !hasPassword ? ', and signing.keyPassword is not set' : '';
    throw new KeyFault(source, `The file ${cause.message}${hint}.`);
  }
}

function keyIdOf(keyId: string, thumbprint: string, publicKey: KeyObject): string {
  if (keyId === 'thumbprint') return thumbprint;
  return keyId === 'libtrust' ? libtrustId(publicKey) : keyId;
}

export interface PublicKey {
  readonly jwk: JWK;
  /** RFC 7638, whatever the `kid` is. */
  readonly thumbprint: string;
}

/**
 * The keys of all certificates of the file; where it holds none, the key of its first PEM block. Their `kid` is of
 * the configured form; where that is a fixed text, which is the signing key's, the thumbprint. Throws KeyFault.
 */
export async function openPublicKeys(pem: string, keyIdForm: string): Promise<PublicKey[]> {
  return Promise.all(
    parsePublicKeys(pem).map(async (publicKey) => {
      const algorithm = algorithmOf(publicKey);
      const thumbprint = await thumbprintId(publicKey);
      const kid = keyIdForm === 'libtrust' ? libtrustId(publicKey) : thumbprint;
      const jwk = { ...(await exportJWK(publicKey)), kid, alg: algorithm, use: 'sig' };
      return { jwk, thumbprint };
    }),
  );
}

function parsePublicKeys(pem: string): KeyObject[] {
  try {
    return holdsCertificate(pem)
      ? parseCertificates(pem).map(({ publicKey }) => publicKey)
      : [createPublicKey(pem)];
  } catch {
    throw new KeyFault('key', 'The file holds no PEM certificate, public key or unencrypted private key.');
  }
}
