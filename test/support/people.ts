/** People at the pages of OAuth servers: they enter the code that a device shows, and approve or deny it. */
import { type Browser, openBrowser } from './browser.ts';

/** What a device shows. */
export interface ShownCode {
  readonly verificationUri: string;
  readonly userCode: string;
}

/** oidc-provider lets in whoever gives a name and a password. */
export async function approveAtOidcProvider(
  { verificationUri, userCode }: ShownCode,
  name: string,
): Promise<void> {
  const browser = openBrowser();
  const confirmed = await browser.submit(await enterCode(browser, verificationUri, userCode));
  const consent = await browser.submit(confirmed, { login: name, password: 'any' });
  const done = await browser.submit(consent);
  if (!done.html.includes('Sign-in Success')) throw new Error(`${name} was not let in:\n${done.html}`);
}

export async function denyAtOidcProvider({ verificationUri, userCode }: ShownCode): Promise<void> {
  const browser = openBrowser();
  await browser.submit(await enterCode(browser, verificationUri, userCode), { abort: 'yes' });
}

async function enterCode(browser: Browser, page: string, userCode: string) {
  return browser.submit(await browser.open(page), { user_code: userCode });
}
