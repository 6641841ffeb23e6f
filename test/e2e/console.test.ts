/** The console of a running service in Chromium: by mouse, by keyboard, without script, in the dark, on a telephone. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { readData, serveExample } from '../console/example.ts';
import { hostileDecision, hostileTexts } from '../console/hostile.ts';
import { startChromium } from '../support/chromium.ts';
import { type ConfiguredService, startConfiguredService } from '../support/configured-service.ts';
import { describeWith } from '../support/debian-parts.ts';
import { createTemporaryFolder, findFreePort, run } from '../support/processes.ts';
import { words } from '../support/service-process.ts';

setDefaultTimeout(120_000);

const plans = {
  community: { repositories: [{ pattern: 'public/*' }, { pattern: 'customers/{claim:tid}/*' }] },
};

describeWith(['chromium'], 'the console in a browser', () => {
  let service: ConfiguredService;
  let url: string;
  let browser: Browser;

  beforeAll(async () => {
    const port = await findFreePort();
    url = `http://127.0.0.1:${port}`;
    const telemetry = { listen: `127.0.0.1:${port}`, console: true };
    service = await startConfiguredService({ telemetry, plans, server: { workers: 2 } });
    browser = await startChromium();
    for (let index = 0; index < 12; index += 1)
      await service.ask(index % 3 === 0 ? 'repository:secret/app:pull' : 'repository:public/a:pull', {
        sub: `user-${index}`,
      });
    await untilKept(12);
  });
  afterAll(async () => {
    await browser?.close();
    await service?.[Symbol.asyncDispose]();
  });

  /** Decisions of workers arrive a moment after their answers. */
  async function untilKept(count: number): Promise<void> {
    for (let tries = 0; (await readData(await fetch(`${url}/console/data`))).kept < count; tries += 1) {
      if (tries > 500) throw new Error(`The console has no ${count} decisions.`);
      await Bun.sleep(20);
    }
  }

  /** Runs `body` on the page; whatever the browser complains of fails it. */
  async function onPage(
    path: string,
    options: BrowserContextOptions,
    body: (page: Page) => Promise<void>,
  ): Promise<void> {
    const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
    const complaints: string[] = [];
    const page = await context.newPage();
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (fault) => complaints.push(fault.message));
    page.on('dialog', (dialog) => complaints.push(dialog.message()));
    page.on('request', (request) => {
      if (!request.url().startsWith(url)) complaints.push(`asks ${request.url()}`);
    });
    await page.goto(`${url}${path}`);
    await body(page);
    expect(complaints).toEqual([]);
    expect(await context.cookies()).toEqual([]);
    await context.close();
  }

  test('shows what both workers decided; a click tells why, and another tries it out', async () => {
    await onPage('/console', {}, async (page) => {
      expect(await page.locator('#parts .ok').count()).toBeGreaterThan(5);
      await page.selectOption('select[name=outcome]', 'denied');
      await page.click('button:has-text("Filter")');
      expect(await page.locator('#list tbody tr').count()).toBe(4);
      await page.locator('#list tbody tr a').first().click();
      expect(await page.locator('#why').textContent()).toContain('does not allow repository:secret/app:pull');
      await page.click('text=Try it out');
      expect(await page.locator('#try pre').textContent()).toMatch(
        /nearest is \S+ \(\S+registry-token\.yaml:\d+:\d+\)/,
      );
    });
  });

  test('shows a new decision by itself, and leaves what is being typed alone', async () => {
    await onPage('/console', {}, async (page) => {
      await page.fill('input[name=subject]', 'newcom');
      await service.ask('repository:public/a:pull', { sub: 'newcomer' });
      await page.locator('#list:has-text("newcomer")').waitFor({ timeout: 30_000 });
      expect(await page.inputValue('input[name=subject]')).toBe('newcom');
      expect(await page.locator('#refreshed').textContent()).toBe('');
    });
  });

  test('can be used by keyboard alone', async () => {
    await onPage('/console', {}, async (page) => {
      await page.keyboard.press('Tab');
      expect(await page.evaluate('document.activeElement?.textContent')).toBe('To the parts');
      const focus = async (selector: string) => {
        for (let tries = 0; tries < 100; tries += 1) {
          if ((await page.locator(`${selector}:focus`).count()) > 0) return;
          await page.keyboard.press('Tab');
        }
        throw new Error(`Tab does not reach ${selector}.`);
      };
      await focus('input[name=subject]');
      await page.keyboard.type('user-3');
      await page.keyboard.press('Enter');
      await page.waitForURL(/subject=user-3/);
      expect(await page.locator('#list tbody tr').count()).toBe(1);
      await focus('#list tbody a');
      const outline = await page.evaluate('getComputedStyle(document.activeElement).outlineStyle');
      expect(outline).toBe('solid');
      await page.keyboard.press('Enter');
      await page.waitForURL(/id=/);
      expect(await page.locator('#why').textContent()).toContain('user-3');
    });
  });

  test('works without script', async () => {
    await onPage('/console?outcome=denied', { javaScriptEnabled: false }, async (page) => {
      expect(await page.locator('#list tbody tr').count()).toBe(4);
      expect(await page.locator('#refresh').isVisible()).toBe(false);
      await page.fill('textarea[name=scope]', 'repository:public/a:pull');
      await page.click('button:has-text("Explain")');
      expect(await page.locator('#try').textContent()).toContain('A token would be issued.');
    });
  });

  test.each(['light', 'dark'] as const)(
    'has the colors of a %s desktop, and text that stands out',
    async (colorScheme) => {
      await onPage('/console', { colorScheme }, async (page) => {
        const selectors = ['body', '.soft', '#parts b', '#list a', '#list .refused'];
        const colors: [color: string, behind: string][] = await page.evaluate(
          `${JSON.stringify(selectors)}.map((selector) => [getComputedStyle(document.querySelector(selector)).color, getComputedStyle(document.body).backgroundColor])`,
        );
        const [, background = ''] = colors[0] ?? [];
        expect(luminance(background) > 0.5).toBe(colorScheme === 'light');
        for (const [color = '', behind = ''] of colors) expect(contrast(color, behind)).toBeGreaterThan(4.5);
      });
    },
  );

  test('fits 360 pixels', async () => {
    for (const path of ['/console', '/console?try-plan=community&scope=repository:customers/other/app:pull'])
      await onPage(path, { viewport: { width: 360, height: 740 } }, async (page) => {
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360);
      });
  });

  test('runs nothing of what strangers send', async () => {
    for (const text of hostileTexts) {
      const printable = text.replace(/[^\x20-\x7e]/g, '');
      const claims = {
        sub: text,
        client_id: text,
        'stellaops:plan': text,
        'stellaops:license': text,
        jti: text,
      };
      await service.askWith({ ...service.credentials(claims), 'User-Agent': printable }, text);
      await service.askWith(
        { ...service.credentials(claims), 'User-Agent': printable },
        'repository:public/a:pull',
      );
    }
    await untilKept(12 + 2 * hostileTexts.length);
    const { decisions } = await readData(await fetch(`${url}/console/data?outcome=denied`));
    const paths = [
      '/console',
      ...decisions
        .slice(0, 2 * hostileTexts.length)
        .map(({ requestId }) => `/console?${new URLSearchParams({ id: requestId })}`),
      ...hostileTexts.map(
        (text) =>
          `/console?${new URLSearchParams({ subject: text, license: text, id: text, 'try-plan': text, claims: text, scope: text })}`,
      ),
    ];
    for (const path of paths)
      await onPage(path, {}, async (page) => {
        expect(await page.evaluate('"ran" in window')).toBe(false);
        expect(
          await page.locator('script:not([src]), img, iframe, [onerror], [onload], [onfocus]').count(),
        ).toBe(0);
      });
  });
});

