/** etc/kubernetes/registry-token.yaml: what an API server would take, and a configuration that the service takes. */
import { afterAll, describe, expect, test } from 'bun:test';
import { Deployment } from 'kubernetes-models/apps/v1';
import { ConfigMap, Service } from 'kubernetes-models/v1';
import { parseAllDocuments } from 'yaml';
import { IMAGE_USER } from '../../etc/package/image.ts';
import { check } from '../../src/cli/check.ts';
import { writeCertificate } from '../support/certificates.ts';
import { describeWith } from '../support/debian-parts.ts';
import { createTemporaryFolder } from '../support/processes.ts';
import { runCommand } from '../support/run-command.ts';

const kinds = { ConfigMap, Deployment, Service } as const;
const sample = await Bun.file(new URL('../../etc/kubernetes/registry-token.yaml', import.meta.url)).text();
const objects = new Map(
  parseAllDocuments(sample, { uniqueKeys: true }).map((document) => {
    const object = document.toJS();
    return [object.kind as keyof typeof kinds, object];
  }),
);
const pod = objects.get('Deployment').spec.template.spec;
const [container] = pod.containers;

/** Fields that the schema of this kind does not read, as an API server finds unknown ones. Throws where it is invalid. */
function unknownFields(kind: keyof typeof kinds, object: object): string[] {
  const unread = new Set<string>();
  const watch = <Value>(value: Value, path: string): Value => {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return Array.isArray(value)
        ? (value.map((item, index) => watch(item, `${path}[${index}]`)) as Value)
        : value;
    const children = Object.fromEntries(
      Object.entries(value).map(([key, child]) => [key, watch(child, `${path}.${key}`)]),
    );
    for (const key of Object.keys(value)) unread.add(`${path}.${key}`);
    return new Proxy(children, {
      get: (target, key) => {
        unread.delete(`${path}.${String(key)}`);
        return Reflect.get(target, key);
      },
    }) as Value;
  };
  const model = new kinds[kind]();
  const watched = watch(object, kind);
  Object.setPrototypeOf(watched, Object.getPrototypeOf(model));
  (watched as unknown as typeof model).validate();
  return [...unread];
}

describe('the objects', () => {
  test.each(['ConfigMap', 'Deployment', 'Service'] as const)(
    '%s has valid fields and no unknown one',
    (kind) => {
      expect(unknownFields(kind, objects.get(kind))).toEqual([]);
    },
  );

  test('a mistaken name or type in them is noticed', () => {
    const mistaken = structuredClone(objects.get('Deployment'));
    mistaken.spec.template.spec.containers[0].readynessProbe = {};
    expect(unknownFields('Deployment', mistaken)).toEqual([
      'Deployment.spec.template.spec.containers[0].readynessProbe',
    ]);
    mistaken.spec.replicas = 'one';
    expect(() => unknownFields('Deployment', mistaken)).toThrow();
  });

  test("the pod runs as the image's user, with a root that nothing can write to, and no account of the cluster", () => {
    expect(pod).toMatchObject({ automountServiceAccountToken: false });
    expect(pod.securityContext).toMatchObject({
      runAsNonRoot: true,
      runAsUser: IMAGE_USER,
      seccompProfile: { type: 'RuntimeDefault' },
    });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(container.resources.limits.memory).toBeDefined();
  });

  test('what they name in each other is there', () => {
    const ports = container.ports.map(({ name }: { name: string }) => name);
    for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'])
      expect(ports).toContain(container[probe].httpGet.port);
    expect(container.readinessProbe.httpGet.path).toBe('/readyz');
    expect(container.livenessProbe.httpGet.path).toBe('/healthz');
    for (const { targetPort } of objects.get('Service').spec.ports) expect(ports).toContain(targetPort);
    const labels = objects.get('Deployment').spec.template.metadata.labels;
    expect(objects.get('Service').spec.selector).toEqual(labels);
    expect(objects.get('Deployment').spec.selector.matchLabels).toEqual(labels);
    const volumes = pod.volumes.map(({ name }: { name: string }) => name);
    expect(container.volumeMounts.map(({ name }: { name: string }) => name)).toEqual(volumes);
    expect(pod.volumes[0].configMap.name).toBe(objects.get('ConfigMap').metadata.name);
  });
});

describeWith(['openssl'], 'the ConfigMap', () => {
  const created = createTemporaryFolder();
  afterAll(async () => (await created)[Symbol.asyncDispose]());

  test('is a configuration that the service takes, its keys where the Secret is mounted', async () => {
    const folder = await created;
    await writeCertificate(folder, 'registry-signing');
    const secrets = '/run/secrets/registry-token/';
    const text: string = objects.get('ConfigMap').data['registry-token.yaml'];
    expect(container.volumeMounts.map(({ mountPath }: { mountPath: string }) => `${mountPath}/`)).toContain(
      secrets,
    );
    await Bun.write(folder.at('registry-token.yaml'), text.replaceAll(secrets, ''));
    const { exitCode, stdout, stderr } = await runCommand(check, [
      '--config',
      folder.at('registry-token.yaml'),
      '--offline',
    ]);
    expect({ exitCode, stderr, errors: stdout.match(/^error:.*/gm) }).toEqual({
      exitCode: 0,
      stderr: '',
      errors: null,
    });
  });
});
