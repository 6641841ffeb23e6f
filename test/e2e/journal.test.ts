/** systemd's journal: a line begins with its priority where standard error is the journal, as systemd says it is. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { findFreePort, start } from '../support/processes.ts';
import { words } from '../support/service-process.ts';

setDefaultTimeout(30_000);

const sample = new URL('../../etc/registry-token.yaml', import.meta.url).pathname;

/** Standard error is a pipe: what systemd's socket would have there as device and inode is that pipe's. */
const asJournal = 'export JOURNAL_STREAM=$(stat --dereference --format=%d:%i /proc/self/fd/2)';
const asAnother = 'export JOURNAL_STREAM=8:$(stat --dereference --format=%i /proc/self/fd/2)';

/** The lines of a start and a stop. */
async function linesAfter(setting: string): Promise<string[]> {
  const port = await findFreePort();
  const serve = [...words, 'serve', '--config', sample, '--listen', `127.0.0.1:${port}`];
  await using child = start(['bash', '-c', `${setting}; exec "$@"`, 'bash', ...serve]);
  await child.waitForStatus(`http://127.0.0.1:${port}/healthz`, 200);
  await child.waitForLine(/"ready"/);
  expect(await child.stop()).toBe(0);
  return child.stderr().trimEnd().split('\n');
}

test('each line has its priority there, and is JSON behind it', async () => {
  const lines = await linesAfter(asJournal);
  expect(lines.length).toBeGreaterThan(2);
  const priorities = { info: '<6>', warn: '<4>', error: '<3>' };
  for (const line of lines) {
    const { level } = JSON.parse(line.slice(3)) as { level: keyof typeof priorities };
    expect(line.slice(0, 3)).toBe(priorities[level]);
  }
});

test.each([
  ['a stream that is none', asAnother],
  ['no stream', 'unset JOURNAL_STREAM'],
  ['nonsense', 'export JOURNAL_STREAM=journal'],
])('and none with %s', async (_, setting) => {
  for (const line of await linesAfter(setting)) expect(line).toStartWith('{');
});
