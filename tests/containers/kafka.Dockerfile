# In the place of the official image: same port, same volume.
FROM init-tests/java
COPY jars /opt/kafka/jars
RUN mkdir -p /var/lib/kafka/data && chown server /var/lib/kafka/data
COPY start.sh /start.sh
USER server
ENTRYPOINT ["/start.sh"]
