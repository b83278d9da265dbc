#!/usr/bin/env bash
# Clusters that are not Apache Kafka's: franz-go's kfake, built from the Go module proxy.
#   kfake.sh usable                   whether Go is here to build it
#   kfake.sh fetch VARIANT            build (nothing when that is done)
#   kfake.sh start VARIANT FILE       run one in the foreground; its addresses are in FILE once it serves
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

binary=$cache/kfake-$(cat "$setup"/kfake/* | sha256sum | cut -c1-10)

build() {
  if [ -x "$binary" ]; then return; fi
  lock kfake
  if [ ! -x "$binary" ]; then
    (cd "$setup/kfake" && GOFLAGS=-mod=readonly go build -o "$binary.part" .)
    mv "$binary.part" "$binary"
  fi
  exec 9>&-
}

case ${1:-} in
  usable) command -v go >/dev/null || die "no Go: the clusters of kfake cannot be built" ;;
  fetch) build ;;
  start)
    build
    exec "$binary" "$2" "$3"
    ;;
  *)
    sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
