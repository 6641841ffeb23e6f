/** The signing key that is shipped as a sample: everybody has it, so it signs on loopback only. */

/** The RFC 7638 thumbprint of `etc/registry-signing-sample.pem`. */
export const SAMPLE_KEY_THUMBPRINT = 'wOc66suuzS0Zyr4iVZNDjCa-t8FKgGormCEgL5c8icE';
