/** The end of each certificate that a configuration names: told in the log, over reloads and steps of the clock. */
import { afterAll, expect, test } from 'bun:test';
import { describeWith } from '../support/debian-parts.ts';
import { runOrFail } from '../support/processes.ts';
import { createInstallation } from './installation.ts';

const DAY = 86_400;
const site = await createInstallation();
// Certificates begin when they are made: whole days from this clock are never at their edge.
site.clock.now += 3600;
afterAll(() => site[Symbol.asyncDispose]());

async function createCertificate(name: string, days: number): Promise<void> {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${name}.pem`];
  const files = ['-out', `${name}.crt`, '-days', String(days), '-subj', `/CN=${name}`];
  await runOrFail(['openssl', 'req', '-x509', ...key, ...files], { cwd: site.folder.path });
}

function told(from: number) {
  return site.logLines
    .slice(from)
    .filter(({ message }) => /^a certificate (?:ends soon|has ended)$/.test(String(message)))
    .map(({ level, key, subject, days }) => ({ level, key, subject, days }));
}

describeWith(['openssl'], 'the log', () => {
  test('tells of each certificate that ends within 30 days, at the start, once a day, and as an error once it has ended', async () => {
    for (const name of ['signing-soon', 'tls-soon', 'clients', 'corporate', 'next'])
      await createCertificate(name, 20);
    await createCertificate('long', 400);
    const start = site.clock.now;
    site.configure({
      server: {
        listen: '127.0.0.1:8085',
        tls: { certPath: 'tls-soon.crt', keyPath: 'tls-soon.pem', clientCaPath: 'clients.crt' },
      },
      authority: { caPath: 'corporate.crt' },
      signing: {
        keyPath: 'signing-soon.pem',
        certificatePath: 'signing-soon.crt',
        additionalKeys: ['next.crt', 'long.crt'],
      },
    });
    const runtime = await site.open();
    try {
      let from = site.logLines.length;
      runtime.logWarnings();
      const keys = [
        ['signing.certificatePath', 'signing-soon'],
        ['signing.additionalKeys.0', 'next'],
        ['server.tls.certPath', 'tls-soon'],
        ['server.tls.clientCaPath', 'clients'],
        ['authority.caPath', 'corporate'],
      ];
      expect(told(from)).toEqual(keys.map(([key, subject]) => ({ level: 'warn', key, subject, days: 19 })));

      from = site.logLines.length;
      runtime.watchCertificates();
      site.clock.now = start + DAY - 10;
      runtime.watchCertificates();
      expect(told(from)).toEqual([]);
      site.clock.now = start + DAY;
      runtime.watchCertificates();
      expect(told(from)).toHaveLength(keys.length);

      from = site.logLines.length;
      site.clock.now = start + 20 * DAY + 60;
      runtime.watchCertificates();
      expect(told(from).map(({ level, subject }) => [level, subject])).toEqual(
        keys.map(([, subject]) => ['error', subject]),
      );
      const { certificates } = await runtime.snapshot();
      expect(certificates.map(({ key }) => key)).toEqual([
        'signing.certificatePath',
        'signing.additionalKeys.0',
        'signing.additionalKeys.1',
        'server.tls.certPath',
        'server.tls.clientCaPath',
        'authority.caPath',
      ]);
    } finally {
      site.clock.now = start;
      await runtime.close();
    }
  });

  test('tells no more of a certificate that a reload has replaced, and at once of a new one that ends soon', async () => {
    await createCertificate('first', 20);
    await createCertificate('second', 400);
    await createCertificate('third', 10);
    const use = (name: string) =>
      site.configure({ signing: { keyPath: `${name}.pem`, certificatePath: `${name}.crt` } });
    const start = site.clock.now;
    use('first');
    const runtime = await site.open();
    try {
      runtime.logWarnings();
      use('second');
      let from = site.logLines.length;
      expect(await runtime.reloadAndLog()).toBe(true);
      site.clock.now = start + 2 * DAY;
      runtime.watchCertificates();
      expect(told(from)).toEqual([]);
      expect(runtime.endingCertificates).toEqual([]);
      site.clock.now = start;
      use('third');
      from = site.logLines.length;
      expect(await runtime.reloadAndLog()).toBe(true);
      expect(told(from)).toEqual([
        { level: 'warn', key: 'signing.certificatePath', subject: 'third', days: 9 },
      ]);
    } finally {
      site.clock.now = start;
      await runtime.close();
    }
  });
});
