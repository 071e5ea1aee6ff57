"""Asks for a VM by a message and prints the answer: BROKERS, CHRYSALIS_TOKEN; name, type and image as arguments. Needs kafka-python 2.2.15."""

import json, os, sys, uuid
from datetime import datetime, timedelta, timezone
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

brokers = os.environ["BROKERS"].split(",")
name, vm_type, image = sys.argv[1:4]
command = str(uuid.uuid4())  # the idempotency key: sent again with it, the VM is still made once
replies = f"chrysalis.replies.{uuid.uuid4()}"

admin = KafkaAdminClient(bootstrap_servers=brokers)
admin.create_topics([NewTopic(replies, 1, 1)])
try:
    answers = KafkaConsumer(bootstrap_servers=brokers, consumer_timeout_ms=60_000)
    answers.assign([TopicPartition(replies, 0)])
    answers.seek_to_beginning()
    attributes = {
        "specversion": "1.0",
        "id": command,
        "source": "/examples/create-vm",
        "type": "chrysalis.provisioning.vm.create.v1",
        "replyto": replies,
        "expirytime": (datetime.now(timezone.utc) + timedelta(minutes=1)).isoformat(),
    }
    data = {"token": os.environ["CHRYSALIS_TOKEN"], "body": {"name": name, "type": vm_type, "image": image}}
    producer = KafkaProducer(bootstrap_servers=brokers)
    headers = [("content-type", b"application/json")] + [(f"ce_{key}", value.encode()) for key, value in attributes.items()]
    producer.send("chrysalis.commands", json.dumps(data).encode(), command.encode(), headers).get(timeout=10)
    print(next((answer.value.decode() for answer in answers if dict(answer.headers)["ce_causationid"].decode() == command), "no answer came"))
finally:
    admin.delete_topics([replies])
