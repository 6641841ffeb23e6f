/** A person's browser as far as the pages of OAuth servers need one: cookies, redirects, and forms that are sent as they came. */

export interface Page {
  readonly url: string;
  readonly status: number;
  readonly html: string;
}

export interface Browser {
  readonly open: (url: string) => Promise<Page>;
  /** Sends the form with this number, from 0 on; `fields` replace what the page has in it. */
  readonly submit: (page: Page, fields?: Readonly<Record<string, string>>, form?: number) => Promise<Page>;
}

const MOST_REDIRECTS = 20;

/** `ca` is PEM; null for the system's authorities. */
export function openBrowser(ca: string | null = null): Browser {
  const cookies = new Map<string, string>();
  const request = async (url: string, form: URLSearchParams | null, redirects = 0): Promise<Page> => {
    const response = await fetch(url, {
      method: form === null ? 'GET' : 'POST',
      headers: { Cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      ...(form === null ? {} : { body: form }),
      redirect: 'manual',
      ...(ca === null ? {} : { tls: { ca } }),
    });
    for (const field of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(field) ?? [];
      if (value === '' || /max-age=0/i.test(field)) cookies.delete(name);
      else cookies.set(name, value);
    }
    const target = response.headers.get('location');
    if (target !== null && redirects < MOST_REDIRECTS) {
      await response.body?.cancel();
      return request(new URL(target, url).href, null, redirects + 1);
    }
    return { url, status: response.status, html: await response.text() };
  };
  return {
    open: (url) => request(url, null),
    submit: (page, fields = {}, number = 0) => {
      const form = formsOf(page)[number];
      if (form === undefined) throw new Error(`${page.url} has no form ${number}:\n${page.html}`);
      return request(form.action, new URLSearchParams({ ...form.fields, ...fields }));
    },
  };
}

function formsOf({ html, url }: Page) {
  return [...html.matchAll(/<form\b([^>]*)>(.*?)<\/form>/gs)].map(([, attributes = '', content = '']) => ({
    action: new URL(attributeOf(attributes, 'action') ?? url, url).href,
    fields: Object.fromEntries(
      [...content.matchAll(/<input\b([^>]*)>/g)].flatMap(([, input = '']) => {
        const name = attributeOf(input, 'name');
        const isSent = attributeOf(input, 'type') !== 'submit' && attributeOf(input, 'type') !== 'checkbox';
        return name === null || !isSent ? [] : [[name, attributeOf(input, 'value') ?? '']];
      }),
    ),
  }));
}

function attributeOf(attributes: string, name: string): string | null {
  const [, value] = new RegExp(`\\b${name}="([^"]*)"`).exec(attributes) ?? [];
  return value === undefined ? null : value.replaceAll('&amp;', '&').replaceAll('&#x3D;', '=');
}
