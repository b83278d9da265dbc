#!/usr/bin/env bash
# Installs a real Pushgateway and a real Prometheus (with promtool) for the telemetry cases, from Debian.
#
#   tests/setup/telemetry.sh
#
# The packages would start services on Debian's default ports: policy-rc.d forbids that for the time of the installation, so that
# nothing runs afterwards that did not run before, and nothing that was running is stopped.
set -euo pipefail

commands=(prometheus-pushgateway prometheus promtool)
present() {
  local each
  for each in "${commands[@]}"; do command -v "$each" >/dev/null || return 1; done
}
if present; then exit 0; fi

root=()
if [ "$(id -u)" != 0 ]; then root=(sudo); fi

policy=/usr/sbin/policy-rc.d
if [ -e "$policy" ]; then
  # Somebody's own policy decides, as it does in Debian's images, where it forbids every start.
  :
else
  printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
  "${root[@]}" chmod 755 "$policy"
  trap '"${root[@]}" rm -f "$policy"' EXIT
fi
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  prometheus-pushgateway prometheus >/dev/null
present || { echo "prometheus-pushgateway, prometheus and promtool are not all there after the installation" >&2; exit 1; }
