/** Which ends of certificates are told, and when again. */
import { describe, expect, test } from 'bun:test';
import { describeEnd, EndReminder, groupByFile } from '../../src/status/certificates.ts';
import type { CertificateState } from '../../src/status/snapshot.ts';

const NOW = 1_800_000_000;
const DAY = 86_400;

function certificate(days: number, more: Partial<CertificateState> = {}): CertificateState {
  return {
    use: 'tls',
    key: 'server.tls.certPath',
    file: '/etc/registry-token/tls.pem',
    subject: 'registry.example.com',
    endsAt: NOW + days * DAY,
    ...more,
  };
}

const clientCa = { use: 'client-ca', key: 'server.tls.clientCaPath' } as const;

describe('a certificate', () => {
  test.each([
    [31, 'ok'],
    [30, 'ok'],
    [29.9, 'warning'],
    [0.1, 'warning'],
    [0, 'error'],
    [-1, 'error'],
  ])('that ends in %d days is %s', (days, state) => {
    expect(groupByFile([certificate(days)], NOW)[0]?.state).toBe(state as 'ok');
  });

  test('that has ended among other authorities of clients is a warning; all of them an error', () => {
    const states = (...days: number[]) =>
      groupByFile(
        days.map((each) => certificate(each, clientCa)),
        NOW,
      ).map(({ state }) => state);
    expect(states(-1, 400)).toEqual(['warning']);
    expect(states(-1, -2)).toEqual(['error']);
  });

  test('is described with its name, its file, when it ends, and what follows', () => {
    const [soon, past] = [certificate(12.5), certificate(-0.5)].map((each) => groupByFile([each], NOW)[0]);
    expect(soon && describeEnd(soon)).toBe(
      'The certificate registry.example.com in /etc/registry-token/tls.pem ends on 2027-01-27T20:00:00Z, in 12 days; then clients refuse to connect.',
    );
    expect(past && describeEnd(past)).toContain('ended on 2027-01-14T20:00:00Z: clients refuse to connect.');
  });
});

describe('an end', () => {
  const due = (reminder: EndReminder, certificates: readonly CertificateState[], now: number) =>
    reminder.due(groupByFile(certificates, now), now).map(({ state }) => state);

  test('is told at once, then once a day however often one looks, and at once when it has come', () => {
    const reminder = new EndReminder();
    const certificates = [certificate(2)];
    const told: [number, string][] = [];
    for (let now = NOW; now < NOW + 3 * DAY; now += 3600)
      for (const state of due(reminder, certificates, now)) told.push([(now - NOW) / 3600, state]);
    expect(told).toEqual([
      [0, 'warning'],
      [24, 'warning'],
      [48, 'error'],
    ]);
  });

  test('is told after the clock was set back by more than a day, and not twice after a small step', () => {
    const reminder = new EndReminder();
    const certificates = [certificate(20)];
    expect(due(reminder, certificates, NOW)).toEqual(['warning']);
    expect(due(reminder, certificates, NOW - 600)).toEqual([]);
    expect(due(reminder, certificates, NOW - 2 * DAY)).toEqual(['warning']);
  });

  test('of a renewed certificate is told as that of a new one', () => {
    const reminder = new EndReminder();
    due(reminder, [certificate(20)], NOW);
    expect(due(reminder, [certificate(21)], NOW)).toEqual(['warning']);
    expect(due(reminder, [certificate(400)], NOW)).toEqual([]);
  });
});
