#!/bin/bash
# The command of the servers' test images: start.sh kafka|opensearch|grafana|loki|pushgateway|prometheus|sleep…
# START_DELAY is how many seconds it takes to begin.
set -euo pipefail
if [ -n "${START_DELAY:-}" ]; then sleep "$START_DELAY"; fi

kafka() {
  local settings=/tmp/server.properties classes='/opt/kafka/jars/*'
  local java=(java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$classes")
  # The official image has these of its own.
  export KAFKA_LOG_DIRS=${KAFKA_LOG_DIRS:-/var/lib/kafka/data} CLUSTER_ID=${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}
  # What the official image makes of its environment: KAFKA_LOG_DIRS is log.dirs.
  env | sed -n 's/^KAFKA_\([A-Z_]*\)=\(.*\)/\1=\2/p' | grep -vE '^(HEAP_OPTS|CLUSTER_ID)=' \
    | while IFS='=' read -r name value; do echo "$(tr 'A-Z_' 'a-z.' <<<"$name")=$value"; done >"$settings"
  [ -e "$KAFKA_LOG_DIRS/meta.properties" ] || "${java[@]}" kafka.tools.StorageTool format -t "$CLUSTER_ID" -c "$settings" >/dev/null
  exec "${java[@]}" kafka.Kafka "$settings"
}

# The stand-ins listen on the loopback interface alone.
outside() { # PORT INNER
  socat "TCP-LISTEN:$1,fork,reuseaddr" "TCP:127.0.0.1:$2"
}

opensearch() {
  local home=/usr/share/opensearch config=/opt/config
  ism-standin --release 2 --port 9201 --to http://127.0.0.1:9202 &
  outside 9200 9201 &
  printf '%s\n' 'cluster.name: init-tests' 'node.name: n1' 'http.port: 9202' 'discovery.type: single-node' "path.data: $home/data" \
    "path.logs: $home/logs" 'cluster.routing.allocation.disk.threshold_enabled: false' >"$config/opensearch.yml"
  # The words are options.
  # shellcheck disable=SC2086
  exec java ${OPENSEARCH_JAVA_OPTS:-} -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "-Dopensearch.path.home=$home" "-Dopensearch.path.conf=$config" \
    -Dopensearch.distribution.type=zip -cp "$home/lib/*:$home/agent/*:/opt/runnode.jar" RunNode "$home" "$config"
}

grafana() {
  local password
  password=${GF_SECURITY_ADMIN_PASSWORD:-$(cat "${GF_SECURITY_ADMIN_PASSWORD__FILE:-/dev/null}")}
  grafana-standin --profile 12 --port 3001 --password "$password" &
  outside 3000 3001
}

case $1 in
  kafka | opensearch | grafana) "$1" ;;
  loki) exec socat TCP-LISTEN:3100,fork,reuseaddr EXEC:/sink.sh ;;
  pushgateway) exec prometheus-pushgateway ;;
  prometheus) exec prometheus --config.file=/etc/prometheus/prometheus.yml --storage.tsdb.path=/prometheus ;;
  *) exec "$@" ;;
esac
