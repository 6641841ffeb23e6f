/** The overlays of etc/kubernetes: rendered by kustomize, read strictly by the types of the API, and configured as the service takes it. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { parseAllDocuments } from 'yaml';
import { IMAGE_USER } from '../../etc/package/image.ts';
import { check } from '../../src/cli/check.ts';
import { writeCertificate } from '../support/certificates.ts';
import { describeWith } from '../support/debian-parts.ts';
import { createTemporaryFolder, run, runOrFail } from '../support/processes.ts';
import { PROMETHEUS_RULE, renderPrometheusRule } from '../support/prometheus-rule.ts';
import { runCommand } from '../support/run-command.ts';

setDefaultTimeout(60_000);

interface KubernetesObject {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  // biome-ignore lint/suspicious/noExplicitAny: what a kind has is checked by kubernetes-types.
  readonly [key: string]: any;
}

interface Overlay {
  readonly text: string;
  readonly objects: readonly KubernetesObject[];
  /** The one object of this kind and name. */
  readonly find: (kind: string, name?: string) => KubernetesObject;
}

const etc = new URL('../../etc', import.meta.url).pathname;
const overlays = new Map<string, Overlay>();
const the = (name: string) => overlays.get(name) as Overlay;
const decode = (text: string) => run(['kubernetes-types'], { input: text });

async function render(name: string): Promise<Overlay> {
  const text = await runOrFail(['kustomize', 'build', `${etc}/kubernetes/${name}`]);
  const objects = parseAllDocuments(text).map((document) => document.toJS() as KubernetesObject);
  return {
    text,
    objects,
    find: (kind, name = 'registry-token') => {
      const found = objects.find((object) => object.kind === kind && object.metadata.name === name);
      if (found === undefined) throw new Error(`no ${kind} ${name}`);
      return found;
    },
  };
}

const podOf = (workload: KubernetesObject) => workload.spec.template.spec;

