#!/bin/sh
# kcat cannot encode Avro, but it sends a file's bytes as they are. Usage:
#   BOOTSTRAP=localhost:9092 REGISTRY=http://localhost:8081 ./produce.sh ingest.p1 KEY request.json
set -eu
topic=$1 key=$2 request=$3
here=$(cd "$(dirname "$0")" && pwd)
framed=$(mktemp)
trap 'rm -f "$framed"' EXIT
node "$here/../node/frame.mjs" --registry "${REGISTRY:-http://localhost:8081}" --topic "$topic" <"$request" >"$framed"
kcat -P -b "${BOOTSTRAP:-localhost:9092}" -t "$topic" -k "$key" \
  -X acks=all -X enable.idempotence=true -X partitioner=murmur2_random \
  "$framed"
