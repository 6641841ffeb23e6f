/** The parameters of a token request: the query on GET, the form on POST. */
import { BodyTooLarge, readBody } from '../platform/bounded-body.ts';
import { settleWithin } from '../platform/wait.ts';
import { Refusal } from '../refusal.ts';

const MAX_BODY_BYTES = 64 * 1024;
/** How long a body may take: the configuration that decides is that of its end. */
const MAX_BODY_MS = 10_000;
const FORM = 'application/x-www-form-urlencoded';

/**
 * Reads the parameters from the query of a GET or the form of a POST. Throws `malformed-request` for a body that is not a
 * form (415), is larger than 64 KiB (413), ends early, takes longer than `maxBodyMs`, or is not UTF-8.
 */
export async function readParameters(
  request: Request,
  maxBodyMs: number = MAX_BODY_MS,
): Promise<URLSearchParams> {
  if (request.method !== 'POST') return new URLSearchParams(queryOf(request.url));
  const mediaType = request.headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase();
  if (mediaType !== FORM)
    throw new Refusal('malformed-request', `The body of a POST must be ${FORM}.`, {
      httpFault: 'media-type',
    });
  return new URLSearchParams(await readText(request, maxBodyMs));
}

/** The value of a parameter that must not be repeated; undefined if it is absent or empty. */
export function singleParameter(parameters: URLSearchParams, name: string): string | undefined {
  const values = parameters.getAll(name);
  if (values.length > 1) throw new Refusal('malformed-request', `The parameter ${name} is repeated.`);
  return values[0] === '' ? undefined : values[0];
}

/** The part after the `?`. Not parsed as a URL, because its host is whatever the client sent as Host header. */
function queryOf(url: string): string {
  const mark = url.indexOf('?');
  return mark === -1 ? '' : url.slice(mark + 1);
}

async function readText(request: Request, maxMs: number): Promise<string> {
  if (Number(request.headers.get('content-length') ?? 0) > MAX_BODY_BYTES) throw tooLarge();
  const body = await readBytes(request, maxMs);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw new Refusal('malformed-request', 'The body is not UTF-8.');
  }
}

async function readBytes(request: Request, maxMs: number): Promise<Uint8Array> {
  try {
    return await settleWithin(maxMs, readBody(request, MAX_BODY_BYTES), () => {
      throw new Refusal('malformed-request', `The body took longer than ${maxMs / 1000} s.`, {
        closesConnection: true,
      });
    });
  } catch (cause) {
    if (cause instanceof Refusal) throw cause;
    if (cause instanceof BodyTooLarge) throw tooLarge();
    throw new Refusal('malformed-request', 'The body ended early.');
  }
}

function tooLarge(): Refusal {
  return new Refusal('malformed-request', `The body is larger than ${MAX_BODY_BYTES} bytes.`, {
    httpFault: 'body-too-large',
  });
}
