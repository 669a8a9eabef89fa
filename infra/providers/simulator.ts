import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AliyunEndpoints } from './aliyun-endpoint.js';
import type { AliyunKeys } from './aliyun.js';
import type { Control } from './behaviour.js';
import { controlSchema, SMS_DEFAULTS, WEBHOOK_DEFAULTS } from './behaviour.js';
import { Endpoint } from './endpoint.js';
import { jsonOf, read, reply } from './http.js';
import { Journal } from './journal.js';
import { ReceiptPusher } from './receipt-pusher.js';
import { WebhookEndpoints } from './webhook-endpoint.js';

export interface SimulatorOptions {
  readonly host?: string;
  /** 0: any free one. */
  readonly port: number;
  /** The same seed gives each message the same fate. */
  readonly seed: string;
  readonly keys: AliyunKeys;
  /** whsec_...: what webhooks must be signed with. */
  readonly webhookSecret: string;
  /** Base of the callback endpoint, e.g. http://127.0.0.1:8088; receipts go to <base>/receipts/<endpoint>. */
  readonly callbackUrl?: string;
  /** Put behind the callback's path, where one is asked for. */
  readonly callbackToken?: string;
  /** NDJSON of everything asked, answered and reported. */
  readonly journal?: string;
  /** Multiplies receipts' delays and the waits between their pushes: 0.01 makes 10 minutes 6 seconds. */
  readonly timeFactor?: number;
}

export interface Simulator {
  readonly port: number;
  readonly url: string;
  /** @throws where a change does not fit */
  readonly control: (control: Control) => void;
  /** Receipts not acknowledged yet and not given up. */
  readonly waitingReceipts: () => number;
  /** Once it resolves, everything that happened is in the journal's file. */
  readonly flush: () => Promise<void>;
  readonly close: () => Promise<void>;
}

/**
 * Carriers and receivers over real HTTP: POST /<endpoint> speaks Aliyun's SendSms (the endpoint's name is the
 * provider's, and its own behaviour hangs on it), POST /webhook/<name> receives Standard Webhooks, POST /control
 * changes behaviour, GET /control shows it, GET /health.
 */
export const startSimulator = async (options: SimulatorOptions): Promise<Simulator> => {
  const { seed, callbackUrl, callbackToken } = options;
  const timeFactor = options.timeFactor ?? 1;
  const host = options.host ?? '127.0.0.1';
  const journal = await Journal.open(options.journal);
  const pusher = new ReceiptPusher(journal, timeFactor);
  const endpoints = new Endpoints();
  const token = callbackToken === undefined ? '' : `/${callbackToken}`;
  const aliyun = new AliyunEndpoints({
    seed,
    keys: options.keys,
    journal,
    pusher,
    timeFactor,
    callback: (name) =>
      callbackUrl === undefined ? null : `${callbackUrl}/receipts/${name}${token}`,
  });
  const webhooks = new WebhookEndpoints({ seed, secret: options.webhookSecret, journal });

  const handle = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const [, first = '', second = ''] = (incoming.url ?? '').split('?')[0]?.split('/') ?? [];
    if (first === 'health') {
      reply(outgoing, 200, '{"ok":true}');
      return;
    }
    if (first === 'control') return controlled(incoming, outgoing, endpoints);
    if (first === 'webhook')
      return webhooks.handle(endpoints.get(`webhook/${second}`), incoming, outgoing);
    return aliyun.handle(endpoints.get(first), incoming, outgoing);
  };

  const server = createServer((incoming, outgoing) => {
    handle(incoming, outgoing).catch(() => {
      outgoing.destroy();
    });
  });
  // Longer than any client's: a connection closed under a request would look like an ambiguous answer.
  server.keepAliveTimeout = 65_000;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, host, resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `http://${host}:${String(port)}`,
    control: (asked) => {
      endpoints.control(asked);
    },
    waitingReceipts: () => pusher.waiting,
    flush: () => journal.flush(),
    close: async () => {
      endpoints.control({ reset: true });
      // Unanswered requests would hold it open for ever.
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await pusher.close();
      await journal.close();
    },
  };
};

/** Endpoints come into being when they are first asked, or controlled. */
class Endpoints {
  readonly #byName = new Map<string, Endpoint>();
  /** What was said of all of them, for those that come later. */
  #forAll: Control[] = [];

  get(name: string): Endpoint {
    const known = this.#byName.get(name);
    if (known !== undefined) return known;
    const made = new Endpoint(name, name.startsWith('webhook/') ? WEBHOOK_DEFAULTS : SMS_DEFAULTS);
    this.#byName.set(name, made);
    for (const control of this.#forAll) apply(made, control);
    return made;
  }

  all(): Readonly<Record<string, unknown>> {
    return Object.fromEntries([...this.#byName].map(([name, { behaviour }]) => [name, behaviour]));
  }

  control(control: Control): void {
    if (control.endpoint !== undefined) {
      apply(this.get(control.endpoint), control);
      return;
    }
    for (const endpoint of this.#byName.values()) apply(endpoint, control);
    if (control.reset === true) this.#forAll = [];
    if (control.change !== undefined) this.#forAll.push({ change: control.change });
  }
}

const apply = (endpoint: Endpoint, { reset, change, schedule }: Control): void => {
  if (reset === true) endpoint.reset();
  if (change !== undefined) endpoint.change(change);
  for (const later of schedule ?? []) endpoint.changeAfter(later.afterMs, later.change);
};

const controlled = async (
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  endpoints: Endpoints,
): Promise<void> => {
  if (incoming.method === 'POST') {
    const parsed = controlSchema.safeParse(jsonOf(await read(incoming)));
    if (!parsed.success) {
      reply(outgoing, 400, JSON.stringify({ error: parsed.error.issues }));
      return;
    }
    endpoints.control(parsed.data);
  }
  reply(outgoing, 200, JSON.stringify(endpoints.all()));
};
