# What kafka.sh and opensearch.sh share: the cache, its lock, the JDK, the wait. Sourced, never run. No server's own knowledge in here.

setup=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${INIT_TEST_CACHE:-${HOME:?HOME is not set: set INIT_TEST_CACHE to a folder for downloads}/.cache/init-sidecars-tests}
mkdir -p "$cache"

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# One caller at a time prepares a thing; the others wait and then find it. Children must not inherit descriptor 9.
lock() {
  exec 9>"$cache/$1.lock"
  flock 9
}

java_major() {
  local version
  version=$(sed -n 's/^JAVA_VERSION="\([^"]*\)".*/\1/p' "$1/release" 2>/dev/null || true)
  [ -n "$version" ] || version=$("$1/bin/java" -version 2>&1 | sed -n 's/.* version "\([^"]*\)".*/\1/p')
  version=${version#1.}
  echo "${version%%[.+-]*}"
}

jdk_homes() {
  local name java
  for name in $(compgen -v JAVA_HOME); do echo "${!name}"; done
  java=$(command -v java || true)
  [ -z "$java" ] || dirname "$(dirname "$(readlink -f "$java")")"
  ls -d /usr/lib/jvm/* 2>/dev/null || true
}

# jdk MIN MAX oldest|newest: the home of an installed JDK whose version is in that range; nothing and 1 where there is none.
jdk() {
  local home major found='' best=0
  while read -r home; do
    [ -x "$home/bin/java" ] && [ -x "$home/bin/javac" ] || continue
    major=$(java_major "$home")
    [ "$major" -ge "$1" ] 2>/dev/null && [ "$major" -le "$2" ] || continue
    if [ -z "$found" ] || { [ "$3" = newest ] && [ "$major" -gt "$best" ]; } || { [ "$3" = oldest ] && [ "$major" -lt "$best" ]; }; then
      found=$home best=$major
    fi
  done < <(jdk_homes)
  [ -n "$found" ] || return 1
  echo "$found"
}

# A class archive fits one build of one JDK.
jdk_tag() {
  echo "$1" "$(cat "$1/release" 2>/dev/null || "$1/bin/java" -version 2>&1)" | sha256sum | cut -c1-10
}

listens() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# A port base (its ports are BASE0 to BASE9) on which nothing listens. Tests take theirs from 2000 up; set-up stays below.
free_base() {
  local base port taken
  for base in $(seq 1900 1999 | shuf); do
    taken=
    for port in 0 1 2 3 4 5 6; do
      if listens "$base$port"; then taken=yes; fi
    done
    if [ -z "$taken" ]; then
      echo "$base"
      return
    fi
  done
  die "no free ports between 19000 and 19999"
}

# until_true SECONDS PID COMMAND…: polls COMMAND; fails when the process is gone or the time is over.
until_true() {
  local end=$((SECONDS + $1)) pid=$2
  shift 2
  until "$@"; do
    kill -0 "$pid" 2>/dev/null || return 1
    [ $SECONDS -lt "$end" ] || return 1
    sleep 0.1
  done
}

# The Maven plugin that copies artifacts out of a registry.
copier=org.apache.maven.plugins:maven-dependency-plugin:3.6.1

# Registries fail now and then; three tries are enough for a hiccup and few enough for a real fault.
maven() {
  local try said
  for try in 1 2 3; do
    if said=$(mvn -B -q "$@" 9>&- 2>&1); then return; fi
    printf '%s\nmvn failed (try %s of 3)\n' "$said" "$try" >&2
    sleep $((try * 2))
  done
  return 1
}
