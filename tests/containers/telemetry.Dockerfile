# Debian's Prometheus and Pushgateway, and a sink in the place of Loki.
FROM init-tests/tools
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends prometheus prometheus-pushgateway >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* && mkdir -p /prometheus /loki && chown server /prometheus /loki
COPY start.sh sink.sh /
USER server
ENTRYPOINT ["/start.sh"]
