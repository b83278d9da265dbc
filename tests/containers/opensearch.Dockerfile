# In the place of the official image: same port, same volume. A stand-in answers for index state management, which no registry carries.
FROM init-tests/java
COPY opensearch /usr/share/opensearch
COPY runnode.jar /opt/runnode.jar
COPY log4j2.properties /opt/config/
COPY ism-standin /usr/local/bin/
RUN mkdir -p /usr/share/opensearch/data /usr/share/opensearch/logs \
 && chown -R server /usr/share/opensearch/data /usr/share/opensearch/logs /opt/config
COPY start.sh /start.sh
USER server
ENTRYPOINT ["/start.sh"]
