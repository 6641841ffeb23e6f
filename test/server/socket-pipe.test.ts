/** One direction of a carried connection: nothing is lost, doubled or turned round, and what waits stays small. */
import { describe, expect, test } from 'bun:test';
import { SocketPipe } from '../../src/server/tls-tunnel.ts';

/** A sink that takes so many bytes of each write, in turn; everything when they are used up. */
function createSink(...takes: number[]) {
  const taken: number[] = [];
  return {
    taken,
    write: (bytes: Uint8Array): number => {
      const count = takes.shift() ?? bytes.length;
      taken.push(...bytes.subarray(0, Math.max(count, 0)));
      return count;
    },
  };
}

function createSource() {
  const source = { isPaused: false, pause: () => {}, resume: () => {} };
  source.pause = () => {
    source.isPaused = true;
  };
  source.resume = () => {
    source.isPaused = false;
  };
  return source;
}

describe('a flow', () => {
  test('passes on at once what its sink takes, and lets its source go on', () => {
    const [source, sink] = [createSource(), createSink()];
    const flow = new SocketPipe(source, sink);
    flow.push(Uint8Array.of(1, 2, 3));
    flow.push(Uint8Array.of(4));
    expect(sink.taken).toEqual([1, 2, 3, 4]);
    expect([source.isPaused, flow.isWaiting]).toEqual([false, false]);
  });

  test('pauses its source while anything waits, and keeps the order', () => {
    const [source, sink] = [createSource(), createSink(1, 0, 2)];
    const flow = new SocketPipe(source, sink);
    flow.push(Uint8Array.of(1, 2, 3));
    flow.push(Uint8Array.of(4, 5));
    expect([source.isPaused, flow.isWaiting, sink.taken]).toEqual([true, true, [1]]);
    flow.drain();
    expect([source.isPaused, flow.isWaiting, sink.taken]).toEqual([true, true, [1]]);
    flow.drain();
    expect([source.isPaused, flow.isWaiting, sink.taken]).toEqual([true, true, [1, 2, 3]]);
    flow.drain();
    expect([source.isPaused, flow.isWaiting, sink.taken]).toEqual([false, false, [1, 2, 3, 4, 5]]);
  });

  test('loses nothing where the sink says -1: it is closed, or full', () => {
    const sink = createSink(-1);
    const flow = new SocketPipe(createSource(), sink);
    flow.push(Uint8Array.of(1, 2));
    flow.drain();
    expect(sink.taken).toEqual([1, 2]);
  });

  test('keeps what comes before its sink is there', () => {
    const [source, sink] = [createSource(), createSink()];
    const flow = new SocketPipe(source, null);
    flow.push(Uint8Array.of(1));
    flow.push(Uint8Array.of(2));
    flow.drain();
    expect([source.isPaused, flow.isWaiting]).toEqual([true, true]);
    flow.openSink(sink);
    expect([source.isPaused, flow.isWaiting, sink.taken]).toEqual([false, false, [1, 2]]);
  });

  test('is not changed by who uses the buffer again', () => {
    for (const sink of [createSink(1), null]) {
      const flow = new SocketPipe(createSource(), sink);
      const buffer = Uint8Array.of(1, 2, 3);
      flow.push(buffer);
      buffer.fill(9);
      const rest = createSink();
      flow.openSink(rest);
      expect(rest.taken).toEqual(sink === null ? [1, 2, 3] : [2, 3]);
    }
  });
});
