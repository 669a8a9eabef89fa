import type { IncomingMessage, ServerResponse } from 'node:http';
import type { SendSms } from './aliyun.js';
import { aliyunAnswer, AliyunGateway } from './aliyun.js';
import type { AliyunKeys } from './aliyun.js';
import type { Endpoint } from './endpoint.js';
import { Fate } from './fate.js';
import { away, read, reply } from './http.js';
import type { Journal } from './journal.js';
import type { ReceiptPusher } from './receipt-pusher.js';

export interface AliyunOptions {
  readonly seed: string;
  readonly keys: AliyunKeys;
  readonly journal: Journal;
  readonly pusher: ReceiptPusher;
  /** Where an endpoint's receipts go; null: nowhere. */
  readonly callback: (endpoint: string) => string | null;
  readonly timeFactor: number;
}

/** Speaks SendSms for all endpoints: they share the account, each has its own behaviour. */
export class AliyunEndpoints {
  readonly #options: AliyunOptions;
  readonly #gateway: AliyunGateway;

  constructor(options: AliyunOptions) {
    this.#options = options;
    this.#gateway = new AliyunGateway(options.keys);
  }

  async handle(
    endpoint: Endpoint,
    incoming: IncomingMessage,
    outgoing: ServerResponse,
  ): Promise<void> {
    const parameters = await parametersOf(incoming);
    if (parameters.get('Action') === 'QuerySendDetails') {
      this.#queried(endpoint, incoming.method ?? '', parameters, outgoing);
      return;
    }
    const reference = parameters.get('OutId') ?? '';
    const now = Date.now();
    const asked = { endpoint: endpoint.name, reference, at: now, ...endpoint.ask(reference) };
    const { behaviour } = endpoint;
    const fate = new Fate(this.#options.seed, reference);
    const refuse = (code: string, status: number, message = code): void => {
      this.#journal(asked, code, null);
      const latencyMs = fate.delayMs('latency', behaviour.latencyMs);
      reply(outgoing, status, aliyunAnswer(code, message, null), latencyMs);
    };
    if (behaviour.outage !== 'none') {
      this.#journal(asked, behaviour.outage, null);
      away(behaviour.outage, outgoing);
      return;
    }
    const checked = this.#gateway.check(incoming.method ?? '', parameters, now);
    if (!checked.ok) {
      refuse(checked.code, checked.status, checked.message);
      return;
    }
    if (checked.action !== 'SendSms') return;
    if (endpoint.throttled(now)) {
      refuse('Throttling.User', 400);
      return;
    }
    const error = fate.pick('error', behaviour.errors);
    if (error !== null) {
      refuse(error, 200);
      return;
    }
    const bizId = bizIdOf(now, fate);
    endpoint.accept(reference);
    this.#report(fate, endpoint, checked.request, bizId, now);
    if (fate.roll('unanswered') < behaviour.unanswered) {
      this.#journal(asked, 'none', bizId);
      return;
    }
    this.#journal(asked, 'OK', bizId);
    const latencyMs = fate.delayMs('latency', behaviour.latencyMs);
    reply(outgoing, 200, aliyunAnswer('OK', 'OK', bizId), latencyMs);
  }

  #queried(
    endpoint: Endpoint,
    method: string,
    parameters: URLSearchParams,
    outgoing: ServerResponse,
  ): void {
    const { name, behaviour } = endpoint;
    const now = Date.now();
    const note = (answer: string): void => {
      this.#options.journal.add({ kind: 'queried', at: now, endpoint: name, answer });
    };
    if (behaviour.outage !== 'none') {
      note(behaviour.outage);
      away(behaviour.outage, outgoing);
      return;
    }
    const checked = this.#gateway.check(method, parameters, now);
    if (!checked.ok) {
      note(checked.code);
      reply(outgoing, checked.status, aliyunAnswer(checked.code, checked.message, null));
      return;
    }
    if (checked.action !== 'QuerySendDetails') return;
    note('OK');
    reply(outgoing, 200, endpoint.sent.answer(checked.request, now));
  }

  #journal(
    asked: {
      readonly endpoint: string;
      readonly reference: string;
      readonly at: number;
      readonly nth: number;
      readonly repeated: boolean;
    },
    answer: string,
    bizId: string | null,
  ): void {
    this.#options.journal.add({
      kind: 'asked',
      ...asked,
      answer,
      accepted: bizId !== null,
      providerMessageId: bizId,
    });
  }

  #report(
    fate: Fate,
    { name, sent, behaviour: { receipts } }: Endpoint,
    { outId, phoneNumber }: SendSms,
    bizId: string,
    acceptedAt: number,
  ): void {
    const { pusher, timeFactor, callback } = this.#options;
    const error = fate.pick('receipt error', receipts.errors);
    const late = fate.roll('late') < receipts.late;
    const afterMs = late ? receipts.lateMs : fate.delayMs('receipt', receipts.delayMs);
    sent.add({
      outId,
      phoneNumber,
      acceptedAt,
      reportedAt: acceptedAt + afterMs * timeFactor,
      success: error === null,
      code: error ?? 'DELIVERED',
    });
    const url = callback(name);
    if (url === null || fate.roll('lost') < receipts.lost) return;
    const receipt = {
      endpoint: name,
      reference: outId,
      bizId,
      phoneNumber,
      success: error === null,
      code: error ?? 'DELIVERED',
      acceptedAt,
    };
    pusher.push(receipt, url, afterMs * timeFactor);
    if (fate.roll('duplicate') < receipts.duplicate)
      pusher.push(receipt, url, (afterMs + fate.delayMs('again', receipts.delayMs)) * timeFactor);
  }
}

const parametersOf = async (incoming: IncomingMessage): Promise<URLSearchParams> => {
  const body = await read(incoming);
  const query = (incoming.url ?? '').split('?')[1] ?? '';
  return new URLSearchParams(query === '' ? body.toString('utf8') : `${query}&${body.toString()}`);
};

/** Unique, and of the real one's form: digits^0. */
const bizIdOf = (now: number, fate: Fate): string => {
  const digits = Math.floor(fate.roll('biz') * 1e9)
    .toString()
    .padStart(9, '0');
  return `${String(now)}${digits}^0`;
};
