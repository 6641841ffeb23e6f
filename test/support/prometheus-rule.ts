/** The alerts as an object of the Prometheus operator, made from the rules file: `bun run schema` writes it. */
import { readFileSync } from 'node:fs';

const RULES = new URL('../../etc/prometheus/registry-token.rules.yml', import.meta.url);
export const PROMETHEUS_RULE = new URL(
  '../../etc/kubernetes/highly-available/prometheus-rule.yaml',
  import.meta.url,
);

export function renderPrometheusRule(): string {
  const rules = readFileSync(RULES, 'utf8');
  const groups = rules.slice(rules.indexOf('\ngroups:') + 1).trimEnd();
  return `# etc/prometheus/registry-token.rules.yml for the Prometheus operator. Made by \`bun run schema\`: change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: registry-token
  labels: { app.kubernetes.io/name: registry-token }
spec:
${groups.replace(/^(?=.)/gm, '  ')}
`;
}

if (import.meta.main) await Bun.write(PROMETHEUS_RULE, renderPrometheusRule());
