#!/usr/bin/env bash
# A real Kafka broker, made from the jars in Maven Central.
#   kafka.sh fetch VERSION...                          download and prepare (nothing when that is done)
#   kafka.sh start VERSION PORTBASE DIR [KEY=VALUE...]  run a broker in the foreground; the process becomes java itself
#   kafka.sh oracle VERSION BOOTSTRAP COMMAND...       ask a broker through Kafka's own Java client (kafka/Oracle.java)
#   kafka.sh tool VERSION CLASS ARGUMENT...            run one of Kafka's own command line classes
#   kafka.sh connect VERSION BOOTSTRAP PORT DIR        run a worker of Kafka Connect in the foreground, with the file connectors
#   kafka.sh connect-jars VERSION                      download what that takes (nothing when that is done)
#   kafka.sh tls                                       print the folder of the certificates
#   kafka.sh zookeeper VERSION PORT DIR                run a ZooKeeper in the foreground, for brokers that are started with ZOOKEEPER=HOST:PORT
# NODES="2109 2209 2309" (the port bases of all nodes) makes `start` one node of a cluster. README.md has the ports and the users.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
command=${1:-}
shift || usage

# Kafka 3.9 logs in by Subject.getSubject, which JDK 24 removed; so the oldest JDK that will do.
use_version() {
  version=$1
  case $version in
    3.*) newest_jdk=23 logging=slf4j-reload4j log_flag=-Dlog4j.configuration=file:$setup/kafka/log4j.properties ;;
    4.*) newest_jdk=99 logging=slf4j-simple log_flag=-Dorg.slf4j.simpleLogger.defaultLogLevel=warn ;;
    *) die "Kafka $version: expected 3.x or 4.x" ;;
  esac
  java_home=$(jdk 17 "$newest_jdk" oldest) || die "Kafka $version needs a JDK from 17 to $newest_jdk: apt-get install openjdk-17-jdk-headless"
  home=$cache/kafka-$version tls=$cache/tls
  archive=$home/classes-$(jdk_tag "$java_home").jsa
  flags=(-Xms64m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Djava.awt.headless=true "$log_flag")
}

# Sorted, because the class archive holds for one order of the class path only.
class_path() {
  printf '%s:' "$1"/*.jar
}

copy_jars() { # FOLDER [MAVEN-FLAG]
  rm -rf "$1.part"
  maven -f "$setup/kafka/pom.xml" "-Dkafka=$version" "-Dlogging=$logging" "${@:2}" \
    "$copier:copy-dependencies" -DincludeScope=runtime "-DoutputDirectory=$1.part"
  mv "$1.part" "$1"
}

fill_in() { # FILE BASE DIR
  sed "/^#/d;/^$/d;s/@NODE@/$node/g;s/@NODES@/$count/g;s/@VOTERS@/$voters/g;s/@BASE@/$2/g;s#@DIR@#$3#g;s#@TLS@#$tls#g" "$setup/kafka/$1"
}

# The place of this node's port base among all of them is its id.
place() { # BASE
  local base
  node=0 count=0 voters=
  for base in ${NODES:-$1}; do
    count=$((count + 1))
    voters+=${voters:+,}$count@127.0.0.1:${base}3
    if [ "$base" = "$1" ]; then node=$count; fi
  done
  [ "$node" -gt 0 ] || die "port base $1 is not one of NODES=\"$NODES\""
}

# A formatted data folder to copy from: starting StorageTool for each broker would take a second more.
format() {
  local work=$home/format
  rm -rf "$work"
  mkdir -p "$work"
  place 1999
  fill_in server.properties 1999 "$work" >"$work/server.properties"
  "$java_home/bin/java" "${flags[@]}" -cp "$(class_path "$home/jars")" kafka.tools.StorageTool format \
    -t=AAAAAAAAAAAAAAAAAAAAAQ -c "$work/server.properties" \
    --add-scram 'SCRAM-SHA-256=[name=admin,password=admin-secret]' \
    --add-scram 'SCRAM-SHA-512=[name=admin,password=admin-secret]' >"$work/log" 2>&1 || { cat "$work/log" >&2; die "could not format a data folder"; }
  mv "$work/data" "$home/template"
  rm -rf "$work"
}

archive_classes() {
  local work=$home/archive base pid
  rm -rf "$work"
  base=$(free_base)
  JAVA_EXTRA=-XX:ArchiveClassesAtExit=$archive.part start "$base" "$work" 9>&- &
  pid=$!
  until_true 60 "$pid" listens "${base}2" || { tail -5 "$work/broker.log" >&2; die "the broker did not start"; }
  kill "$pid"
  wait "$pid" || true
  # Without an archive a broker starts in twice the time, no more.
  if [ -e "$archive.part" ]; then mv "$archive.part" "$archive"; else : >"$archive.none"; fi
  rm -rf "$work"
}

compile_oracle() {
  rm -rf "$home/oracle.part"
  mkdir -p "$home/oracle.part"
  "$java_home/bin/javac" --release 17 -d "$home/oracle.part" -cp "$(class_path "$home/jars")" "$setup/kafka/Oracle.java"
  rm -rf "$home"/oracle-*
  mv "$home/oracle.part" "$oracle"
}

fetch() {
  oracle=$home/oracle-$(sha256sum "$setup/kafka/Oracle.java" | cut -c1-10)
  ready() {
    [ -d "$home/jars" ] && [ -d "$home/template" ] && [ -d "$oracle" ] && { [ -e "$archive" ] || [ -e "$archive.none" ]; }
  }
  if ready; then return; fi
  lock kafka
  mkdir -p "$home"
  "$setup/certificates.sh" "$tls"
  [ -d "$home/jars" ] || copy_jars "$home/jars"
  [ -d "$home/template" ] || format
  [ -e "$archive" ] || [ -e "$archive.none" ] || archive_classes
  [ -d "$oracle" ] || compile_oracle
  exec 9>&-
}

start() { # BASE DIR [KEY=VALUE...]
  local base=$1 dir=$2 extra=()
  shift 2
  place "$base"
  mkdir -p "$dir"
  # A folder that was formatted for KRaft is none for a broker of a ZooKeeper cluster, which makes its own.
  if [ ! -e "$dir/data" ] && [ -z "${ZOOKEEPER:-}" ]; then
    cp -r "$home/template" "$dir/data.part"
    # Twenty-two characters of base 64 that differ by node.
    sed -i "s/^node.id=.*/node.id=$node/;s/^directory.id=.*/directory.id=AAAAAAAAAAAAAAAAAAAA${node}g/" "$dir/data.part/meta.properties"
    mv "$dir/data.part" "$dir/data"
  fi
  {
    if [ -n "${ZOOKEEPER:-}" ]; then
      # Without what makes it its own controller.
      fill_in server.properties "$base" "$dir" | sed -E '/^(process\.roles|node\.id|controller\.|authorizer\.|metadata\.)/d;s/,CONTROLLER:[^,]*//'
      fill_in zookeeper.properties "$base" "$dir"
      printf 'zookeeper.connect=%s\n' "$ZOOKEEPER"
    else
      fill_in server.properties "$base" "$dir"
    fi
    if [ -z "${ZOOKEEPER:-}" ] && [ "$count" -gt 1 ]; then fill_in cluster.properties "$base" "$dir"; fi
    printf '%s\n' "$@"
  } >"$dir/server.properties"
  [ ! -e "$archive" ] || extra+=("-XX:SharedArchiveFile=$archive")
  exec "$java_home/bin/java" "${flags[@]}" "${extra[@]}" ${JAVA_EXTRA:+"$JAVA_EXTRA"} -cp "$(class_path "$home/jars")" \
    kafka.Kafka "$dir/server.properties" >>"$dir/broker.log" 2>&1
}

