"""Confluent's wire format around Avro: a zero byte, the schema id (4 bytes, big-endian), the record."""

import base64
import io
import json
import struct
import urllib.error
import urllib.parse
import urllib.request

import fastavro

FRAME = struct.Struct(">bI")


class Registry:
    """Reads schemas; registers none (what confluent's serializers call auto.register.schemas=false)."""

    def __init__(self, url, user=None, password=None):
        self.url = url.rstrip("/")
        self.headers = {"Accept": "application/vnd.schemaregistry.v1+json"}
        if user:
            token = base64.b64encode(f"{user}:{password}".encode()).decode()
            self.headers["Authorization"] = f"Basic {token}"
        self.by_id = {}

    def _get(self, path):
        request = urllib.request.Request(self.url + path, headers=self.headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"schema registry: {path}: {error.code} {error.read()[:200]!r}") from error

    def latest(self, topic):
        """Id and parsed schema of a topic's values."""
        subject = urllib.parse.quote(f"{topic}-value", safe="")
        answer = self._get(f"/subjects/{subject}/versions/latest")
        schema = fastavro.parse_schema(json.loads(answer["schema"]))
        self.by_id[answer["id"]] = schema
        return answer["id"], schema

    def schema(self, schema_id):
        if schema_id not in self.by_id:
            answer = self._get(f"/schemas/ids/{schema_id}")
            self.by_id[schema_id] = fastavro.parse_schema(json.loads(answer["schema"]))
        return self.by_id[schema_id]


def encode(schema_id, schema, record):
    out = io.BytesIO()
    out.write(FRAME.pack(0, schema_id))
    fastavro.schemaless_writer(out, schema, record)
    return out.getvalue()


def decode(registry, value):
    """The record of a framed value, in its writer's schema: names you do not know yet may appear."""
    magic, schema_id = FRAME.unpack_from(value)
    if magic != 0:
        raise ValueError("not in the Confluent wire format")
    return fastavro.schemaless_reader(io.BytesIO(value[FRAME.size :]), registry.schema(schema_id), None)
