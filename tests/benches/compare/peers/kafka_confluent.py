"""What people write with confluent-kafka: topics, bindings or users from a file, made if they are not there.

kafka_confluent.py create|compare|acls|users BOOTSTRAP FILE
"""
import json
import sys

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (AclBinding, AclOperation, AclPermissionType, AdminClient, ConfigResource, NewTopic,
                                   ResourcePatternType, ResourceType, ScramCredentialInfo, ScramMechanism,
                                   UserScramCredentialUpsertion)

what, bootstrap, file = sys.argv[1:]
with open(file) as text:
    wanted = json.load(text)
admin = AdminClient({"bootstrap.servers": bootstrap})


def create(topics):
    new = [NewTopic(name, num_partitions=body["partitions"], replication_factor=1,
                    config={key: str(value) for key, value in body["config"].items()}) for name, body in topics.items()]
    for future in admin.create_topics(new).values() if new else []:
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


if what == "create":
    create(wanted)
elif what == "compare":
    there = admin.list_topics(timeout=10).topics
    create({name: body for name, body in wanted.items() if name not in there})
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in wanted if name in there]
    for resource, future in admin.describe_configs(resources).items() if resources else []:
        held = future.result()
        for key, value in wanted[resource.name]["config"].items():
            if held[key].value != str(value):
                sys.exit(f"{resource.name}: {key} is {held[key].value}")
elif what == "acls":
    bindings = [AclBinding(ResourceType.TOPIC, name, ResourcePatternType.LITERAL, "User:app", "*", operation,
                           AclPermissionType.ALLOW) for name in wanted for operation in (AclOperation.READ, AclOperation.DESCRIBE)]
    for future in admin.create_acls(bindings).values():
        future.result()
elif what == "users":
    users = [UserScramCredentialUpsertion(name, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), body["password"].encode())
             for name, body in wanted.items()]
    for future in admin.alter_user_scram_credentials(users).values():
        future.result()
