/** The other side of OTLP's http/protobuf: reads what is posted by the wire format of protobuf and OTLP's field numbers. */

export interface OtlpPoint {
  readonly attributes: Readonly<Record<string, string>>;
  /** Of a sum or gauge; of a histogram how many were observed. */
  readonly value: number;
}

export interface OtlpExport {
  readonly headers: Headers;
  readonly path: string;
  readonly resource: Readonly<Record<string, string>>;
  readonly metrics: ReadonlyMap<string, readonly OtlpPoint[]>;
}

export interface OtlpReceiver extends AsyncDisposable {
  readonly url: string;
  readonly exports: readonly OtlpExport[];
  /** What it answers from now on: a status, or nothing at all. */
  readonly setAnswer: (answer: number | 'silence') => void;
}

export function startOtlpReceiver(): OtlpReceiver {
  const exports: OtlpExport[] = [];
  let answer: number | 'silence' = 200;
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 0,
    fetch: async (request) => {
      const body = await request.bytes();
      if (answer === 'silence') return new Promise<Response>(() => {});
      if (answer === 200)
        exports.push({ headers: request.headers, path: new URL(request.url).pathname, ...parse(body) });
      return new Response(null, { status: answer });
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    exports,
    setAnswer: (next) => {
      answer = next;
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

type Fields = ReadonlyMap<number, readonly (Uint8Array | bigint)[]>;

/** opentelemetry/proto/collector/metrics/v1 and metrics/v1. */
function parse(body: Uint8Array): Pick<OtlpExport, 'resource' | 'metrics'> {
  const metrics = new Map<string, OtlpPoint[]>();
  let resource: OtlpExport['resource'] = {};
  for (const resourceMetrics of messages(readFields(body), 1)) {
    for (const about of messages(resourceMetrics, 1)) resource = attributesOf(about, 1);
    for (const metric of messages(resourceMetrics, 2).flatMap((scope) => messages(scope, 2))) {
      const [gauge, sum, histogram] = [5, 7, 9].map((field) => messages(metric, field));
      const points = [...(gauge ?? []), ...(sum ?? [])].flatMap((data) => messages(data, 1)).map(numberPoint);
      const counted = (histogram ?? []).flatMap((data) => messages(data, 1)).map(histogramPoint);
      metrics.set(textOf(metric, 1), [...points, ...counted]);
    }
  }
  return { resource, metrics };
}

function numberPoint(point: Fields): OtlpPoint {
  const [double] = point.get(4) ?? [];
  const [whole] = point.get(6) ?? [];
  const bits = new DataView(new ArrayBuffer(8));
  bits.setBigUint64(0, BigInt(double instanceof Uint8Array ? 0 : (double ?? 0)));
  return {
    attributes: attributesOf(point, 7),
    value: double === undefined ? Number(whole ?? 0) : bits.getFloat64(0),
  };
}

function histogramPoint(point: Fields): OtlpPoint {
  return { attributes: attributesOf(point, 9), value: Number(point.get(4)?.[0] ?? 0) };
}

/** KeyValue with string values. */
function attributesOf(message: Fields, field: number): Record<string, string> {
  return Object.fromEntries(
    messages(message, field).map((pair) => [
      textOf(pair, 1),
      messages(pair, 2)
        .map((value) => textOf(value, 1))
        .join(),
    ]),
  );
}

function messages(fields: Fields, field: number): Fields[] {
  return (fields.get(field) ?? []).flatMap((value) =>
    value instanceof Uint8Array ? [readFields(value)] : [],
  );
}

function textOf(fields: Fields, field: number): string {
  const [value] = fields.get(field) ?? [];
  return value instanceof Uint8Array ? new TextDecoder().decode(value) : '';
}

/** protobuf.dev/programming-guides/encoding: varint, 64 bits, length-delimited, 32 bits. */
function readFields(bytes: Uint8Array): Fields {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields = new Map<number, (Uint8Array | bigint)[]>();
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = view.getUint8(at);
      at += 1;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const values = fields.get(tag >> 3) ?? [];
    fields.set(tag >> 3, values);
    if ((tag & 7) === 0) values.push(varint());
    else if ((tag & 7) === 2) {
      const length = Number(varint());
      values.push(bytes.subarray(at, at + length));
      at += length;
    } else {
      const length = (tag & 7) === 1 ? 8 : 4;
      values.push(length === 8 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true)));
      at += length;
    }
  }
  return fields;
}
