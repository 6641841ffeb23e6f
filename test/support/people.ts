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

/** Keycloak asks for name and password, and then whether the client may have what it asks for. */
export async function decideAtKeycloak(
  { verificationUri, userCode }: ShownCode,
  person: Person,
  ca: string,
  decision: 'accept' | 'cancel',
): Promise<void> {
  const browser = openBrowser(ca);
  const login = await browser.open(`${verificationUri}?user_code=${userCode}`);
  const { name: username, password } = person;
  const consent = await browser.submit(login, { username, password });
  const done = await browser.submit(consent, { [decision]: 'any' });
  if (decision === 'accept' && !done.html.includes('Device Login Successful'))
    throw new Error(`${username} was not let in:\n${done.html}`);
}

export interface Person {
  readonly name: string;
  readonly password: string;
}

/** Glewlwyd's pages are a program in the browser, which uses this API. */
export async function approveAtGlewlwyd(
  { verificationUri, userCode }: ShownCode,
  { name: username, password }: Person,
  ca: string,
): Promise<void> {
  const tls = { ca };
  const { origin } = new URL(verificationUri);
  const headers = { 'Content-Type': 'application/json' };
  const body = JSON.stringify({ username, password });
  const login = await fetch(`${origin}/api/auth/`, { method: 'POST', headers, body, tls });
  const cookie = login.headers
    .getSetCookie()
    .map((field) => field.split(';', 1).join(''))
    .join('; ');
  const session = { ...headers, Cookie: cookie };
  const scope = JSON.stringify({ scope: 'registry.token.issue' });
  await fetch(`${origin}/api/auth/grant/registry-cli`, { method: 'PUT', headers: session, body: scope, tls });
  const page = `${verificationUri}?code=${userCode}&g_continue`;
  const done = await fetch(page, { headers: session, redirect: 'manual', tls });
  if (!done.headers.get('location')?.includes('deviceComplete'))
    throw new Error(`${username} was not let in: ${done.status} ${done.headers.get('location')}`);
}