zookeeper() { # PORT DIR
  mkdir -p "$2"
  exec "$java_home/bin/java" "${flags[@]}" -Dzookeeper.admin.enableServer=false -cp "$(class_path "$home/jars")" \
    org.apache.zookeeper.server.ZooKeeperServerMain "$1" "$2/zookeeper" >>"$2/zookeeper.log" 2>&1
}

# The jars of a profile of the pom, beside those of the broker.
profile() { # NAME
  if [ ! -d "$home/$1" ]; then
    lock kafka
    [ -d "$home/$1" ] || copy_jars "$home/$1" "-P$1"
    exec 9>&-
  fi
}

connect() { # BOOTSTRAP PORT DIR
  mkdir -p "$3"
  {
    printf 'bootstrap.servers=%s\nlisteners=http://127.0.0.1:%s\nplugin.discovery=service_load\n' "$1" "$2"
    printf '%s.storage.topic=connect-%s\n' config configs offset offsets status status
    printf '%s.storage.replication.factor=1\n' config offset status
    printf '%s.storage.partitions=1\n' offset status
    printf '%s.converter=org.apache.kafka.connect.storage.StringConverter\n' key value
    printf 'group.id=connect\noffset.flush.interval.ms=1000\nscheduled.rebalance.max.delay.ms=0\n'
    printf 'config.providers=file\nconfig.providers.file.class=org.apache.kafka.common.config.provider.FileConfigProvider\n'
  } >"$3/connect.properties"
  exec "$java_home/bin/java" "${flags[@]}" -cp "$(class_path "$home/connect")" \
    org.apache.kafka.connect.cli.ConnectDistributed "$3/connect.properties" >>"$3/connect.log" 2>&1
}

case $command in
  fetch)
    [ $# -gt 0 ] || usage
    for version in "$@"; do
      use_version "$version"
      fetch
    done
    ;;
  start)
    [ $# -ge 3 ] || usage
    use_version "$1"
    fetch
    start "${@:2}"
    ;;
  zookeeper)
    [ $# -eq 3 ] || usage
    use_version "$1"
    fetch
    zookeeper "${@:2}"
    ;;
  oracle)
    [ $# -ge 3 ] || usage
    use_version "$1"
    fetch
    exec "$java_home/bin/java" "${flags[@]}" -cp "$oracle:$(class_path "$home/jars")" Oracle "${@:2}"
    ;;
  tool)
    [ $# -ge 2 ] || usage
    use_version "$1"
    fetch
    profile tools
    exec "$java_home/bin/java" "${flags[@]}" -cp "$(class_path "$home/tools")" "${@:2}"
    ;;
  connect-jars)
    [ $# -eq 1 ] || usage
    use_version "$1"
    fetch
    profile connect
    ;;
  connect)
    [ $# -eq 4 ] || usage
    use_version "$1"
    fetch
    profile connect
    connect "${@:2}"
    ;;
  tls)
    lock kafka
    "$setup/certificates.sh" "$cache/tls"
    echo "$cache/tls"
    ;;
  *) usage ;;
esac
