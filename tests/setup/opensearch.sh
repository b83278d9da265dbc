#!/usr/bin/env bash
# A real OpenSearch node, made from what Maven Central carries of it.
#   opensearch.sh fetch VARIANT...                       download and prepare (nothing when that is done)
#   opensearch.sh start VARIANT PORTBASE DIR [KEY: VALUE...]  run a node in the foreground; the process becomes java itself
#   opensearch.sh usable VARIANT                         exit 0 when a JDK for it is installed; else say what is missing
# VARIANT: 2.19.4-security 3.4.0-security 3.4.0-knn 2.19.6 3.8.0. NODES="2109 2209" (the port bases of all nodes) makes `start` one node of a
# cluster; HTTP_TLS=false gives the security variants plain HTTP. README.md has the ports and the users.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
  exit 2
}
command=${1:-}
shift || usage

use_variant() {
  variant=$1 version=${1%%-*} security='' knn=''
  case $variant in
    *-security) security=yes ;;
    *-knn) knn=yes ;;
  esac
  # 2.19 is compiled for Java 11 and supported to 21, and is quickest on the oldest; 3.x is compiled for 21.
  case $version in
    2.*) java_home=$(jdk 17 99 oldest) || die "OpenSearch $version needs a JDK of 17 or newer: apt-get install openjdk-17-jdk-headless" ;;
    3.*) java_home=$(jdk 21 99 newest) || die "OpenSearch $version needs a JDK of 21 or newer, and none is under /usr/lib/jvm, in JAVA_HOME_* or on PATH" ;;
    *) die "OpenSearch $version: expected 2.x or 3.x" ;;
  esac
  home=$cache/opensearch-$variant tls=$cache/tls runner=$cache/runnode.jar
  archive=$cache/opensearch-$variant-$(jdk_tag "$java_home").jsa
}

artifact() { # FOLDER GROUP NAME VERSION: downloads a zip; its place is in $zip
  maven "$copier:copy" "-Dartifact=org.opensearch.$2:$3:$4:zip" "-DoutputDirectory=$1"
  zip=$1/$3-$4.zip
}

# The small distribution of 2.x and 3.4 carries one module; the others come as jars, and need the descriptor that the full one has.
# artifact | plugin class below org.opensearch | modules that it extends
modules="analysis-common|analysis.common.CommonAnalysis@Plugin|lang-painless
ingest-common|ingest.common.IngestCommon@Plugin|lang-painless
ingest-user-agent|ingest.useragent.IngestUserAgent@Plugin|
lang-painless|painless.Painless@Plugin|
lang-mustache-client|script.mustache.Mustache@Plugin|
mapper-extras-client|index.mapper.MapperExtras@Plugin|
reindex-client|index.reindex.Reindex@Plugin|
search-pipeline-common|search.pipeline.common.SearchPipelineCommonModulePlugin|lang-painless"

project() { # NAME BODY
  echo "<project><modelVersion>4.0.0</modelVersion><groupId>init-tests</groupId><artifactId>$1</artifactId>" \
    "<version>1</version><packaging>pom</packaging>$2</project>"
}

add_modules() { # HOME WORK
  local name class extends suffix='' java=11 reactor='' list=$modules jar
  case $version in 3.*) suffix=Module java=21 ;; esac
  # search-pipeline-common was not published for 3.4.0.
  if [ "$version" = 3.4.0 ]; then list=$(grep -v '^search-pipeline' <<<"$list"); fi
  while IFS='|' read -r name class extends; do
    mkdir -p "$2/$name"
    reactor+="<module>$name</module>"
    project "$name" "<dependencies><dependency><groupId>org.opensearch.plugin</groupId><artifactId>$name</artifactId><version>$version</version></dependency></dependencies>" >"$2/$name/pom.xml"
  done <<<"$list"
  project modules "<modules>$reactor</modules>" >"$2/pom.xml"
  maven -f "$2/pom.xml" "$copier:copy-dependencies" -DincludeScope=runtime -DoutputDirectory=jars
  while IFS='|' read -r name class extends; do
    mkdir -p "$1/modules/$name"
    for jar in "$2/$name"/jars/*.jar; do
      [ -e "$1/lib/${jar##*/}" ] || cp "$jar" "$1/modules/$name/"
    done
    printf '%s\n' "description=$name" "version=$version" "name=$name" "classname=org.opensearch.${class/@/$suffix}" "java.version=$java" \
      "opensearch.version=$version" custom.foldername= "extended.plugins=$extends" has.native.controller=false \
      >"$1/modules/$name/plugin-descriptor.properties"
  done <<<"$list"
}

