/**
 * `bun run picture:console`: takes the pictures of the console in etc/README.md, by Chromium, of a made-up day: on a desktop,
 * in the dark, and 360 pixels wide.
 */
import { startChromium } from '../support/chromium.ts';
import { serveExample } from './example.ts';

const folder = new URL('../../etc/console/', import.meta.url).pathname;

export const pictures = [
  { name: 'light.png', colorScheme: 'light', width: 1000, height: 1500, query: '?outcome=denied' },
  { name: 'dark.png', colorScheme: 'dark', width: 1000, height: 760, query: '' },
  { name: 'narrow.png', colorScheme: 'light', width: 360, height: 1500, query: '?outcome=denied' },
] as const;

if (import.meta.main) {
  await using example = await serveExample();
  const browser = await startChromium();
  for (const { name, colorScheme, width, height, query } of pictures) {
    const page = await browser.newPage({ viewport: { width, height }, colorScheme });
    await page.goto(`${example.url}/console${query}`);
    await page.screenshot({ path: `${folder}${name}` });
    await page.close();
  }
  await browser.close();
}
