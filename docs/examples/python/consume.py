"""Reads what came back: `feedback` and `refused`.

    python consume.py --bootstrap localhost:9092 --registry http://localhost:8081 --topic feedback --topic refused --count 10

Prints one JSON object a line: {"topic", "partition", "offset", "key", "value"}.
"""

import argparse
import json
import time
import uuid
from datetime import datetime

from confluent_kafka import Consumer, KafkaError

from framing import Registry, decode


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--registry", required=True, help="base URL of the Confluent API")
    parser.add_argument("--registry-user")
    parser.add_argument("--registry-password")
    parser.add_argument("--topic", action="append", required=True, help="may be given several times")
    parser.add_argument("--group", default=f"millrace-example-{uuid.uuid4()}", help="kept, it resumes where it stopped")
    parser.add_argument("--count", type=int, default=0, help="stop after so many; 0: never")
    parser.add_argument("--seconds", type=float, default=0, help="stop after so long; 0: never")
    return parser.parse_args()


def as_json(value):
    """fastavro answers datetimes for timestamp-millis; print the milliseconds that travelled."""
    if isinstance(value, datetime):
        return round(value.timestamp() * 1000)
    raise TypeError(type(value))


def main():
    options = arguments()
    registry = Registry(options.registry, options.registry_user, options.registry_password)
    consumer = Consumer(
        {
            "bootstrap.servers": options.bootstrap,
            "group.id": options.group,
            "auto.offset.reset": "earliest",
            # Millrace writes in transactions: what was aborted never happened.
            "isolation.level": "read_committed",
            # Commit by hand, after the effect: read again is better than lost. feedbackId tells repeats.
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe(options.topic)
    started = time.monotonic()
    seen = 0
    try:
        while not (options.count and seen >= options.count):
            if options.seconds and time.monotonic() - started > options.seconds:
                break
            message = consumer.poll(0.5)
            if message is None:
                continue
            if message.error():
                if message.error().code() == KafkaError._PARTITION_EOF:
                    continue
                raise SystemExit(f"kafka: {message.error()}")
            key = message.key().decode() if message.key() is not None else None
            place = {"topic": message.topic(), "partition": message.partition(), "offset": message.offset(), "key": key}
            print(json.dumps({**place, "value": decode(registry, message.value())}, default=as_json), flush=True)
            seen += 1
            consumer.commit(message, asynchronous=True)
    finally:
        consumer.close()


if __name__ == "__main__":
    main()