add_security() { # HOME WORK
  local plugin
  for plugin in opensearch-security opensearch-job-scheduler; do
    artifact "$2" plugin "$plugin" "$version.0"
    unzip -q "$zip" -d "$1/plugins/$plugin"
  done
  # Security 3.3 and newer extend the module rule-framework, which is in the distributions from 3.5 on alone.
  if [ "$version" = 3.4.0 ]; then
    artifact "$2" distribution.integ-test-zip opensearch 3.6.0
    unzip -q "$zip" 'opensearch-3.6.0/modules/rule-framework/*' -d "$2"
    mv "$2/opensearch-3.6.0/modules/rule-framework" "$1/modules/"
    sed -i s/3.6.0/3.4.0/ "$1/modules/rule-framework/plugin-descriptor.properties"
  fi
}

# Vector search. Without its native library mappings work, and graphs are never built.
add_knn() { # HOME WORK
  artifact "$2" plugin opensearch-knn "$version.0"
  unzip -q "$zip" -d "$1/plugins/opensearch-knn"
}

assemble() {
  local work=$home.part
  rm -rf "$work"
  mkdir -p "$work"
  artifact "$work" distribution.integ-test-zip opensearch "$version"
  unzip -q "$zip" -d "$work"
  local made=$work/opensearch-$version unused
  # The plugin for vector search extends transport-grpc.
  mkdir -p "$made/plugins"
  rm -rf "$made/config" "$made/logs"
  for unused in ${knn:-transport-grpc} ingest-geoip opensearch-dashboards cache-common store-subdirectory; do rm -rf "$made/modules/$unused"; done
  [ -d "$made/modules/ingest-common" ] || add_modules "$made" "$work"
  [ -z "$security" ] || add_security "$made" "$work"
  [ -z "$knn" ] || add_knn "$made" "$work"
  mv "$made" "$home"
  rm -rf "$work"
}

compile_runner() {
  local work=$runner.part
  rm -rf "$work"
  mkdir -p "$work"
  "$java_home/bin/javac" --release 17 -cp "$home/lib/*" -d "$work" "$setup/opensearch/RunNode.java"
  # A jar, because a folder on the class path makes a class archive impossible.
  "$java_home/bin/jar" --create --file "$work/runnode.jar" -C "$work" RunNode.class
  mv "$work/runnode.jar" "$runner"
  rm -rf "$work"
}

