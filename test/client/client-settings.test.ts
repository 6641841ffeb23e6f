/** What OpToks are bound by, where the settings say so and where the Authority's metadata decide. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import {
  type ClientDependencies,
  type ClientSettings,
  openClient,
} from '../../src/client/client-settings.ts';
import { type ClientSite, createClientSite } from '../support/client-profiles.ts';
import { describeWith } from '../support/debian-parts.ts';

const dependencies: ClientDependencies = {
  env: {},
  clock: () => Date.now() / 1000,
  pause: Bun.sleep,
  onNewKey: () => {},
  warn: () => {},
};

describeWith(['openssl'], 'an Authority that binds to certificates without saying so', () => {
  let site: ClientSite;
  beforeEach(async () => {
    site = await createClientSite();
  });
  afterEach(async () => {
    await site[Symbol.asyncDispose]();
  });

  const settings = (own: Partial<ClientSettings>): ClientSettings => ({
    source: {
      kind: 'authority',
      authority: site.authority.url,
      clientId: 'node-1',
      authenticationMethod: null,
      secretPath: null,
      clientKeyPath: null,
      clientKeyId: null,
      assertionAudience: null,
      scope: '',
      resources: [],
      audience: null,
    },
    bind: null,
    certificate: { certPath: site.folder.at('client.crt'), keyPath: site.folder.at('client.pem') },
    caPath: null,
    dpopKeyPath: null,
    ...own,
  });
  const request = (own: Partial<ClientSettings>) =>
    openClient(settings(own), 'ourselves', dependencies).requestOpTok();
  const proofs = () => site.authority.heardAt('/token').map(({ headers }) => headers.has('dpop'));

  test('is sent no proof where bind is certificate, also with a DPoP key', async () => {
    for (const dpopKeyPath of [null, site.folder.at('dpop.pem')]) {
      const opTok = await request({ bind: 'certificate', dpopKeyPath });
      expect(opTok).toMatchObject({ dpopKey: null, isBearer: false });
    }
    expect(proofs()).toEqual([false, false]);
  });

  test('is asked by DPoP where nothing is said, and its certificate-bound answer is taken', async () => {
    expect(await request({})).toMatchObject({ dpopKey: null, isBearer: false });
    expect(proofs()).toEqual([true]);
  });

  test('bind: certificate without a certificate is refused before anything is sent', () => {
    expect(() =>
      openClient(settings({ bind: 'certificate', certificate: null }), 'ourselves', dependencies),
    ).toThrow('bind is certificate, and there is no certificate');
    expect(() => openClient(settings({ bind: 'dpop' }), 'stock client', dependencies)).toThrow(
      'only this program can make proofs',
    );
    expect(proofs()).toEqual([]);
  });
});
