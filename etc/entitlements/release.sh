#!/bin/sh
# Signs the next bundle for a site and pushes it, if it changes something or the last one ends within two weeks.
#
#   KEY=key.pem KEYS=vendor-jwks.json REGISTRY=registry.example.com REGISTRY_CONFIG=docker.json sh release.sh SITE PLANS
#
# KEY              the vendor's private key, PEM or PFX; or SIGN_COMMAND and PUBLIC_KEY for one in an HSM
# KEYS             the vendor's public keys, as the sites have them
# REGISTRY         where the bundles are: REGISTRY/entitlements/SITE:latest, and one tag for each serial
# REGISTRY_CONFIG  a docker configuration with credentials that may pull and push there
# EXPIRES          how long a bundle is good; default 35d
#
# One at a time for each site: two that run at once would use one serial twice, and sites refuse the second.
set -eu

site=$1
plans=$2
config=$(realpath "$REGISTRY_CONFIG")
repository=$REGISTRY/entitlements/$site
type=application/vnd.registry-token.entitlements+jwt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The bundle that the sites have. Only a registry that answers "no such tag" means that there is none yet.
serial=0
if oras pull --registry-config "$config" --output "$work/last" "$repository:latest" >"$work/log" 2>&1; then
  registry-token entitlements inspect "$work/last/entitlements.jws" --keys "$KEYS" >"$work/last.yaml"
  serial=$(sed -n 's/^serial: //p' "$work/last.yaml")
elif ! grep -q 'not found' "$work/log"; then
  cat "$work/log" >&2
  exit 1
fi

if [ -n "${SIGN_COMMAND:-}" ]; then
  set -- --sign-command "$SIGN_COMMAND" --public-key "$PUBLIC_KEY"
else
  set -- --key "$KEY"
fi
next=$((serial + 1))
registry-token entitlements sign "$@" --in "$plans" --serial "$next" --site "$site" \
  --expires "${EXPIRES:-35d}" --out "$work/entitlements.jws"

# The sites' own keys: a bundle that they would refuse is not pushed.
registry-token entitlements verify "$work/entitlements.jws" --keys "$KEYS" --site "$site" >/dev/null

if [ "$serial" -gt 0 ]; then
  changes=0
  registry-token entitlements diff "$work/last/entitlements.jws" "$work/entitlements.jws" --keys "$KEYS" || changes=$?
  ends=$(sed -n 's/^expiresAt: //p' "$work/last.yaml")
  soon=$(date -u -d '+14 days' +%Y-%m-%dT%H:%M:%SZ)
  case $changes in
    0) if [ "$(printf '%s\n' "$ends" "$soon" | sort | head -n 1)" = "$soon" ]; then
         echo "serial $serial for $site stays: it allows the same, and is good until $ends"
         exit 0
       fi ;;
    1) ;;
    *) exit "$changes" ;;
  esac
fi

cd "$work"
oras push --registry-config "$config" --artifact-type "$type" \
  "$repository:$next,latest" entitlements.jws:application/jose >/dev/null
echo "pushed serial $next to $repository"
