/** A clock that a test moves, for the processes that have its environment: Debian's libfaketime between them and libc. */
import { renameSync, writeFileSync } from 'node:fs';
import { createTemporaryFolder } from './processes.ts';

export interface MovableClock extends AsyncDisposable {
  /** A process with it reads this clock, and passes it on to those that it starts. Go programs ask the kernel instead. */
  readonly environment: Readonly<Record<string, string>>;
  /** How far it is ahead of the clock on the wall, in whole seconds; negative: behind. At first 0. */
  readonly move: (offset: number) => void;
}

export async function createMovableClock(): Promise<MovableClock> {
  const folder = await createTemporaryFolder();
  const file = folder.at('offset');
  const move = (offset: number) => {
    writeFileSync(`${file}.new`, `${offset < 0 ? '' : '+'}${offset}\n`);
    renameSync(`${file}.new`, file);
  };
  move(0);
  return {
    environment: {
      // ld.so puts the machine's own folder of libraries in the place of $LIB.
      LD_PRELOAD: '/usr/$LIB/faketime/libfaketimeMT.so.1',
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      // Waiting takes as long as ever, and files have the times that they have.
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      NO_FAKE_STAT: '1',
    },
    move,
    [Symbol.asyncDispose]: folder[Symbol.asyncDispose],
  };
}
