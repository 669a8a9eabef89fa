import { parseArgs } from 'node:util';
import { startSimulator } from './simulator.js';

const HELP = `Simulated carriers and webhook receivers. For tests, demonstrations and training.

  node dist/infra/providers/main.js [options]

  --port N              default 0 (any free one)
  --host H              default 127.0.0.1
  --seed S              the same seed gives each message the same fate; default 1
  --callback-url URL    receipts are pushed to URL/receipts/<provider>; absent: none are pushed
  --callback-token T    put behind the callback's path (or CALLBACK_TOKEN)
  --journal FILE        NDJSON of everything asked, answered and reported
  --time-factor F       multiplies receipts' delays; default 1
  --help

Environment: ALIYUN_ACCESS_KEY_ID, ALIYUN_ACCESS_KEY_SECRET (default simulated, simulated-secret),
WEBHOOK_SECRET (default whsec_ + base64 of "millrace simulated receiver").
Behaviour: POST /control {"endpoint"?, "reset"?, "change"?, "schedule"?}; docs/channels.md has examples.
`;

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: process.env['PROVIDERS_PORT'] ?? '0' },
    host: { type: 'string', default: '127.0.0.1' },
    seed: { type: 'string', default: '1' },
    'callback-url': { type: 'string' },
    'callback-token': { type: 'string' },
    journal: { type: 'string' },
    'time-factor': { type: 'string', default: '1' },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  process.stdout.write(HELP);
} else {
  const callbackToken = values['callback-token'] ?? process.env['CALLBACK_TOKEN'];
  const simulator = await startSimulator({
    port: Number(values.port),
    host: values.host,
    seed: values.seed,
    timeFactor: Number(values['time-factor']),
    keys: {
      accessKeyId: process.env['ALIYUN_ACCESS_KEY_ID'] ?? 'simulated',
      accessKeySecret: process.env['ALIYUN_ACCESS_KEY_SECRET'] ?? 'simulated-secret',
    },
    webhookSecret:
      process.env['WEBHOOK_SECRET'] ??
      `whsec_${Buffer.from('millrace simulated receiver').toString('base64')}`,
    ...(values['callback-url'] === undefined ? {} : { callbackUrl: values['callback-url'] }),
    ...(callbackToken === undefined ? {} : { callbackToken }),
    ...(values.journal === undefined ? {} : { journal: values.journal }),
  });
  process.stdout.write(`providers: ready ${simulator.url}\n`);
  let closing = false;
  const stop = (): void => {
    if (closing) return;
    closing = true;
    void simulator.close().then(() => {
      process.exit(0);
    });
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}
