/** Which stock clients a configuration serves: only ways that were seen with the client itself. */
import { expect, test } from 'bun:test';
import { reportClients } from '../../src/check/client-report.ts';
import { loadText, minimum } from '../config/configuration-text.ts';

const proxy = { trustedProxies: ['127.0.0.1/32'] };
const realm = 'https://registry.example.com/token';

interface Case {
  readonly title: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly host?: string;
  /** Of clients, and whether they are served without the agent. */
  readonly expected: Readonly<Record<string, 'yes' | 'agent'>>;
}

const cases: readonly Case[] = [
  {
    title: 'bearer OpToks: every client, by password',
    settings: { senderConstraint: { accept: ['dpop', 'none'] } },
    expected: { docker: 'yes', podman: 'yes', containerd: 'yes', helm: 'yes' },
  },
  {
    title: 'DPoP alone: every client by the agent',
    settings: { server: proxy, senderConstraint: { accept: ['dpop'] } },
    expected: { docker: 'agent', podman: 'agent', containerd: 'agent', helm: 'agent' },
  },
  {
    title: 'mTLS that no certificate reaches: every client by the agent',
    settings: { senderConstraint: { accept: ['mtls'] } },
    expected: { docker: 'agent', podman: 'agent', containerd: 'agent', helm: 'agent' },
  },
  {
    title: 'mTLS behind a proxy: those that show a certificate to the realm',
    settings: { server: proxy },
    host: 'registry.example.com',
    expected: {
      'graph driver': 'yes',
      'docker before 29.5': 'agent',
      'docker from 29.5': 'yes',
      'docker build': 'agent',
      podman: 'yes',
      containerd: 'yes',
      buildctl: 'yes',
      crane: 'agent',
      oras: 'yes',
    },
  },
  {
    title: 'a registry on another host: not oras and helm, which show no certificate there',
    settings: { server: proxy },
    host: 'images.example.com',
    expected: { oras: 'agent', helm: 'agent', regctl: 'yes' },
  },
  {
    title: 'a registry on loopback: not docker, which shows no certificate there',
    settings: { server: proxy, registry: { realm: 'https://127.0.0.1:8443/token' } },
    expected: { 'graph driver': 'agent', podman: 'yes' },
  },
];

test.each(cases)('$title', ({ settings, host, expected }) => {
  const text = JSON.stringify({ ...minimum, registry: { realm }, ...settings });
  const report = reportClients(loadText(text).configuration, host ?? null);
  for (const [client, served] of Object.entries(expected)) {
    const rows = report.filter(({ clients }) => clients.includes(client));
    expect({ client, served: rows.map((row) => row.served).at(0) }).toEqual({ client, served });
  }
});

test('names the host that certificates are kept for: of the registry where it is known, else of the realm', () => {
  const { configuration } = loadText(JSON.stringify({ ...minimum, registry: { realm }, server: proxy }));
  const howOf = (host: string | null) => reportClients(configuration, host).map(({ how }) => how);
  expect(howOf('images.example.com:5000').join('\n')).toContain('certs.d/images.example.com:5000,');
  expect(howOf(null).join('\n')).toContain('certs.d/registry.example.com,');
});
