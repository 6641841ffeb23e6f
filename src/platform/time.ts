/** Times for people. */

/** Epoch seconds as in RFC 3339, without fractions of a second: `2026-11-29T14:00:00Z`. */
export function formatTime(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`;
}
