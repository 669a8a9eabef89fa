import type { IncomingMessage, ServerResponse } from 'node:http';
import { Webhook } from 'standardwebhooks';
import type { Endpoint } from './endpoint.js';
import { Fate } from './fate.js';
import { away, read, reply } from './http.js';
import type { Journal } from './journal.js';

export interface WebhookOptions {
  readonly seed: string;
  /** whsec_... */
  readonly secret: string;
  readonly journal: Journal;
}

/** Receives Standard Webhooks: checks signature and time, and journals an id that it accepted before as repeated. */
export class WebhookEndpoints {
  readonly #options: WebhookOptions;
  readonly #verifier: Webhook;

  constructor(options: WebhookOptions) {
    this.#options = options;
    this.#verifier = new Webhook(options.secret);
  }

  async handle(
    endpoint: Endpoint,
    incoming: IncomingMessage,
    outgoing: ServerResponse,
  ): Promise<void> {
    const body = await read(incoming);
    const reference = String(incoming.headers['webhook-id'] ?? '');
    const now = Date.now();
    const asked = { endpoint: endpoint.name, reference, at: now, ...endpoint.ask(reference) };
    const { behaviour } = endpoint;
    // Each try has its own fate: a receiver in trouble recovers, although the id stays the same.
    const fate = new Fate(this.#options.seed, `${reference}#${String(asked.nth)}`);
    const journal = (answer: string, accepted: boolean): void => {
      this.#options.journal.add({
        kind: 'asked',
        ...asked,
        answer,
        accepted,
        providerMessageId: null,
      });
    };
    const answer = (status: number, headers?: Readonly<Record<string, string>>): void => {
      journal(String(status), status < 300);
      reply(outgoing, status, '{}', fate.delayMs('latency', behaviour.latencyMs), headers);
    };
    if (behaviour.outage !== 'none') {
      journal(behaviour.outage, false);
      away(behaviour.outage, outgoing);
      return;
    }
    if (!this.#verified(body, incoming)) {
      answer(401);
      return;
    }
    if (endpoint.throttled(now)) {
      answer(429, { 'retry-after': '1' });
      return;
    }
    const error = fate.pick('error', behaviour.errors);
    if (error !== null) {
      answer(Number(error));
      return;
    }
    endpoint.accept(reference);
    if (fate.roll('unanswered') < behaviour.unanswered) journal('none', true);
    else answer(200);
  }

  #verified(body: Buffer, { headers }: IncomingMessage): boolean {
    try {
      this.#verifier.verify(body, headers as Record<string, string>);
      return true;
    } catch {
      return false;
    }
  }
}