answers() { # BASE
  [ "$(curl -s -k -o /dev/null -m 5 -w '%{http_code}' -u 'admin:Lab-Admin-Passw0rd!' "http${security:+s}://127.0.0.1:${1}0/")" = 200 ]
}

archive_classes() {
  local work=$cache/opensearch-archive base pid
  rm -rf "$work"
  base=$(free_base)
  NODES='' HTTP_TLS='' JAVA_EXTRA=-XX:ArchiveClassesAtExit=$archive.part start "$base" "$work" 9>&- &
  pid=$!
  until_true 120 "$pid" answers "$base" || { tail -20 "$work/node.log" >&2; die "OpenSearch $variant did not start"; }
  kill "$pid"
  wait "$pid" || true
  # Without an archive a node starts a few seconds later, no more.
  if [ -e "$archive.part" ]; then mv "$archive.part" "$archive"; else : >"$archive.none"; fi
  rm -rf "$work"
}

fetch() {
  ready() {
    [ -d "$home" ] && [ -e "$runner" ] && [ "$runner" -nt "$setup/opensearch/RunNode.java" ] && { [ -e "$archive" ] || [ -e "$archive.none" ]; }
  }
  if ready; then return; fi
  lock opensearch
  "$setup/certificates.sh" "$tls"
  [ -d "$home" ] || assemble
  [ -e "$runner" ] && [ "$runner" -nt "$setup/opensearch/RunNode.java" ] || compile_runner
  [ -e "$archive" ] || [ -e "$archive.none" ] || archive_classes
  exec 9>&-
}

cheap_hash='/^admin:/,/hash/s|hash: .*|hash: "$2y$04$abcdefghijklmnopqrstuuznwgjVJpCukwbzZbjND49ozqnQcHvKG"|'

configure() { # BASE DIR [KEY: VALUE...]
  local base=$1 dir=$2 node=0 count=0 seeds='' names='' each
  shift 2
  for each in ${NODES:-$base}; do
    count=$((count + 1))
    seeds+=${seeds:+, }\"127.0.0.1:${each}1\"
    names+=${names:+, }\"n$count\"
    if [ "$each" = "$base" ]; then node=$count; fi
  done
  [ "$node" -gt 0 ] || die "port base $base is not one of NODES=\"$NODES\""
  mkdir -p "$dir"/{config,data,logs,tmp,repo}
  cp "$setup/opensearch/log4j2.properties" "$dir/config/"
  {
    sed "/^#/d;s/@NODE@/$node/;s/@BASE@/$base/;s#@DIR@#$dir#" "$setup/opensearch/opensearch.yml"
    if [ "$count" -gt 1 ]; then
      printf '%s\n' "discovery.seed_hosts: [$seeds]" "cluster.initial_cluster_manager_nodes: [$names]"
    else
      echo "discovery.type: single-node"
    fi
    if [ -n "$security" ]; then sed "/^#/d;s/@HTTP_TLS@/${HTTP_TLS:-true}/" "$setup/opensearch/security.yml"; fi
    printf '%s\n' "$@"
  } >"$dir/config/opensearch.yml"
  if [ -n "$security" ]; then
    rm -rf "$dir/config/certs" "$dir/config/opensearch-security"
    mkdir "$dir/config/certs"
    cp "$tls"/ca.crt "$tls"/os-node.{crt,key} "$dir/config/certs/"
    cp -r "$setup/opensearch/security" "$dir/config/opensearch-security"
    # The admin's own hash costs what those of new users cost.
    case "$*" in *bcrypt.rounds:\ 4*) sed -i "$cheap_hash" "$dir/config/opensearch-security/internal_users.yml" ;; esac
  fi
}

start() { # BASE DIR [KEY: VALUE...]
  local dir extra=()
  mkdir -p "$2"
  dir=$(cd "$2" && pwd)
  configure "$1" "$dir" "${@:3}"
  cd "$dir"
  [ ! -e "$archive" ] || extra+=("-XX:SharedArchiveFile=$archive")
  exec "$java_home/bin/java" -Xms256m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData "${extra[@]}" ${JAVA_EXTRA:+"$JAVA_EXTRA"} \
    "-Djava.io.tmpdir=$dir/tmp" "-Dopensearch.path.home=$home" "-Dopensearch.path.conf=$dir/config" -Dopensearch.distribution.type=zip \
    -cp "$home/lib/*:$home/agent/*:$runner" RunNode "$home" "$dir/config" >>"$dir/node.log" 2>&1
}

case $command in
  fetch)
    [ $# -gt 0 ] || usage
    for variant in "$@"; do
      use_variant "$variant"
      fetch
    done
    ;;
  start)
    [ $# -ge 3 ] || usage
    use_variant "$1"
    fetch
    start "${@:2}"
    ;;
  usable)
    [ $# -eq 1 ] || usage
    use_variant "$1"
    ;;
  *) usage ;;
esac
