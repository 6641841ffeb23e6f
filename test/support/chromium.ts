/** Debian's Chromium, driven by playwright-core. */
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';
import { searchPath } from './processes.ts';

export async function startChromium(): Promise<Browser> {
  const executablePath = Bun.which('chromium', { PATH: searchPath });
  if (executablePath === null || !existsSync(executablePath)) throw new Error('There is no chromium.');
  // Its sandbox needs a user namespace, which root in a container has not.
  return chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-dev-shm-usage'],
    timeout: 60_000,
  });
}
