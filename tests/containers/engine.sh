#!/usr/bin/env bash
# Runs a container engine of the tests' own, beside any other: own socket, own folders. It ends when stdin ends, whatever ended its caller.
#
#   tests/containers/engine.sh      prints its DOCKER_HOST once it answers; one at a time, the next waits for the one before
#
# Images are kept in $INIT_TEST_CACHE/containers (default ~/.cache/init-sidecars-tests/containers); containers, networks and volumes are not.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../setup/lib.sh"

# Short, because a socket's path is: 108 characters at most.
folder=$(mktemp -d /tmp/init-engine.XXXXXX)
socket=$folder/socket
data=$cache/containers
export PATH=$PATH:/usr/sbin:/sbin DOCKER_HOST=unix://$socket
root=()
if [ "$(id -u)" != 0 ]; then root=(sudo -n); fi
mkdir -p "$data"

# Ctrl-C in a terminal is for the caller; its end is what ends this.
trap '' INT TERM HUP
lock containers

# One that was killed together with its supervisor has left an engine that holds the data.
end_former() {
  local pid
  pid=$(cat "$data/engine.pid" 2>/dev/null || true)
  if [ -n "$pid" ] && grep -qs -- "$data/data" "/proc/$pid/cmdline"; then
    "${root[@]}" kill "$pid" || true
    until_gone "$pid" || "${root[@]}" kill -9 "$pid"
  fi
}

until_gone() { # PID: half a minute at most
  local end=$((SECONDS + 30))
  while [ -d "/proc/$1" ]; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.05
  done
}

remove_all() {
  local ids
  ids=$(docker ps --all --quiet)
  # Words on purpose: one argument each.
  if [ -n "$ids" ]; then docker rm --force --volumes $ids >/dev/null; fi
  docker network prune --force >/dev/null
  docker volume prune --force >/dev/null
  # What newer builds have replaced.
  docker image prune --force >/dev/null
}

finish() {
  if docker info >/dev/null 2>&1; then remove_all || true; fi
  "${root[@]}" kill "$(cat "$folder/engine.pid" 2>/dev/null || echo "$engine")" 2>/dev/null || true
  wait "$engine" || true
  if [ -n "$own_bridge" ]; then "${root[@]}" ip link delete docker0 2>/dev/null || true; fi
  rm -f "$data/engine.pid"
  "${root[@]}" rm -rf "$folder"
}

end_former
if [ -d /sys/class/net/docker0 ]; then own_bridge=; else own_bridge=yes; fi
"${root[@]}" setsid dockerd --data-root "$data/data" --exec-root "$folder/exec" --pidfile "$folder/engine.pid" --host "$DOCKER_HOST" \
  >"$data/engine.log" 2>&1 9>&- </dev/null &
engine=$!
trap finish EXIT
answers() {
  if [ ${#root[@]} -gt 0 ] && [ -S "$socket" ]; then "${root[@]}" chown "$(id -u)" "$socket"; fi
  docker info >/dev/null 2>&1
}
until_true 60 "$engine" answers || { tail -n 20 "$data/engine.log" >&2; die "the engine did not start"; }
cp "$folder/engine.pid" "$data/engine.pid"
remove_all
echo "$DOCKER_HOST"
# Nothing is ever said; the end is what is waited for.
while read -r _; do :; done
