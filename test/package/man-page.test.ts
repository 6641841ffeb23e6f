/** registry-token(1), as mandoc reads it, against the help of the commands. */
import { expect, setDefaultTimeout, test } from 'bun:test';
import { describeCommands } from '../../etc/package/commands.ts';
import { renderManPage } from '../../etc/package/man-page.ts';
import { describeRelease } from '../../etc/package/release.ts';
import { describeWith } from '../support/debian-parts.ts';
import { run, runOrFail } from '../support/processes.ts';

setDefaultTimeout(30_000);

const commands = await describeCommands();
const release = describeRelease({
  base: '1.2.3',
  commit: 'abcdef012345',
  epoch: 1_700_000_000,
  tags: ['v1.2.3'],
  reachableTags: ['v1.2.3'],
  isDirty: false,
  changelog: '## [1.2.3] - 2023-11-14\n',
});
const page = renderManPage(commands, release);

/** Without what a page sets differently: spaces, line ends, and hyphens at them. */
const words = (text: string) => text.replace(/\s+/g, '');

describeWith(['mandoc'], 'the manual page', () => {
  test('has nothing that mandoc warns of', async () => {
    expect(await run(['mandoc', '-Tlint', '-Wwarning'], { input: page })).toEqual({
      exitCode: 0,
      stdout: '',
      stderr: '',
    });
  });

  test('says every word that the help of each command says, in its order', async () => {
    const shown = words(await runOrFail(['mandoc', '-Tutf8', '-Owidth=500'], { input: page }).then(plain));
    for (const { summary, help } of commands) {
      expect(shown).toContain(words(summary));
      expect(shown).toContain(words(help));
    }
  });

  test('names its version and the day of its commit', async () => {
    const shown = await runOrFail(['mandoc', '-Tutf8'], { input: page }).then(plain);
    expect(shown).toContain('registry-token 1.2.3');
    expect(shown).toContain('2023-11-14');
  });
});

/** Bold and underlined letters are overstruck on a terminal. */
function plain(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: backspace is what overstrikes.
  return text.replace(/.\u0008/g, '');
}
