#!/usr/bin/env bash
# Installs what the container cases need, from Debian: an engine, docker-compose 1.29, debootstrap. Does nothing when all is there.
#
#   tests/containers/setup.sh
set -euo pipefail

# command | package
needs="dockerd docker.io
docker docker.io
iptables iptables
ip iproute2
docker-compose docker-compose
debootstrap debootstrap"
missing=()
while read -r command package; do
  PATH=$PATH:/usr/sbin command -v "$command" >/dev/null || missing+=("$package")
done <<<"$needs"
[ ${#missing[@]} -gt 0 ] || exit 0

root=()
if [ "$(id -u)" != 0 ]; then root=(sudo); fi
# A package would start an engine of its own: policy-rc.d forbids that for the time of the installation.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
  "${root[@]}" chmod 755 "$policy"
  trap '"${root[@]}" rm -f "$policy"' EXIT
fi
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
