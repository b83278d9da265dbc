"""What people write with kafka-python: the topics of a file that are not there are made.

kafka_python.py BOOTSTRAP FILE
"""
import json
import sys

from kafka.admin import KafkaAdminClient, NewTopic

bootstrap, file = sys.argv[1:]
with open(file) as text:
    wanted = json.load(text)
admin = KafkaAdminClient(bootstrap_servers=bootstrap)
there = set(admin.list_topics())
new = [NewTopic(name=name, num_partitions=body["partitions"], replication_factor=1,
                topic_configs={key: str(value) for key, value in body["config"].items()})
       for name, body in wanted.items() if name not in there]
if new:
    admin.create_topics(new)
admin.close()
