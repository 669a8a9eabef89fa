import type { ProviderAnswer, ProviderCall } from '../../../processors/send/contract.js';
import type { Outcome } from '../../../processors/send/outcomes.js';
import { attemptOf } from '../../../processors/send/attempt-key.js';
import type { DeliveryState, ProviderReceipt } from '../../../schemas/generated/records.js';
import { callTimes } from '../../../sinks/providers/call-times.js';
import type { Host } from './host.js';
import type { CarrierAnswer } from './plan.js';
import type { VirtualTime } from './virtual-time.js';

/** One submit as the carrier saw it. */
export interface Submit {
  readonly reference: string;
  /** tenant|message|generation */
  readonly message: string;
  readonly answer: CarrierAnswer;
  readonly delivered: boolean;
  /** Refused because its key was delivered before: only where the carrier dedupes. */
  readonly repeated: boolean;
}

interface Meaning {
  /** null: no answer is sent. */
  readonly outcome: Outcome | null;
  readonly delivers: boolean;
  readonly afterMs?: number;
  readonly reports?: readonly DeliveryState[];
}

const accepted: Outcome = { kind: 'accepted', providerMessageId: null, providerCode: 'OK' };
const MEANING: Readonly<Record<CarrierAnswer, Meaning>> = {
  accepts: { outcome: accepted, delivers: true },
  'accepts, reports delivered twice': {
    outcome: accepted,
    delivers: true,
    reports: ['delivered', 'delivered'],
  },
  'accepts, reports failed': { outcome: accepted, delivers: false, reports: ['failed'] },
  fails: { outcome: { kind: 'failed.provider', providerCode: '500' }, delivers: false },
  'fails the account': { outcome: { kind: 'failed.account', providerCode: 'a' }, delivers: false },
  'refuses the recipient': {
    outcome: { kind: 'failed.recipient', providerCode: 'r' },
    delivers: false,
  },
  throttles: {
    outcome: { kind: 'throttled', retryAfterMs: 20_000, providerCode: null },
    delivers: false,
  },
  'delivers, never answers': { outcome: null, delivers: true },
  'delivers, never answers, reports delivered': {
    outcome: null,
    delivers: true,
    reports: ['delivered'],
  },
  'drops, never answers': { outcome: null, delivers: false },
  'drops, never answers, reports failed': { outcome: null, delivers: false, reports: ['failed'] },
  'delivers, answers nonsense': { outcome: { kind: 'unknown', providerCode: '?' }, delivers: true },
  'delivers, answers late': { outcome: accepted, delivers: true, afterMs: 2_500 },
};

/** All carriers, with one journal that nobody of ours writes: the witness of what was really asked. */
export class Carrier {
  readonly journal: Submit[] = [];
  /** Acceptances that reached a worker. */
  readonly heard: { readonly call: string; readonly message: string; readonly host: Host }[] = [];
  /** Reports on their way. */
  reportsDue = 0;
  private readonly delivered = new Set<string>();
  private readonly time: VirtualTime;
  private readonly answers: readonly CarrierAnswer[];
  private readonly report: (receipt: ProviderReceipt) => void;
  private readonly tell: (line: string) => void;

  constructor(options: {
    readonly time: VirtualTime;
    readonly answers: readonly CarrierAnswer[];
    readonly report: (receipt: ProviderReceipt) => void;
    readonly tell: (line: string) => void;
  }) {
    this.time = options.time;
    this.answers = options.answers;
    this.report = options.report;
    this.tell = options.tell;
  }

  submit(call: ProviderCall): { readonly outcome: Outcome; readonly afterMs: number } | null {
    const key = `${call.provider.name} ${call.idempotencyKey}`;
    const repeated = call.provider.dedupesOnKey && this.delivered.has(key);
    const answer: CarrierAnswer = repeated
      ? 'accepts'
      : (this.answers[this.journal.length] ?? 'accepts');
    const { outcome, delivers, afterMs = 0, reports = [] } = MEANING[answer];
    this.journal.push({
      reference: call.reference,
      message: messageOf(call),
      answer,
      delivered: delivers && !repeated,
      repeated,
    });
    this.tell(
      `carrier ${call.provider.name} is asked for ${call.reference} and ${repeated ? 'knows its key' : answer}`,
    );
    if (delivers) this.delivered.add(key);
    if (call.provider.receipts)
      for (const [index, state] of reports.entries()) {
        this.reportsDue += 1;
        this.time.after(3_000 + 700 * index, this.time.outside, () => {
          this.reportsDue -= 1;
          this.report(receiptOf(call, state, this.time.now));
        });
      }
    return outcome === null ? null : { outcome, afterMs };
  }

  /** As a worker's adapters call it: begun in time or not at all, timed out at the deadline. */
  async *perform(calls: readonly ProviderCall[], host: Host): AsyncGenerator<ProviderAnswer> {
    const waiting = calls.map((call) => this.call(call, host));
    for (const one of waiting) {
      const answer = await one;
      yield answer;
      // Taken: who asked has it now.
      if (answer.outcome.kind === 'accepted')
        this.heard.push({ call: answer.call.reference, message: messageOf(answer.call), host });
    }
  }

  private async call(call: ProviderCall, host: Host): Promise<ProviderAnswer> {
    const { time, process } = host;
    const { startBy, deadline } = callTimes(time.now, call.provider.timeoutMs, call.deadline);
    await time.sleep(1 + host.latencies.pick(40));
    const calledAt = time.now;
    if (calledAt > startBy)
      return { call, outcome: { kind: 'not_called' }, calledAt, answeredAt: calledAt };
    const lost = new Error('timeout');
    const answer = host
      .request({
        point: 'call',
        effect: () => ({ said: this.submit(call) }),
        deadlineMs: deadline - calledAt,
        timedOut: () => lost,
        refused: () => lost,
      })
      .then(
        async ({ said }) => {
          if (said === null) return null;
          if (said.afterMs > 0) await time.sleep(said.afterMs);
          return said.outcome;
        },
        () => null,
      );
    const tooLate = new Promise<null>((resolve) => {
      time.after(deadline - calledAt, process, () => {
        resolve(null);
      });
    });
    const outcome: Outcome = (await Promise.race([answer, tooLate])) ?? {
      kind: 'timeout',
      providerCode: null,
    };
    return { call, outcome, calledAt, answeredAt: time.now };
  }
}

const messageOf = ({ routed }: ProviderCall): string => {
  const { tenantId, messageId, generation } = attemptOf(routed);
  return `${tenantId}|${messageId}|${generation.toString()}`;
};

const receiptOf = (call: ProviderCall, state: DeliveryState, now: number): ProviderReceipt => ({
  provider: call.provider.name,
  channel: call.routed.channel,
  origin: 'carrier',
  attempt: attemptOf(call.routed),
  providerMessageId: null,
  state,
  class: state === 'failed' ? 'recipient' : null,
  providerCode: null,
  units: null,
  reportedAt: now,
  receivedAt: now,
  deferrals: 0,
  dueAt: null,
});
