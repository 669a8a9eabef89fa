import { postgresLedger } from '../../sinks/postgres/ledger.js';
import type { Counters } from '../../sinks/postgres/counters.js';
import type { Snapshot } from './snapshot.js';
import type { Stage } from './stage.js';
import { produceTraffic } from './traffic.js';
import type { View } from './view.js';
import type { WorkerFigures } from './worker.js';

export interface PlayOptions {
  readonly seed: number;
  readonly messages: number;
  readonly durationMs: number;
  readonly startedAt: number;
  readonly signal: AbortSignal;
  readonly view: View;
}

/** The channel that turns bad, as the breaker and the simulator name it. */
export const BAD_SCOPE = 'channel/sms/aliyun-sms';
const BAD_ENDPOINT = 'aliyun-sms';
/** So many of its answers are the provider's own failure while it is bad. */
const BAD_SHARE = 0.4;
/** When it turns bad, as a share of the traffic's duration. */
const BAD_FROM = 0.35;
/** A breaker that does not trip by then will not. Long: on a loaded machine the work is minutes behind the traffic. */
const BAD_AT_MOST_MS = 300_000;
const SHOW_MS = 500;
const RATE_OVER_MS = 3_000;
const QUIET_MS = 2_000;
/** Nothing at all was written for so long: what has not ended will not. */
const STUCK_MS = 60_000;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Traffic, the channel's bad time, and the wait until everything has come to rest; shown while it goes on. */
export const play = async (stage: Stage, options: PlayOptions): Promise<void> => {
  const { learners } = stage;
  const { breaker } = learners;
  let phase = 'traffic';
  let over = false;
  const broken = new AbortController();
  const signal = AbortSignal.any([options.signal, broken.signal]);
  const showing = show(stage, options, {
    phase: () => phase,
    over: () => over,
    broken: () => {
      broken.abort();
    },
  });
  try {
    let troubled = true;
    const trouble = makeTrouble(stage, { ...options, signal }, (words) => {
      phase = words;
    }).then(() => {
      troubled = breaker.hasTripped(BAD_SCOPE);
    });
    await produceTraffic({
      kafka: stage.producer,
      codecs: stage.installation.codecs,
      config: stage.config,
      accounting: learners.accounting,
      seed: options.seed,
      messages: options.messages,
      durationMs: options.durationMs,
      holdBack: () => troubled && !breaker.hasRecovered(BAD_SCOPE),
      signal,
    });
    phase = 'coming to rest';
    await trouble;
    await untilRest(stage, signal);
    const error = breakage(stage);
    if (error !== undefined) throw error;
  } finally {
    over = true;
    await showing;
  }
};

/** Why it makes no sense to go on: nobody is reading any more, or nobody is working. */
const breakage = ({ observer, worker }: Stage): Error | undefined =>
  observer.failure() ??
  (worker.child.ended
    ? new Error(`the worker ended; its last words:\n${worker.child.lastWords()}`)
    : undefined);

/** One channel is bad from a third of the traffic on, until its breaker has tripped. */
const makeTrouble = async (
  stage: Stage,
  { startedAt, durationMs, signal, view }: PlayOptions,
  setPhase: (words: string) => void,
): Promise<void> => {
  const { simulator, learners } = stage;
  while (Date.now() < startedAt + durationMs * BAD_FROM) {
    if (signal.aborted) return;
    await pause(50);
  }
  await simulator.change(BAD_ENDPOINT, { errors: { 'isp.SYSTEM_ERROR': BAD_SHARE } });
  setPhase('sms turned bad');
  view.say(`${elapsed(startedAt)}  sms: the carrier begins to fail ${BAD_SHARE * 100} % of all`);
  const until = Date.now() + BAD_AT_MOST_MS;
  while (
    !learners.breaker.hasTripped(BAD_SCOPE) &&
    Date.now() < until &&
    Date.now() - stage.observer.lastSeen() < STUCK_MS &&
    !signal.aborted
  )
    await pause(50);
  await simulator.change(BAD_ENDPOINT, { errors: {} });
  const tripped = learners.breaker.hasTripped(BAD_SCOPE);
  setPhase(tripped ? 'sms recovers' : 'traffic');
  view.say(
    `${elapsed(startedAt)}  sms: ${tripped ? 'the breaker tripped; ' : ''}the carrier is well again`,
  );
};

const elapsed = (startedAt: number): string =>
  `${((Date.now() - startedAt) / 1_000).toFixed(0).padStart(4)} s`;

/** Every message has ended, receipts that will come have come, and nothing has been written for a while. */
const untilRest = async ({ learners, observer }: Stage, signal: AbortSignal): Promise<void> => {
  while (!signal.aborted) {
    const { inFlight, unseen, held } = learners.accounting.endStates();
    const awaited = [...learners.accounting.feedback.values()].filter(
      (feedback) => feedback.channel === 'sms' && feedback.state === 'accepted',
    ).length;
    const quietMs = Date.now() - observer.lastSeen();
    if (inFlight + unseen + awaited + held === 0 && quietMs > QUIET_MS) return;
    if (quietMs > STUCK_MS) return;
    await pause(100);
  }
};

const show = async (
  stage: Stage,
  { messages, startedAt, view }: PlayOptions,
  play: {
    readonly phase: () => string;
    readonly over: () => boolean;
    readonly broken: () => void;
  },
): Promise<void> => {
  const { learners, worker, config, database } = stage;
  const ledger = postgresLedger(database);
  const history: { readonly at: number; readonly figures: WorkerFigures }[] = [];
  while (!play.over()) {
    if (breakage(stage) !== undefined) {
      play.broken();
      return;
    }
    const figures = await worker.figures();
    const at = Date.now();
    if (figures !== undefined) history.push({ at, figures });
    while (history.length > 2 && at - (history[0]?.at ?? at) > RATE_OVER_MS) history.shift();
    const cash: Counters | undefined = await ledger
      .totals()
      .then((totals) => [...totals.cash.values()][0])
      .catch(() => undefined);
    const snapshot: Snapshot = {
      seconds: (Date.now() - startedAt) / 1_000,
      phase: play.phase(),
      messages,
      states: learners.accounting.endStates(),
      channels: config.channels.map(({ name, providers }) => {
        const window = learners.breaker.newest(name, providers[0]?.name ?? '');
        return { name, attempts: window?.attempts ?? 0, errors: window?.errors ?? 0 };
      }),
      levels: learners.breaker.levels,
      figures,
      rates: ratesOf(history),
      cash,
    };
    view.show(snapshot);
    await pause(SHOW_MS);
  }
};

const ratesOf = (
  history: readonly { readonly at: number; readonly figures: WorkerFigures }[],
): ReadonlyMap<string, number> => {
  const [first] = history;
  const last = history.at(-1);
  if (first === undefined || last === undefined || first === last) return new Map();
  const seconds = (last.at - first.at) / 1_000;
  return new Map(
    [...last.figures.taken].map(([stage, taken]) => [
      stage,
      (taken - (first.figures.taken.get(stage) ?? 0)) / seconds,
    ]),
  );
};