describeWith(['w3m'], 'the console in a terminal', () => {
  test('can be read, and holds no command for it', async () => {
    await using example = await serveExample();
    const { stdout } = await run([
      'w3m',
      '-dump',
      '-cols',
      '100',
      `${example.url}/console?outcome=denied&reason=plan-denied`,
    ]);
    expect(stdout).toMatch(/✗ error +replay-store +Redis does not answer/);
    expect(stdout).toContain('systemctl status redis-server');
    expect(stdout).toMatch(/\d\d:\d\d:\d\d +plan-denied +ci-globex +LIC-4712/);
    expect(stdout).toMatch(/plan-denied +10\n/);
    await using hostile = await serveExample(hostileTexts.map(hostileDecision));
    const dump = await run(['w3m', '-dump', '-cols', '100', `${hostile.url}/console`]);
    expect(dump.stdout).toContain('u001b]0;owned');
    expect(dump.stdout.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
  });
});

test('what was decided before a reload stays, with the generation that decided', async () => {
  const port = await findFreePort();
  const telemetry = { listen: `127.0.0.1:${port}`, console: true };
  await using service = await startConfiguredService({ telemetry, plans });
  const data = async () => readData(await fetch(`http://127.0.0.1:${port}/console/data`));
  const first = (await service.ask('repository:public/a:pull')).headers.get('x-request-id') ?? '';
  service.configure({ telemetry, plans: { community: { repositories: [{ pattern: 'other/*' }] } } });
  await service.untilReloads('success', 1);
  const second = (await service.ask('repository:public/a:pull')).headers.get('x-request-id') ?? '';
  const { decisions } = await data();
  expect(decisions.map(({ requestId }) => requestId)).toEqual([second, first]);
  const page = await (
    await fetch(`http://127.0.0.1:${port}/console?${new URLSearchParams({ id: first })}`)
  ).text();
  expect(page).toContain('public/* (of the former generation 1)');
});

test('it is off by default, and never on the listener for clients', async () => {
  const port = await findFreePort();
  await using off = await startConfiguredService({ telemetry: { listen: `127.0.0.1:${port}` } });
  expect((await fetch(`http://127.0.0.1:${port}/console`)).status).toBe(404);
  expect((await fetch(`${off.url}/console`)).status).toBe(404);
});

test('behind a socket it answers whoever may open that', async () => {
  await using folder = await createTemporaryFolder();
  const telemetry = { listen: `unix:${folder.at('telemetry.sock')}`, console: true };
  await using service = await startConfiguredService({ telemetry });
  const ask = (host: string) =>
    fetch('http://localhost/console', {
      unix: folder.at('telemetry.sock'),
      headers: { Host: host },
    } as RequestInit);
  expect((await ask('localhost:9095')).status).toBe(200);
  expect((await ask('evil.example')).status).toBe(421);
  expect((await fetch(`${service.url}/console`)).status).toBe(404);
});

test.each(['0.0.0.0', '192.0.2.1', '[::]', 'registry.example.com'])(
  'on %s it is a mistake: nobody logs in to it',
  async (host) => {
    await using service = await startConfiguredService();
    service.configure({ telemetry: { listen: `${host}:9095`, console: true } });
    const { exitCode, stderr } = await run([
      ...words,
      'check',
      '--mistakes',
      '--config',
      service.folder.at('registry-token.yaml'),
    ]);
    expect([exitCode, stderr]).toEqual([
      78,
      expect.stringContaining('telemetry.console: needs a telemetry.listen on loopback or a Unix socket'),
    ]);
  },
);

/** WCAG 2, of `rgb(r, g, b)`. */
function luminance(color: string): number {
  const [r = 0, g = 0, b = 0] = (color.match(/\d+/g) ?? []).map((part) => {
    const value = Number(part) / 255;
    return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one: string, other: string): number {
  const [light = 0, dark = 0] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}
