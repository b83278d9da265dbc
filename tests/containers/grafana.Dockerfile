# The stand-in for Grafana, in the place of the official image.
FROM init-tests/tools
COPY grafana-standin /usr/local/bin/
RUN mkdir -p /var/lib/grafana && chown server /var/lib/grafana
COPY start.sh /start.sh
USER server
ENTRYPOINT ["/start.sh"]
