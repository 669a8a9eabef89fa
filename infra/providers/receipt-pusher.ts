import type { Dispatcher } from 'undici';
import { Agent, request } from 'undici';
import { z } from 'zod';
import type { Journal } from './journal.js';
import { beijing } from './sent.js';

/** A receipt as the carrier pushes it. */
export interface Receipt {
  readonly endpoint: string;
  readonly reference: string;
  readonly bizId: string;
  readonly phoneNumber: string;
  readonly success: boolean;
  readonly code: string;
  readonly acceptedAt: number;
}

interface Due {
  readonly receipt: Receipt;
  readonly push: number;
  /** Where each push goes: to the callback as it was when the message was accepted. */
  readonly url: string;
}

const TICK_MS = 20;
const MAX_PER_PUSH = 200;
const PUSH_TIMEOUT_MS = 10_000;
/** Aliyun pushes again 1, 5 and 10 minutes after a push that was not acknowledged, then gives up. */
const AGAIN_AFTER_MS = [60_000, 300_000, 600_000] as const;

const acknowledgement = z.object({ code: z.literal(0) });

/** Pushes receipts when they are due, in batches, and again where they were not acknowledged. */
export class ReceiptPusher {
  readonly #journal: Journal;
  readonly #timeFactor: number;
  readonly #agent: Dispatcher = new Agent({ connections: 8 });
  readonly #ticks = new Map<number, Due[]>();
  readonly #pushing = new Set<Promise<void>>();
  readonly #timer: NodeJS.Timeout;
  #next: number;
  #waiting = 0;

  /** @param timeFactor shortens the waits between pushes of one receipt */
  constructor(journal: Journal, timeFactor: number) {
    this.#journal = journal;
    this.#timeFactor = timeFactor;
    this.#next = tickOf(Date.now());
    this.#timer = setInterval(() => {
      this.#pushDue();
    }, TICK_MS);
    this.#timer.unref();
  }

  /** Receipts not acknowledged and not given up. */
  get waiting(): number {
    return this.#waiting;
  }

  push(receipt: Receipt, url: string, afterMs: number): void {
    this.#waiting += 1;
    this.#schedule({ receipt, url, push: 1 }, afterMs);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#pushing);
    await this.#agent.close();
  }

  #schedule(due: Due, afterMs: number): void {
    const tick = Math.max(this.#next, tickOf(Date.now() + afterMs));
    const list = this.#ticks.get(tick);
    if (list === undefined) this.#ticks.set(tick, [due]);
    else list.push(due);
  }

  #pushDue(): void {
    const due: Due[] = [];
    for (const until = tickOf(Date.now()); this.#next <= until; this.#next += 1) {
      due.push(...(this.#ticks.get(this.#next) ?? []));
      this.#ticks.delete(this.#next);
    }
    const byUrl = new Map<string, Due[]>();
    for (const one of due) {
      const list = byUrl.get(one.url);
      if (list === undefined) byUrl.set(one.url, [one]);
      else list.push(one);
    }
    for (const [url, list] of byUrl)
      for (let from = 0; from < list.length; from += MAX_PER_PUSH) {
        const pushing = this.#send(url, list.slice(from, from + MAX_PER_PUSH)).finally(() => {
          this.#pushing.delete(pushing);
        });
        this.#pushing.add(pushing);
      }
  }

  async #send(url: string, batch: readonly Due[]): Promise<void> {
    const acknowledged = await this.#post(url, batch);
    const at = Date.now();
    for (const due of batch) {
      const { endpoint, reference, bizId, success, code } = due.receipt;
      this.#journal.add({
        kind: 'receipt',
        at,
        endpoint,
        reference,
        providerMessageId: bizId,
        success,
        code,
        push: due.push,
        acknowledged,
      });
      const again = AGAIN_AFTER_MS[due.push - 1];
      if (acknowledged || again === undefined) this.#waiting -= 1;
      else this.#schedule({ ...due, push: due.push + 1 }, again * this.#timeFactor);
    }
  }

  async #post(url: string, batch: readonly Due[]): Promise<boolean> {
    try {
      const { statusCode, body } = await request(url, {
        dispatcher: this.#agent,
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(batch.map(({ receipt }) => wire(receipt))),
        headersTimeout: PUSH_TIMEOUT_MS,
        bodyTimeout: PUSH_TIMEOUT_MS,
      });
      const answer = await body.json();
      return statusCode === 200 && acknowledgement.safeParse(answer).success;
    } catch {
      // Refused, cut or not JSON: not acknowledged.
      return false;
    }
  }
}

const wire = (receipt: Receipt) => ({
  phone_number: receipt.phoneNumber,
  send_time: beijing(receipt.acceptedAt),
  report_time: beijing(Date.now()),
  success: receipt.success,
  err_code: receipt.code,
  err_msg: receipt.success ? '用户接收成功' : '用户接收失败',
  sms_size: '1',
  biz_id: receipt.bizId,
  out_id: receipt.reference,
});

const tickOf = (at: number): number => Math.floor(at / TICK_MS);
