/** A worker whose service says its setup, and ends in whichever way it is asked to. */

import { listen } from '../../src/server/listen.ts';
import { runWorker, type WorkerScope } from '../../src/workers/worker-thread.ts';

declare const self: WorkerScope;

export interface PoolWorkerSetup {
  readonly generation: number;
  readonly thread: number;
  readonly port: number;
  readonly word: string;
}

runWorker<PoolWorkerSetup, string, string>(self, async (setup, main) => {
  if (setup.word === 'cannot start' || (setup.word === 'only the first starts' && setup.thread > 1))
    throw new Error('it was told not to');
  let { word } = setup;
  const listener = listen({
    host: '127.0.0.1',
    port: setup.port,
    sharesPort: true,
    handle: async (request) => {
      const { pathname } = new URL(request.url);
      if (pathname === '/throw') setTimeout(() => void throwLater());
      if (pathname === '/reject') void Promise.reject(new Error('secret-in-a-rejection'));
      if (pathname === '/slow') await Bun.sleep(300);
      if (pathname === '/ask')
        return new Response(String(await main.ask('a question').catch((cause) => cause.message)));
      if (pathname === '/log') main.writeLines(`line of ${setup.thread}\n`, 'decisions');
      return Response.json({ thread: setup.thread, word });
    },
  });
  return {
    listener,
    change: async (next) => {
      if (next.word === 'cannot change') throw new Error('it was told not to');
      // For good, and with its thread.
      if (next.word === 'hangs') await new Promise(() => {});
      if (next.word === 'blocks') for (;;);
      if (next.word === 'slow') await Bun.sleep(500);
      word = next.word;
    },
    hear: (news) => {
      word = news;
    },
    close: async () => main.writeLines(`last line of ${setup.thread}\n`, 'log'),
  };
});

function throwLater(): never {
  throw new Error('secret-in-an-error');
}
