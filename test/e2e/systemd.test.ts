/** The unit as systemd's own analyzers see it, and what the process tells a service manager. */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { chmod, copyFile, cp } from 'node:fs/promises';
import { describeWith } from '../support/debian-parts.ts';
import { listenForNotifications } from '../support/notify-receiver.ts';
import { createTemporaryFolder, findFreePort, run, runOrFail, start } from '../support/processes.ts';
import { serviceCommand } from '../support/running-service.ts';

setDefaultTimeout(60_000);

const etc = new URL('../../etc', import.meta.url).pathname;
const unit = `${etc}/systemd/registry-token.service`;
const folder = await createTemporaryFolder();
afterAll(() => folder[Symbol.asyncDispose]());

/** The most that `systemd-analyze security` may say, of 10. */
const EXPOSURE = 1.5;

describeWith(['systemd-analyze'], 'the unit', () => {
  test('has nothing that systemd does not know or that is missing', async () => {
    // The program that it starts must be there: a copy of the unit names one that is.
    const text = await Bun.file(unit).text();
    await Bun.write(folder.at('program'), '#!/bin/sh\n');
    await chmod(folder.at('program'), 0o755);
    const copy = folder.at('registry-token.service');
    await Bun.write(copy, text.replace('=/usr/bin/registry-token ', `=${folder.at('program')} `));
    const verified = await run(['systemd-analyze', 'verify', '--man=no', copy]);
    expect(verified).toEqual({ exitCode: 0, stdout: '', stderr: '' });
  });

  test(`exposes at most ${EXPOSURE} of 10`, async () => {
    const command = ['systemd-analyze', 'security', '--offline=true', '--no-pager', unit];
    const rating = /exposure level for \S+: ([\d.]+)/.exec(await runOrFail(command))?.[1];
    expect(Number(rating)).toBeGreaterThan(0);
    expect(Number(rating)).toBeLessThanOrEqual(EXPOSURE);
  });
});

describe('a service that a manager started', () => {
  test('tells it of a certificate that ends soon, also when a reload brings it', async () => {
    const own = folder.at('ending');
    await cp(etc, own, { recursive: true });
    const keygen = (days: string) =>
      runOrFail([...serviceCommand, 'keygen', '--out', own, '--force', '--days', days]);
    await keygen('400');
    const notify = folder.at('notify-ending');
    using receiver = listenForNotifications(notify);
    const listen = `127.0.0.1:${await findFreePort()}`;
    const config = `${own}/registry-token.yaml`;
    await using service = start([...serviceCommand, 'serve', '--config', config, '--listen', listen], {
      env: {
        NOTIFY_SOCKET: notify,
        REGISTRY_TOKEN_SIGNING__KEY_PATH: 'registry-signing.pem',
        REGISTRY_TOKEN_SIGNING__CERTIFICATE_PATH: 'registry-signing.crt',
      },
    });
    const ready = await receiver.waitFor('READY=1');
    expect(receiver.received()[ready]?.STATUS).toBe(`listening on http://${listen}`);
    await keygen('20');
    const reloading = await receiver.waitFor('RELOADING=1', ready + 1);
    const ready2 = await receiver.waitFor('READY=1', reloading + 1);
    expect(receiver.received()[ready2]?.STATUS).toMatch(
      /^listening on \S+; The certificate registry-token signing in \S+registry-signing\.crt ends on \S+, in (?:19|20) days; then registries refuse/,
    );
    expect(service.stderr()).toMatch(/a certificate ends soon/);
  });

  test('tells it of its start, its reloads and its end, and beats while it runs', async () => {
    const own = folder.at('etc');
    await cp(etc, own, { recursive: true });
    const notify = folder.at('notify');
    using receiver = listenForNotifications(notify);
    const listen = `127.0.0.1:${await findFreePort()}`;
    const config = `${own}/registry-token.yaml`;
    await using service = start([...serviceCommand, 'serve', '--config', config, '--listen', listen], {
      env: { NOTIFY_SOCKET: notify, WATCHDOG_USEC: '200000' },
    });

    const status = `listening on http://${listen}`;
    const ready = await receiver.waitFor('READY=1');
    expect(receiver.received()[ready]).toEqual({ READY: '1', STATUS: status });
    expect((await fetch(`http://${listen}/healthz`)).status).toBe(200);
    const beat = await receiver.waitFor('WATCHDOG=1');
    await receiver.waitFor('WATCHDOG=1', beat + 1);

    service.signal('SIGHUP');
    const reloading = await receiver.waitFor('RELOADING=1', ready + 1);
    const ready2 = await receiver.waitFor('READY=1', reloading + 1);
    expect(receiver.received()[ready2]?.STATUS).toBe(status);
    expect(Number(receiver.received()[reloading]?.MONOTONIC_USEC)).toBeGreaterThan(0);

    await Bun.write(config, 'server: 7\n');
    service.signal('SIGHUP');
    const ready3 = await receiver.waitFor('READY=1', ready2 + 1);
    expect(receiver.received()[ready3]?.STATUS).toContain('the last reload failed');

    service.signal('SIGTERM');
    expect(await service.exited).toBe(0);
    const stopping = await receiver.waitFor('STOPPING=1', ready3 + 1);
    expect(receiver.received()[stopping]?.STATUS).toBe('stopping');
    expect(receiver.received().some(({ READY }, index) => index > stopping && READY === '1')).toBe(false);
    expect(service.stderr()).not.toContain('NOTIFY_SOCKET');
  });

  test('warns once of a notify socket that is missing, and serves', async () => {
    const listen = `127.0.0.1:${await findFreePort()}`;
    const config = `${etc}/registry-token.yaml`;
    await using service = start([...serviceCommand, 'serve', '--config', config, '--listen', listen], {
      env: { NOTIFY_SOCKET: folder.at('missing'), WATCHDOG_USEC: '50000' },
    });
    await service.waitForStatus(`http://${listen}/healthz`, 200);
    service.signal('SIGHUP');
    await service.waitForLine(/"message":"reloaded"/);
    expect(await service.stop()).toBe(0);
    expect(service.stderr().match(/NOTIFY_SOCKET/g)).toHaveLength(1);
  });

  test('reads the key from the folder of credentials, and once more when told to reload', async () => {
    const credentials = await createTemporaryFolder();
    await using _removed = credentials;
    await copyFile(`${etc}/registry-signing-sample.pem`, credentials.at('signing.pem'));
    await chmod(credentials.at('signing.pem'), 0o400);
    await chmod(credentials.path, 0o500);
    const listen = `127.0.0.1:${await findFreePort()}`;
    const config = `${etc}/registry-token.yaml`;
    await using service = start([...serviceCommand, 'serve', '--config', config, '--listen', listen], {
      env: { REGISTRY_TOKEN_SIGNING__KEY_PATH: credentials.at('signing.pem') },
    });
    await service.waitForStatus(`http://${listen}/healthz`, 200);
    service.signal('SIGHUP');
    await service.waitForLine(/"message":"reloaded"/);
    expect(await service.stop()).toBe(0);
    await chmod(credentials.path, 0o700);
  });
});
