/** Metrics by OTLP for `serve`, where OpenTelemetry's variables of the environment name an endpoint. */
import { ConfigurationFault } from '../document/mistakes.ts';
import type { Log } from '../telemetry/log.ts';
import type { MetricsPush } from '../telemetry/otlp-push.ts';
import { PushSettingFault, readPushSettings } from '../telemetry/push-settings.ts';

/** null where nothing is to be pushed: the library is loaded only otherwise. Throws ConfigurationFault. */
export async function openPush(
  env: Readonly<Record<string, string | undefined>>,
  log: Log,
): Promise<MetricsPush | null> {
  try {
    const settings = readPushSettings(env);
    if (settings === null) return null;
    const { openMetricsPush } = await import('../telemetry/otlp-push.ts');
    return openMetricsPush(settings, log);
  } catch (cause) {
    if (!(cause instanceof PushSettingFault)) throw cause;
    const place = { source: 'environment', line: null, column: null };
    throw new ConfigurationFault([{ ...place, key: '', message: cause.message }]);
  }
}
