/** The configurations that `dev` writes are real ones. */
import { expect, test } from 'bun:test';
import { writeFileSync } from 'node:fs';
import { parse } from 'yaml';
import { loadConfiguration } from '../../src/config/load.ts';
import { renderRegistryConfiguration, renderServiceConfiguration } from '../../src/dev/configurations.ts';
import { parseLoopbackAddress } from '../../src/dev/loopback.ts';
import { createTemporaryFolder } from '../support/processes.ts';

function address(text: string) {
  const parsed = parseLoopbackAddress(text);
  if (parsed === null) throw new Error(`${text} is no address`);
  return parsed;
}

test.each(['127.0.0.1:18085', '[::1]:18085', 'localhost:18085'])(
  'the service configuration for %s has no mistake and takes proofs alone',
  async (text) => {
    await using folder = await createTemporaryFolder();
    const addresses = {
      service: address(text),
      authority: address('127.0.0.1:18086'),
      registry: address('127.0.0.1:15000'),
    };
    writeFileSync(folder.at('registry-token.yaml'), renderServiceConfiguration(addresses));
    const { configuration } = loadConfiguration(folder.at('registry-token.yaml'), {});
    expect(configuration.server.listen).toEqual({ host: addresses.service.host, port: 18085 });
    expect(configuration.authority?.issuer).toBe('http://127.0.0.1:18086');
    expect(configuration.registry.realm).toEqual(['http://localhost:18085/token', `http://${text}/token`]);
    expect(configuration.senderConstraint.accept).toEqual(['dpop']);
  },
);

test('the registry configuration trusts the issuer, service and certificate that it is given', () => {
  const addresses = {
    service: address('127.0.0.1:18085'),
    authority: address('127.0.0.1:18086'),
    registry: address('127.0.0.1:15000'),
  };
  const text = renderRegistryConfiguration(addresses, {
    issuer: 'an issuer: "quoted"',
    service: 'registry.localhost',
    certificate: '/tmp/a #b: "c"/registry-signing.crt',
    storage: '/tmp/a #b: "c"/registry',
  });
  expect(parse(text)).toMatchObject({
    storage: { filesystem: { rootdirectory: '/tmp/a #b: "c"/registry' } },
    http: { addr: '127.0.0.1:15000' },
    auth: {
      token: {
        realm: 'http://127.0.0.1:18085/token',
        service: 'registry.localhost',
        issuer: 'an issuer: "quoted"',
        rootcertbundle: '/tmp/a #b: "c"/registry-signing.crt',
      },
    },
  });
});
