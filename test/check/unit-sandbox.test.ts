/** What `systemctl cat` prints, read for a command that runs as the unit would. */
import { describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { readUnitSettings } from '../../src/check/unit-sandbox.ts';

const read = (text: string) => readUnitSettings(text, 'registry-token', 'registry-token-check');

describe('the settings of a unit', () => {
  test('are those of [Service] in the order of its files, with what a drop-in adds and empties', () => {
    const text = `# /usr/lib/systemd/system/registry-token.service
[Unit]
Description=Not a setting

[Service]
User=registry-token
CapabilityBoundingSet=
; a comment
SystemCallFilter=@system-service \\
  ~@privileged

# /etc/systemd/system/registry-token.service.d/low-port.conf
[Service]
CapabilityBoundingSet=CAP_NET_BIND_SERVICE

[Install]
WantedBy=multi-user.target
`;
    expect(read(text).properties).toEqual([
      'User=registry-token',
      'CapabilityBoundingSet=',
      'SystemCallFilter=@system-service    ~@privileged',
      'CapabilityBoundingSet=CAP_NET_BIND_SERVICE',
    ]);
  });

  test('leave out how the service is started, watched and stopped', () => {
    const text = `[Service]
Type=notify
ExecStart=/usr/bin/registry-token serve
ExecReload=/bin/true
Restart=on-failure
RestartPreventExitStatus=78 2
WatchdogSec=30s
WatchdogSignal=SIGKILL
TimeoutStopSec=20s
StandardOutput=null
KillMode=process
LimitCORE=0
`;
    expect(read(text).properties).toEqual(['LimitCORE=0']);
  });

  test("let the command write to the service's folder in /run, and do not remove that at its end", () => {
    expect(
      read('[Service]\nRuntimeDirectory=registry-token other\nRuntimeDirectoryMode=0750\n').properties,
    ).toEqual(['ReadWritePaths=-/run/registry-token', 'ReadWritePaths=-/run/other']);
  });

  test('have specifiers as systemd expands them, and the credentials of the command', () => {
    const text = '[Service]\nEnvironment=A=%d/signing.pem B=%%d C=%n D=%p E=%S/x F=%q\n';
    expect(read(text).properties).toEqual([
      'Environment=A=/run/credentials/registry-token-check.service/signing.pem B=%d C=registry-token.service D=registry-token E=/var/lib/x F=%q',
    ]);
  });

  test.each([
    ['/usr/bin/registry-token serve --config /etc/a.yaml', '/etc/a.yaml'],
    ['/usr/bin/registry-token serve --config=/etc/b.yaml', '/etc/b.yaml'],
    ['/usr/bin/registry-token serve', null],
  ])('of %s name the configuration', (command, configuration) => {
    expect(read(`[Service]\nExecStart=${command}\n`).configuration).toBe(configuration);
    expect(read(`[Service]\nExecStart=/bin/false\nExecStart=\nExecStart=${command}\n`).configuration).toBe(
      configuration,
    );
  });

  test('of the packaged unit are its sandbox and its configuration', () => {
    const unit = new URL('../../etc/systemd/registry-token.service', import.meta.url);
    const { properties, configuration } = read(readFileSync(unit, 'utf8'));
    expect(configuration).toBe('/etc/registry-token/registry-token.yaml');
    expect(properties).toContain('User=registry-token');
    expect(properties).toContain('ProtectSystem=strict');
    expect(properties.filter((property) => /^(?:Exec|Type|Restart|Watchdog|Runtime)/.test(property))).toEqual(
      [],
    );
  });
});
