#!/usr/bin/env bash
# Makes the images of the servers for the container cases, without a registry: a Debian base, and on it what the cache of
# tests/setup holds. Each is made once and again when what it is made of has changed.
#
#   DOCKER_HOST=… tests/containers/images.sh kafka|opensearch|telemetry|grafana|rust...
#
# `grafana` and `opensearch` take the stand-ins' static binaries from the folder $STANDINS. The images are called init-tests/<name>.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../setup/lib.sh"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PATH=$PATH:/usr/sbin:/sbin DOCKER_BUILDKIT=0
kafka=3.9.2
opensearch=2.19.6
suite=bookworm

root=()
if [ "$(id -u)" != 0 ]; then root=(sudo -n); fi
mkdir -p "$cache/containers"
work=$(mktemp -d "$cache/containers/build.XXXXXX")
trap '"${root[@]}" rm -rf "$work"' EXIT

made() { # NAME SUM
  [ "$(docker image inspect --format '{{index .Config.Labels "made-of"}}' "init-tests/$1" 2>/dev/null)" = "$2" ]
}

sum() {
  sha256sum "$@" | sha256sum | cut -c1-20
}

base() {
  local sum
  sum=$(echo "$suite" | sha256sum | cut -c1-20)
  if made base "$sum"; then return; fi
  "${root[@]}" debootstrap --variant=minbase "$suite" "$work/rootfs" >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2; die "debootstrap failed"; }
  # With the machine's own sources, so that security updates are seen.
  "${root[@]}" cp /etc/apt/sources.list.d/debian.sources "$work/rootfs/etc/apt/sources.list.d/" 2>/dev/null || true
  "${root[@]}" tar -C "$work/rootfs" -c . | docker import --change "LABEL made-of=$sum" - init-tests/base >/dev/null
  "${root[@]}" rm -rf "$work/rootfs"
}

build() { # NAME SUM DOCKERFILE [TARGET]
  docker build --quiet ${4:+--target "$4"} --label "made-of=$2" --tag "init-tests/$1" --file "$here/$3" "$work/context" >/dev/null
  "${root[@]}" rm -rf "$work/context"
}

# What the servers stand on.
layer() { # tools | java
  local sum
  base
  sum=$(sum "$here/Dockerfile")
  if made "$1" "$sum"; then return; fi
  mkdir -p "$work/context"
  build "$1" "$sum" Dockerfile "$1"
}

# Links cost neither time nor space; the engine is sent the content.
image() { # NAME
  local sum of=("$here/Dockerfile" "$here/$1.Dockerfile" "$here/start.sh") under=tools
  case $1 in
    kafka) under=java version=$kafka ;;
    opensearch) under=java version=$opensearch of+=("$setup/opensearch/RunNode.java" "${STANDINS:?names the folder of the stand-ins}/ism-standin") ;;
    telemetry) of+=("$here/sink.sh") version=$suite ;;
    grafana) of+=("${STANDINS:?names the folder of the stand-ins}/grafana-standin") version=$suite ;;
    rust) of+=(/etc/ssl/certs/ca-certificates.crt) version=$(rustc --version) ;;
    *) die "no image $1" ;;
  esac
  sum=$( (cat "${of[@]}"; echo "$version") | sha256sum | cut -c1-20)
  if made "$1" "$sum"; then return; fi
  layer "$under"
  mkdir -p "$work/context"
  cp "$here/start.sh" "$here/sink.sh" "$work/context/"
  case $1 in
    kafka)
      "$setup/kafka.sh" fetch "$kafka"
      cp -rl "$cache/kafka-$kafka/jars" "$work/context/jars"
      ;;
    opensearch)
      "$setup/opensearch.sh" fetch "$opensearch"
      cp -rl "$cache/opensearch-$opensearch" "$work/context/opensearch"
      cp "$cache/runnode.jar" "$setup/opensearch/log4j2.properties" "$STANDINS/ism-standin" "$work/context/"
      ;;
    telemetry) ;;
    grafana) cp "$STANDINS/grafana-standin" "$work/context/" ;;
    # This machine's toolchain, in the place of the official image, and what this machine trusts: it may reach the registry by a proxy of its own.
    rust)
      cp -rL "$(rustc --print sysroot)" "$work/context/rust"
      cp /etc/ssl/certs/ca-certificates.crt "$work/context/"
      ;;
  esac
  build "$1" "$sum" "$1.Dockerfile"
}

[ $# -gt 0 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
lock images
for each in "$@"; do image "$each"; done
