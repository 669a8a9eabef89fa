// One request as JSON on stdin, its framed bytes on stdout, for tools that cannot encode Avro:
//
//   node frame.mjs --registry http://localhost:8081 --topic ingest.p1 < request.json > request.bin
import { stdin, stdout } from 'node:process';
import { parseArgs } from 'node:util';
import { encode, latestSchema } from './framing.mjs';

const { values: options } = parseArgs({
  options: {
    registry: { type: 'string', default: 'http://localhost:8081' },
    topic: { type: 'string', default: 'ingest.p1' },
  },
});

let text = '';
for await (const chunk of stdin.setEncoding('utf8')) text += chunk;
stdout.write(encode(await latestSchema(options.registry, options.topic), JSON.parse(text)));
