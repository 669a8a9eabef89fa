/** Places where a simulated process meets the outside; they are counted per worker, from 1. */
export const POINTS = [
  'begin',
  'produce',
  'offsets',
  'commit',
  'abort',
  'init',
  'committed',
  'watermarks',
  'take',
  'redis',
  'ledger',
  'owner',
  'receipts',
  'settle',
  'call',
] as const;
export type Point = (typeof POINTS)[number];

/** What may go wrong there: with the worker, its request, or the answer. */
export const POINT_FAULTS = [
  'dies before',
  'dies after',
  'freezes before',
  'freezes after',
  'request lost',
  'request lost, freezes',
  'request late',
  'answer lost',
  'refused',
  'slow',
  'stalls',
] as const;
export type PointFaultKind = (typeof POINT_FAULTS)[number];

export interface PointFault {
  readonly worker: number;
  readonly point: Point;
  /** From 1, counted over all tasks and lives of the worker. */
  readonly nth: number;
  readonly what: PointFaultKind;
}

export const TIMED_FAULTS = [
  'killed',
  'killed for good',
  'frozen',
  'forgotten',
  'stopped',
  'redis emptied',
  'redis away',
  'ledger away',
] as const;
export type TimedFaultKind = (typeof TIMED_FAULTS)[number];

export interface TimedFault {
  readonly atMs: number;
  readonly worker: number;
  readonly what: TimedFaultKind;
}

/** One record on ingest. Equal `n` are resends; `content` tells whether with the same content. */
export interface PlannedRequest {
  readonly atMs: number;
  readonly n: number;
  readonly tenant: 'acme' | 'globex' | 'nobody';
  readonly line: 'orders' | 'poor';
  readonly channel: 'sms' | 'app_push' | 'fax';
  readonly key: string | null;
  readonly content: 0 | 1;
}

/** How a carrier meets one call. */
export const CARRIER_ANSWERS = [
  'accepts',
  'accepts, reports delivered twice',
  'accepts, reports failed',
  'fails',
  'fails the account',
  'refuses the recipient',
  'throttles',
  'delivers, never answers',
  'delivers, never answers, reports delivered',
  'drops, never answers',
  'drops, never answers, reports failed',
  'delivers, answers nonsense',
  'delivers, answers late',
] as const;
export type CarrierAnswer = (typeof CARRIER_ANSWERS)[number];

/** Everything that a run depends on: the same plan is the same run. */
export interface Plan {
  readonly workers: number;
  /** When the others than the first start. */
  readonly joinMs: readonly number[];
  /** 0: every request takes the same time. */
  readonly latencySeed: number;
  readonly requests: readonly PlannedRequest[];
  /** In the order of calls; beyond, carriers accept. */
  readonly answers: readonly CarrierAnswer[];
  readonly faults: readonly (PointFault | TimedFault)[];
}

const seconds = (milliseconds: number): string => `${(milliseconds / 1_000).toFixed(3)} s`;
const nameOf = (worker: number): string => `worker ${worker.toString()}`;

/** The plan as numbered lines for people. */
export const script = (plan: Plan): string[] => {
  const lines = [
    `${plan.workers.toString()} worker(s)${
      plan.workers > 1
        ? `, the others joining at ${plan.joinMs
            .slice(0, plan.workers - 1)
            .map(seconds)
            .join(', ')}`
        : ''
    }; latencies ${plan.latencySeed === 0 ? 'all equal' : `by seed ${plan.latencySeed.toString()}`}`,
    ...plan.requests.map(
      (one) =>
        `${seconds(one.atMs)}: message ${one.n.toString()} of ${one.tenant}/${one.line} on ${one.channel}, key ${one.key ?? 'none'}${one.content === 0 ? '' : ', other content'}`,
    ),
    ...plan.answers.map((answer, call) => `call ${(call + 1).toString()}: the carrier ${answer}`),
    ...plan.faults.map((fault) =>
      'point' in fault
        ? `${nameOf(fault.worker)}, ${fault.point} no. ${fault.nth.toString()}: ${fault.what}`
        : `${seconds(fault.atMs)}: ${fault.what.startsWith('redis') || fault.what.startsWith('ledger') ? '' : `${nameOf(fault.worker)} is `}${fault.what}`,
    ),
  ];
  return lines.map((line, index) => `${(index + 1).toString().padStart(3)}. ${line}`);
};
