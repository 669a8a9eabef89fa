"""Writes message requests to an ingest topic.

    python produce.py --bootstrap localhost:9092 --registry http://localhost:8081 --topic ingest.p1 --count 10

With --requests FILE it sends your own, one JSON object {"key": ..., "value": {...}} a line. The last line of its
output is one JSON object with what was written.
"""

import argparse
import json
import random
import sys
import time
import uuid
from collections import Counter

from confluent_kafka import Producer

from framing import Registry, encode

UNKNOWN_SCHEMA_ID = 0x7FFFFFFF
MALFORMED = ("not_framed", "unknown_schema", "undecodable", "tombstone")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--registry", required=True, help="base URL of the Confluent API")
    parser.add_argument("--registry-user")
    parser.add_argument("--registry-password")
    parser.add_argument("--topic", required=True, help="the lane: ingest.p0 (most urgent) .. ingest.p3 (bulk)")
    parser.add_argument("--requests", help="NDJSON of {key, value} to send instead of generated ones; - is stdin")
    parser.add_argument("--count", type=int, default=10, help="messages, duplicates and malformed ones included")
    parser.add_argument("--compression", default="none", choices=["none", "gzip", "snappy", "lz4", "zstd"])
    parser.add_argument("--duplicates", type=float, default=0, help="percent that repeat an earlier message")
    parser.add_argument("--malformed", type=float, default=0, help="percent that end in dead-letters")
    parser.add_argument("--transactional", action="store_true", help="write in transactions of 500")
    parser.add_argument("--aborted", type=int, default=0, help="valid requests written first, in a transaction that is aborted")
    parser.add_argument("--tenant", default="acme")
    parser.add_argument("--business-line", default="promotions")
    parser.add_argument("--attribute", default="marketing")
    parser.add_argument("--template", default="welcome")
    parser.add_argument("--channels", default="", help="comma-separated, in order of preference; empty: policy decides")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same duplicates and malformed ones")
    parser.add_argument("--report", action="store_true", help="one JSON line a message: key, partition, offset")
    options = parser.parse_args()
    if options.aborted and not options.transactional:
        parser.error("--aborted needs --transactional")
    return options


def producer_for(options):
    settings = {
        "bootstrap.servers": options.bootstrap,
        # A request that was acknowledged is not lost, and a retry of the client writes it once.
        "acks": "all",
        "enable.idempotence": True,
        # librdkafka's own default is another hash: one key would lie on two partitions.
        "partitioner": "murmur2_random",
        "compression.type": options.compression,
        "linger.ms": 5,
    }
    if options.transactional:
        settings["transactional.id"] = f"millrace-example-{uuid.uuid4()}"
    return Producer(settings)


def request(options, rng, index):
    user = f"user-{rng.randrange(100_000):05d}"
    return {
        "messageId": str(uuid.uuid4()),
        "tenantId": options.tenant,
        "businessLine": options.business_line,
        "attribute": options.attribute,
        "recipient": {"userId": user, "phone": f"+86138{rng.randrange(10**8):08d}", "pushTokens": [f"token-{user}"]},
        "templateId": options.template,
        "params": {"name": f"guest {index}", "code": f"{rng.randrange(10**6):06d}"},
        "channels": [name for name in options.channels.split(",") if name],
        "createdAt": int(time.time() * 1000),
        "labels": {"producer": "python"},
    }


def malformed(kind, framed):
    if kind == "not_framed":
        return b'{"messageId":"this is JSON, not Avro"}'
    if kind == "unknown_schema":
        return framed[:1] + UNKNOWN_SCHEMA_ID.to_bytes(4, "big") + framed[5:]
    if kind == "undecodable":
        return framed[: len(framed) // 2]
    return None


def generated(options, schema_id, schema):
    """(kind, key, value, messageId) of each message, in order."""
    rng = random.Random(options.seed)
    bad = round(options.count * options.malformed / 100)
    again = round(options.count * options.duplicates / 100)
    kinds = ["malformed"] * bad + ["duplicate"] * again + ["request"] * (options.count - bad - again)
    rng.shuffle(kinds)
    if "request" in kinds:  # A duplicate needs something before it.
        first = kinds.index("request")
        kinds[0], kinds[first] = kinds[first], kinds[0]
    sent = []
    bad_so_far = 0
    for index, kind in enumerate(kinds):
        if kind == "duplicate":
            key, value, message_id = rng.choice(sent)
            yield "duplicate", key, value, message_id
            continue
        record = request(options, rng, index)
        # The recipient as key keeps one person's messages in order.
        key = record["recipient"]["userId"]
        value = encode(schema_id, schema, record)
        if kind == "malformed":
            which = MALFORMED[bad_so_far % len(MALFORMED)]
            bad_so_far += 1
            yield which, key, malformed(which, value), None
        else:
            sent.append((key, value, record["messageId"]))
            yield "request", key, value, record["messageId"]


def from_file(name, schema_id, schema):
    lines = sys.stdin if name == "-" else open(name, encoding="utf-8")
    for line in lines:
        if line.strip():
            one = json.loads(line)
            yield "request", one["key"], encode(schema_id, schema, one["value"]), one["value"]["messageId"]


def main():
    options = arguments()
    schema_id, schema = Registry(options.registry, options.registry_user, options.registry_password).latest(options.topic)
    producer = producer_for(options)
    counts = Counter()
    failures = []

    def delivered(error, message, kind, message_id):
        if error is not None:
            failures.append(str(error))
        elif options.report:
            key = message.key().decode() if message.key() is not None else None
            place = {"partition": message.partition(), "offset": message.offset()}
            print(json.dumps({"kind": kind, "messageId": message_id, "key": key, **place}))

    def send(kind, key, value, message_id):
        def report(error, message):
            delivered(error, message, kind, message_id)

        while True:
            try:
                producer.produce(options.topic, key=key, value=value, on_delivery=report)
                break
            except BufferError:  # The local queue is full: let deliveries make room.
                producer.poll(0.1)
        producer.poll(0)
        counts[kind] += 1

    if options.transactional:
        producer.init_transactions(30)
    if options.aborted:
        producer.begin_transaction()
        rng = random.Random(-options.seed)
        for index in range(options.aborted):
            record = request(options, rng, index)
            send("aborted", record["recipient"]["userId"], encode(schema_id, schema, record), record["messageId"])
        producer.flush(30)
        producer.abort_transaction(30)

    if options.requests:
        messages = from_file(options.requests, schema_id, schema)
    else:
        messages = generated(options, schema_id, schema)
    if options.transactional:
        producer.begin_transaction()
    for index, message in enumerate(messages):
        if options.transactional and index > 0 and index % 500 == 0:
            producer.commit_transaction(30)
            producer.begin_transaction()
        send(*message)
    if options.transactional:
        producer.commit_transaction(30)
    left = producer.flush(60)
    if failures or left:
        raise SystemExit(f"{len(failures) + left} not written: {failures[:3]}")

    bad = {kind: counts[kind] for kind in MALFORMED if counts[kind]}
    print(
        json.dumps(
            {
                "topic": options.topic,
                "written": sum(counts.values()) - counts["aborted"],
                "requests": counts["request"],
                "duplicates": counts["duplicate"],
                "malformed": bad,
                "aborted": counts["aborted"],
            }
        )
    )


if __name__ == "__main__":
    main()