describeWith(['kubernetes-types', 'kustomize'], 'the overlays of etc/kubernetes', () => {
  const folder = createTemporaryFolder();
  beforeAll(async () => {
    for (const name of ['single', 'highly-available']) overlays.set(name, await render(name));
  });
  afterAll(async () => (await folder)[Symbol.asyncDispose]());

  test('single is one replica that is replaced, not doubled', async () => {
    const read = await decode(the('single').text);
    expect(read).toEqual({
      exitCode: 0,
      stdout: 'v1 ConfigMap registry-token\nv1 Service registry-token\napps/v1 Deployment registry-token\n',
      stderr: '',
    });
    const { spec } = the('single').find('Deployment');
    expect([spec.replicas, spec.strategy.type]).toEqual([1, 'Recreate']);
  });

  test('highly-available has two replicas, Redis, a budget, policies, spread and monitoring', async () => {
    const read = await decode(the('highly-available').text);
    expect(read).toMatchObject({ exitCode: 0, stderr: '' });
    expect(read.stdout.trim().split('\n').sort()).toEqual([
      'apps/v1 Deployment registry-token',
      'apps/v1 StatefulSet registry-token-redis',
      'monitoring.coreos.com/v1 PrometheusRule registry-token',
      'monitoring.coreos.com/v1 ServiceMonitor registry-token',
      'networking.k8s.io/v1 NetworkPolicy registry-token',
      'networking.k8s.io/v1 NetworkPolicy registry-token-redis',
      'policy/v1 PodDisruptionBudget registry-token',
      'v1 ConfigMap registry-token',
      'v1 Service registry-token',
      'v1 Service registry-token-redis',
    ]);
    const deployment = the('highly-available').find('Deployment');
    expect(deployment.spec.replicas).toBe(2);
    expect(deployment.spec.strategy).toEqual({
      type: 'RollingUpdate',
      rollingUpdate: { maxUnavailable: 0, maxSurge: 1 },
    });
    const spread = podOf(deployment).topologySpreadConstraints;
    expect(spread.map(({ topologyKey }: { topologyKey: string }) => topologyKey)).toEqual([
      'kubernetes.io/hostname',
      'topology.kubernetes.io/zone',
    ]);
  });

  test.each([
    ['an unknown field', 'readinessProbe:', 'readynessProbe:', 'readynessProbe'],
    ['another type', 'replicas: 2', 'replicas: two', 'replicas'],
    ['a repeated field', 'replicas: 2', 'replicas: 2\n  replicas: 3', 'replicas'],
    ['an unknown field of the Prometheus operator', 'interval: 15s', 'intervall: 15s', 'intervall'],
  ])('%s is noticed', async (_, from, to, named) => {
    const { text } = the('highly-available');
    const read = await decode(text.replace(from, to));
    expect(read.exitCode).toBe(1);
    expect(read.stderr).toContain(named);
  });

  test.each(['single', 'highly-available'])(
    'every pod of %s runs without root and account, with a root folder that nothing can write to',
    (name) => {
      const workloads = the(name).objects.filter(({ kind }) => ['Deployment', 'StatefulSet'].includes(kind));
      for (const workload of workloads) {
        const pod = podOf(workload);
        expect(pod).toMatchObject({
          automountServiceAccountToken: false,
          securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
        });
        for (const { securityContext, resources } of pod.containers) {
          expect(securityContext).toEqual({
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          });
          expect(resources.limits.memory).toBeDefined();
        }
      }
      expect(podOf(the(name).find('Deployment')).securityContext.runAsUser).toBe(IMAGE_USER);
    },
  );

  test.each(['single', 'highly-available'])('what the objects of %s name in each other is there', (name) => {
    const { objects, find } = the(name);
    for (const workload of objects.filter(({ kind }) => ['Deployment', 'StatefulSet'].includes(kind))) {
      const { labels } = workload.spec.template.metadata;
      const pod = podOf(workload);
      const [container] = pod.containers;
      const ports = container.ports.map((port: { name: string }) => port.name);
      expect(workload.spec.selector.matchLabels).toEqual(labels);
      const service = find('Service', workload.metadata.name);
      expect(service.spec.selector).toEqual(labels);
      for (const { targetPort } of service.spec.ports) expect(ports).toContain(targetPort);
      for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'])
        expect([undefined, ...ports]).toContain(
          (container[probe]?.httpGet ?? container[probe]?.tcpSocket)?.port,
        );
      const volumes = pod.volumes.map((volume: { name: string }) => volume.name).sort();
      expect(container.volumeMounts.map((mount: { name: string }) => mount.name).sort()).toEqual(volumes);
      for (const { configMap } of pod.volumes)
        if (configMap !== undefined) expect(find('ConfigMap', configMap.name).data).toBeDefined();
    }
    const [container] = podOf(find('Deployment')).containers;
    expect(container.readinessProbe.httpGet.path).toBe('/readyz');
    expect(container.livenessProbe.httpGet.path).toBe('/healthz');
  });

  test('policies, budget and monitoring select the pods and ports that there are', () => {
    const { find } = the('highly-available');
    const { labels } = find('Deployment').spec.template.metadata;
    const redis = find('StatefulSet', 'registry-token-redis').spec.template.metadata.labels;
    expect(find('PodDisruptionBudget').spec).toEqual({ minAvailable: 1, selector: { matchLabels: labels } });
    const own = find('NetworkPolicy').spec;
    expect(own.podSelector.matchLabels).toEqual(labels);
    const others = find('NetworkPolicy', 'registry-token-redis').spec;
    expect(others.podSelector.matchLabels).toEqual(redis);
    expect(others.ingress).toEqual([
      { from: [{ podSelector: { matchLabels: labels } }], ports: [{ protocol: 'TCP', port: 'redis' }] },
    ]);
    // Redis reaches nobody.
    expect(others.policyTypes).toContain('Egress');
    expect(others.egress).toBeUndefined();
    const monitor = find('ServiceMonitor').spec;
    const service = find('Service');
    expect(service.metadata.labels).toMatchObject(monitor.selector.matchLabels);
    // The alerts select by this job.
    expect(service.metadata.labels[monitor.jobLabel]).toBe('registry-token');
    const names = service.spec.ports.map(({ name }: { name: string }) => name);
    for (const { port } of monitor.endpoints) expect(names).toContain(port);
  });

  test('the PrometheusRule is the file of alerts', async () => {
    expect(await Bun.file(PROMETHEUS_RULE).text()).toBe(renderPrometheusRule());
    const [rules] = parseAllDocuments(await Bun.file(`${etc}/prometheus/registry-token.rules.yml`).text());
    expect(the('highly-available').find('PrometheusRule').spec).toEqual(rules?.toJS());
  });

  describeWith(['openssl'], 'the configuration', () => {
    beforeAll(async () => {
      const site = await folder;
      await writeCertificate(site, 'registry-signing');
      await Bun.write(site.at('password'), 'correct horse\n');
    });

    test.each([
      ['single', 'memory'],
      ['highly-available', 'redis'],
    ])('of %s is one that the service takes, its secrets where they are mounted', async (name, store) => {
      const { find } = the(name);
      const [container] = podOf(find('Deployment')).containers;
      const places = container.volumeMounts.map(({ mountPath }: { mountPath: string }) => `${mountPath}/`);
      const site = await folder;
      const local = (text: string) =>
        places
          .filter((place: string) => place.startsWith('/run/secrets/'))
          .reduce((all: string, place: string) => all.replaceAll(place, `${site.path}/`), text);
      const text: string = find('ConfigMap').data['registry-token.yaml'];
      await Bun.write(site.at('registry-token.yaml'), local(text));
      const env = Object.fromEntries(
        (container.env ?? []).map(({ name, value }: Record<string, string>) => [name, local(value ?? '')]),
      );
      const words = ['--config', site.at('registry-token.yaml'), '--offline'];
      const { exitCode, stdout, stderr } = await runCommand(check, words, '', env);
      expect({ exitCode, stderr, errors: stdout.match(/^error:.*/gm) }).toEqual({
        exitCode: 0,
        stderr: '',
        errors: null,
      });
      expect(stdout.includes('REGISTRY_TOKEN_SENDER_CONSTRAINT__REPLAY')).toBe(store === 'redis');
    });
  });
});
