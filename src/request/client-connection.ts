/** What the listener knows about the connection of a request. */

export interface ClientConnection {
  /** The client's IP address. */
  readonly address: string;
  /** The certificate whose key the client proved to hold; null if it presented none. */
  readonly certificate: ClientCertificate | null;
}

export interface ClientCertificate {
  /** DER as received, never re-encoded: `x5t#S256` is computed over these bytes (RFC 8705 §3.1). */
  readonly der: Uint8Array;
  /**
   * False if a client CA is configured and this certificate does not chain to it, or has expired. May change while the
   * connection is open: read it when the certificate is checked.
   */
  readonly trusted: boolean;
}
