/**
 * Splits a compact JWS and decodes its parts as strict base64url. jose accepts padding, embedded spaces and stray trailing
 * bits, so this runs first. No signature is verified here.
 */

export type JsonObject = Readonly<Record<string, unknown>>;

export interface CompactJws {
  readonly text: string;
  /** The first part as received; the same header is the same text. */
  readonly encodedHeader: string;
  readonly header: JsonObject;
  readonly payload: JsonObject;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Parses a JWS whose header and payload are JSON objects; null for anything else and for longer text. */
export function parseCompactJws(text: string, maxLength: number): CompactJws | null {
  if (text.length > maxLength) return null;
  const parts = text.split('.', 4);
  if (parts.length !== 3 || !parts.every(isBase64url)) return null;
  const [encodedHeader = '', encodedPayload = ''] = parts;
  const header = parseObject(encodedHeader);
  const payload = parseObject(encodedPayload);
  return header === null || payload === null ? null : { text, encodedHeader, header, payload };
}

/** Not empty, no padding, no other character, and no bit set beyond the last byte (RFC 7515 §2, RFC 4648 §3.5). */
export function isBase64url(text: string): boolean {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) return false;
  const tail = text.length % 4;
  if (tail === 1) return false;
  if (tail === 2) return /[AQgw]$/.test(text);
  if (tail === 3) return /[AEIMQUYcgkosw048]$/.test(text);
  return true;
}

function parseObject(encoded: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(utf8.decode(Buffer.from(encoded, 'base64url')));
    return isJsonObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** An object that is neither null nor an array. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
