/** What is wrong with a PEM text that cannot be used: what its label says, and what is inside. Quotes nothing of the content. */

/** Why a text holds no usable private key; the message goes on where a file's name ends. */
export function explainKeyFault(text: string): string {
  const labels = labelsOf(text);
  if (labels.length === 0) return `is not a PEM file: ${whatElse(text)}`;
  const label = labels.find((found) => found.endsWith('PRIVATE KEY'));
  if (label === undefined) return `holds no PEM private key${butA(labels)}`;
  if (label === 'OPENSSH PRIVATE KEY')
    return "holds a key in OpenSSH's own format; ssh-keygen -p -m PKCS8 -f FILE converts it, except for Ed25519";
  return explainLayout(text, label) ?? explainContent(text, label);
}

/** `, but a CERTIFICATE` where a text has PEM blocks of other labels only. */
export function butA(labels: readonly string[]): string {
  return labels.length === 0 ? '' : `, but a ${[...new Set(labels)].join(' and a ')}`;
}

export function labelsOf(text: string): string[] {
  return [...text.matchAll(/-----BEGIN ([A-Z0-9 ]{1,40})-----/g)]
    .slice(0, 10)
    .map(([, label]) => label ?? '');
}

function whatElse(text: string): string {
  if (text.includes('-\0-')) return 'it is UTF-16; save it as UTF-8';
  return text.includes('\0')
    ? 'it is binary; if it is DER, openssl pkey -inform DER converts it'
    : 'it has no BEGIN line';
}

/** RFC 7468 §2: the lines of a block stand by themselves. */
function explainLayout(text: string, label: string): string | null {
  if (!text.includes(`-----END ${label}-----`)) return `is cut off: there is no END ${label} line`;
  if (!new RegExp(`-----BEGIN ${label}-----[ \\t]*[\\r\\n]`).test(text))
    return 'has lost its line breaks; the BEGIN and END lines stand by themselves';
  return new RegExp(`^[ \\t]+-----(?:BEGIN|END) ${label}`, 'm').test(text)
    ? 'is indented; PEM lines begin at the first column'
    : null;
}

function explainContent(text: string, label: string): string {
  const block = text.slice(text.indexOf(`-----BEGIN ${label}`)).split('-----')[2] ?? '';
  const base64 = block.replace(/\s/g, '');
  const inside = /^[A-Za-z0-9+/]+={0,2}$/.test(base64) ? recognize(Buffer.from(base64, 'base64')) : null;
  if (inside === null) return 'holds a private key that is damaged or cut off';
  if (inside.label !== label)
    return inside.label.endsWith('PRIVATE KEY')
      ? `has the label ${label} but the content of ${inside.label}; correct the label`
      : `has the label ${label} but the content of ${inside.label}, which is not a private key`;
  const kind = inside.algorithm.at(-1);
  return kind === undefined
    ? 'holds a private key that cannot be read'
    : `holds a key of the kind ${kinds[kind] ?? kind}; supported are P-256, P-384, Ed25519 and RSA`;
}

/** Curves and algorithms, by their object identifier. */
const kinds: Readonly<Record<string, string>> = {
  '1.2.840.10045.2.1': 'EC with a curve of its own',
  '1.2.840.10045.3.1.1': 'P-192',
  '1.2.840.10040.4.1': 'DSA',
  '1.3.101.111': 'X448',
  '1.3.101.113': 'Ed448',
  '1.3.132.0.10': 'secp256k1',
  '1.3.36.3.3.2.8.1.1.7': 'brainpoolP256r1',
  '1.3.36.3.3.2.8.1.1.11': 'brainpoolP384r1',
  '1.3.36.3.3.2.8.1.1.13': 'brainpoolP512r1',
};

interface Inside {
  /** The label that it should have. */
  readonly label: string;
  /** Object identifiers: of the algorithm, and of its curve. */
  readonly algorithm: readonly string[];
}

/** What a DER structure is, by the types of its first members; null for none of those that PEM files hold. */
function recognize(der: Buffer): Inside | null {
  const [root] = readElements(der);
  if (root?.tag !== 0x30) return null;
  const members = readElements(root.content);
  const types = members.map(({ tag }) => tag.toString(16)).join(' ');
  if (/^2 30 4/.test(types)) return { label: 'PRIVATE KEY', algorithm: algorithmOf(members[1]) };
  if (/^2 4 a0/.test(types)) return { label: 'EC PRIVATE KEY', algorithm: algorithmOf(members[2]) };
  if (/^2 2 2 2/.test(types)) return { label: 'RSA PRIVATE KEY', algorithm: [] };
  if (types === '30 3') return { label: 'PUBLIC KEY', algorithm: [] };
  return types === '30 30 3' ? { label: 'CERTIFICATE', algorithm: [] } : null;
}

function algorithmOf(element: Element | undefined): string[] {
  return readElements(element?.content ?? Buffer.alloc(0)).flatMap(({ tag, content }) =>
    tag === 0x06 ? [objectIdentifier(content)] : [],
  );
}

interface Element {
  readonly tag: number;
  readonly content: Buffer;
}

/** The elements of a DER text one after another; what is cut off is left out. */
function readElements(der: Buffer): Element[] {
  const elements: Element[] = [];
  for (let at = 0; at + 2 <= der.length && elements.length < 10; ) {
    const [tag = 0, first = 0] = der.subarray(at);
    const size = first < 0x80 ? 0 : first & 0x7f;
    if (size > 4 || at + 2 + size > der.length) return elements;
    const length = size === 0 ? first : der.readUIntBE(at + 2, size);
    const from = at + 2 + size;
    if (from + length > der.length) return elements;
    elements.push({ tag, content: der.subarray(from, from + length) });
    at = from + length;
  }
  return elements;
}

/** X.690 §8.19: the first two numbers share a byte, the others are in base 128. */
function objectIdentifier(content: Buffer): string {
  const numbers: number[] = [];
  let number = 0;
  for (const byte of content) {
    number = number * 128 + (byte & 0x7f);
    if (byte < 0x80) {
      numbers.push(number);
      number = 0;
    }
  }
  const [first = 0, ...others] = numbers;
  const root = Math.min(2, Math.floor(first / 40));
  return [root, first - root * 40, ...others].join('.');
}
