/** Waiting with an end. */

/**
 * Settles as `promise` does; after `ms` resolves with what `late` returns, or rejects with what it throws. The promise
 * itself goes on, and no timer is left behind.
 */
export async function settleWithin<Value, Late>(
  ms: number,
  promise: Promise<Value>,
  late: () => Late,
): Promise<Value | Late> {
  const timeout = Promise.withResolvers<void>();
  const timer = setTimeout(timeout.resolve, Math.max(0, ms));
  try {
    return await Promise.race([promise, timeout.promise.then(late)]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves when the promise does, or after `ms`. Rejects as the promise does. */
export async function waitAtMost(ms: number, promise: Promise<unknown>): Promise<void> {
  await settleWithin(ms, promise, () => {});
}
