/** What the listener knows of the connection that a request came over. */

export interface ClientConnection {
  /** The client's IP address. */
  readonly address: string;
  /** The certificate that the client proved possession of; null where it showed none. */
  readonly certificate: ClientCertificate | null;
}

export interface ClientCertificate {
  /** DER as received, never re-encoded: `x5t#S256` is computed over these bytes (RFC 8705 §3.1). */
  readonly der: Uint8Array;
  /** False where a certificate authority is configured and this certificate does not chain to it. */
  readonly trusted: boolean;
}
