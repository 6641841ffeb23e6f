#!/bin/sh
# What the scripts of the .deb and of the .rpm share: this text comes first in the script that runs after the files are in
# place. It enables and starts nothing: the service needs a configuration and a key of its own first.
set -e

configuration=/etc/registry-token/registry-token.yaml

# The user, the folders and, at the first installation, the configuration.
#   set_up first | set_up again
set_up() {
  # A user that stays: its group can be given the files that the configuration names (keys, passwords).
  if ! getent passwd registry-token >/dev/null; then
    useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin \
      --comment 'registry-token service' registry-token
  fi
  # At the first installation only: afterwards it is the operator's, whatever becomes of it.
  if [ "$1" = first ] && [ ! -e "$configuration" ]; then
    mkdir -p /etc/registry-token
    install -o root -g registry-token -m 0640 /usr/share/registry-token/registry-token.yaml "$configuration"
  fi
  # The unit's StateDirectory=, there before the first start so that `check` finds it.
  install -d -o registry-token -g registry-token -m 0700 /var/lib/registry-token
  # Where systemd runs or has been: systemd-tmpfiles makes the folder of the audit log.
  if command -v systemd-tmpfiles >/dev/null; then
    systemd-tmpfiles --create registry-token.conf || true
  fi
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
  fi
}

print_next_steps() {
  echo 'registry-token is installed and not started. Next:'
  echo '  registry-token keygen --out /etc/registry-token'
  echo '  edit /etc/registry-token/registry-token.yaml, then: registry-token check'
  echo '  systemctl enable --now registry-token'
}

# The new executable checks the running service before that ends, as systemd would start it. Errors keep the old process.
#   upgrade_service COMMAND...: the command that restarts a service
upgrade_service() {
  [ -d /run/systemd/system ] || return 0
  systemctl --quiet is-active registry-token.service || return 0
  # With the environment, the user and the sandbox of the unit, and not over the network: an Authority that is away is no reason to keep the old version.
  if report=$(/usr/bin/registry-token check --unit registry-token --offline 2>&1); then
    "$@" registry-token.service || true
    return 0
  fi
  # Each error with how to mend it; all of it where the configuration has mistakes, or the check could not be made.
  errors=$(printf '%s\n' "$report" | awk '/: error: / { print; mend = 1; next } mend && /^    / { print } { mend = 0 }')
  cat >&2 <<END
**********************************************************************
registry-token: the new version finds errors in the configuration, so
the service was NOT restarted: the old version still runs, until it is
stopped. Correct this, then: systemctl restart registry-token

${errors:-$report}
**********************************************************************
END
}
