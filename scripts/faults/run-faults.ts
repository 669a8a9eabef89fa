import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { asError } from '../../schemas/error.js';
import { projectRoot } from '../../schemas/root.js';
import { startSimulator } from '../demo/simulator.js';
import { Fleet } from './fleet.js';
import { Growth } from './growth.js';
import { installFaults } from './installation.js';
import { produceLoad } from './load.js';
import { type Evidence, type Verdict, doubledSoFar, judge, untilRest } from './oracle.js';
import { KINDS, type Track, plan } from './plan.js';
import { ReceiptDoor } from './receipt-door.js';
import type { Family, Scene } from './scene.js';
import { type OwnServices, startServices } from './services.js';
import { leftOpen } from './stable-offsets.js';
import { Witness } from './witness.js';

export interface FaultOptions {
  /** Of traffic under faults; set-up, and coming to rest at the end, come on top. */
  readonly minutes: number;
  readonly seed: number;
  readonly families: readonly Family[];
  /** Messages a second, mean. */
  readonly rate: number;
  /** The stack of the environment, and only faults that break nothing of it. */
  readonly shared: boolean;
  readonly portBase: number;
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

/** The last line's object. */
export interface FaultReport extends Omit<Verdict, 'problems'> {
  /** Faults made, by kind. */
  readonly faults: Readonly<Record<string, number>>;
  /** Faults that could not be brought about, by kind. */
  readonly notReached: Readonly<Record<string, number>>;
  /** Workers killed until all of their share was delivered again; null: none was. */
  readonly failoverSeconds: {
    readonly measured: number;
    readonly median: number;
    readonly max: number;
  } | null;
  readonly seed: number;
  readonly seconds: number;
  /** For which traffic was written. */
  readonly trafficSeconds: number;
  /** Acknowledged records a second while traffic was written. */
  readonly perSecond: number;
  /** Workers that ended without being told to, with their last words; a supervisor started them again. */
  readonly endedByThemselves: readonly string[];
  readonly problems: readonly string[];
  /** Where logs and the carriers' journal lie; null: nothing was wrong, and nothing is kept. */
  readonly evidence: string | null;
}

const SLOTS = [0, 1] as const;
const LOOK_MS = 30_000;
/**
 * What piled up while everything was broken must be worked off, and on a small machine that takes as long as the
 * traffic did. Where nothing moves any more, untilRest gives up much sooner.
 */
const restMs = (trafficMs: number): number => 240_000 + trafficMs;
/** Of one track: long enough that work gets on between them, as a system that never moves shows little. */
const BETWEEN_FAULTS_MS = 2_000;

/**
 * Traffic under faults without a break until the time is over; every half minute a look at what can never be right
 * again ends it early. Then all is mended, what was written comes to rest, and the oracle judges all of it.
 */
export const runFaults = async (options: FaultOptions): Promise<FaultReport> => {
  const { seed, say, shared, portBase } = options;
  const folder = path.join(
    projectRoot(),
    '.stack',
    'faults-runs',
    `${seed}-${Date.now().toString(36)}`,
  );
  mkdirSync(folder, { recursive: true });
  const closers: (() => Promise<unknown>)[] = [];
  let clean = false;
  try {
    const services = shared ? null : await startServices(portBase, say);
    if (services !== null) closers.push(() => services.close());
    const report = await onServices(options, services, folder, closers);
    clean = report.problems.length === 0;
    return { ...report, evidence: clean ? null : folder };
  } finally {
    for (const close of closers.reverse())
      await close().catch((thrown: unknown) => {
        say(`closing: ${asError(thrown).message}`);
      });
    if (clean) rmSync(folder, { recursive: true, force: true });
  }
};

const onServices = async (
  options: FaultOptions,
  services: OwnServices | null,
  folder: string,
  closers: (() => Promise<unknown>)[],
): Promise<Omit<FaultReport, 'evidence'>> => {
  const { seed, families, say, shared } = options;
  const base = { ...defined(options.variables), ...services?.variables };
  const secrets = secretsOf(seed);
  const kinds = KINDS.filter(
    ({ family, needsOwnServices }) => families.includes(family) && !(shared && needsOwnServices),
  );
  let fleet: Fleet | null = null;
  const door = await ReceiptDoor.open(() => fleet?.callbackPorts() ?? []);
  closers.push(() => door.close());
  const simulator = await startSimulator({
    folder,
    seed,
    callbackPort: door.port,
    secrets,
    detached: false,
  });
  closers.push(() => simulator.child.stop());
  const installation = await installFaults({
    base,
    secrets,
    simulatorUrl: simulator.url,
    folder,
  });
  let clean = false;
  // On its own cluster all of it goes anyway; after a run that was not clean, topics and tables are evidence.
  closers.push(() => (shared && clean ? installation.remove() : installation.close()));
  const witness = new Witness(installation);
  // Before its topics go: it could not reach their end any more.
  closers.push(() => witness.close());
  const viaProxies = services !== null && families.includes('network');
  fleet = new Fleet(
    {
      ...installation.variables,
      ...(viaProxies && { KAFKA_BROKERS: services.proxied }),
    },
    folder,
  );
  const own = fleet;
  closers.push(() => own.close());
  await fleet.heal(SLOTS);
  say(`workers    ${SLOTS.length} ready, ${kinds.length} kinds of faults, seed ${seed}`);

  const complaints: string[] = [];
  const failovers: number[] = [];
  const scene: Scene = {
    fleet,
    slots: SLOTS,
    installation,
    folder,
    witness,
    simulator,
    endpoints: [`sms-${installation.id}`, `webhook/globex-${installation.id}`],
    services,
    failedOver: (ms) => failovers.push(ms),
    complain: (problem) => complaints.push(problem),
  };
  const report = await new Run({
    options,
    scene,
    tracks: plan(seed, kinds),
    complaints,
    failovers,
    evidence: { installation, witness, journal: simulator.journal },
  }).run(folder);
  clean = report.problems.length === 0;
  return report;
};

interface RunOptions {
  readonly options: FaultOptions;
  readonly scene: Scene;
  readonly tracks: readonly Track[];
  readonly evidence: Evidence;
  /** Told by faults while they are made. */
  readonly complaints: string[];
  /** ms each. */
  readonly failovers: number[];
}

class Run {
  private readonly with: RunOptions;
  private readonly made = new Map<string, number>();
  private readonly notReached = new Map<string, number>();
  private readonly growth = new Growth();

  constructor(options: RunOptions) {
    this.with = options;
  }

  async run(folder: string): Promise<Omit<FaultReport, 'evidence'>> {
    const { options, scene, evidence, failovers } = this.with;
    const { seed, signal, say } = options;
    const started = Date.now();
    const writingMs = await this.underFaults();
    say('traffic is over, coming to rest');
    await untilRest(evidence, restMs(writingMs), signal);
    const verdict = await this.judged();
    const { fleet } = scene;
    if (verdict.problems.length > 0) await fleet.keepMetrics();
    for (const slot of await fleet.stopAll())
      this.with.complaints.push(`the worker of slot ${slot} did not end with 0 at the end`);
    const report = {
      faults: Object.fromEntries(this.made),
      ...verdict,
      problems: [...verdict.problems, ...this.growth.found, ...this.with.complaints],
      failoverSeconds: summary(failovers),
      seed,
      seconds: Math.round((Date.now() - started) / 1_000),
      trafficSeconds: Math.round(writingMs / 1_000),
      perSecond: Math.round(verdict.records / (writingMs / 1_000)),
      notReached: Object.fromEntries(this.notReached),
      endedByThemselves: fleet.surprises,
    };
    say(
      `${verdict.records} records, ${sum(this.made)} faults of ${this.made.size} kinds; lost ${verdict.lost}, duplicated ${verdict.duplicated}, debited twice ${verdict.doubleDebited}, submitted twice ${verdict.doubleSubmitted}, held ${verdict.held}`,
    );
    writeFileSync(path.join(folder, 'report.json'), JSON.stringify(report, null, 2));
    return report;
  }

  /** @returns for how long traffic was written, ms */
  private async underFaults(): Promise<number> {
    const { options, scene, evidence, tracks } = this.with;
    const { seed, rate, minutes, signal } = options;
    const { installation, witness } = evidence;
    const durationMs = minutes * 60_000;
    const began = Date.now();
    let writingMs = 0;
    const over = new AbortController();
    const end = AbortSignal.any([signal, over.signal, AbortSignal.timeout(durationMs)]);
    const load = produceLoad({
      installation,
      witness,
      seed,
      perSecond: rate,
      durationMs,
      signal: AbortSignal.any([signal, over.signal]),
    }).finally(() => {
      writingMs = Date.now() - began;
      over.abort();
    });
    load.catch(() => undefined); // heard below
    const looks = setInterval(() => {
      if (this.look()) over.abort();
    }, LOOK_MS);
    try {
      await Promise.all(tracks.map((track) => this.make(track, end)));
    } finally {
      clearInterval(looks);
    }
    signal.throwIfAborted();
    await scene.fleet.heal(scene.slots);
    await load;
    return writingMs;
  }

  /** @returns whether something is wrong that time will not mend */
  private look(): boolean {
    const { options, evidence, scene } = this.with;
    this.growth.look(scene.fleet.workers.map(({ pid }) => pid));
    const { brokenOff } = evidence.witness;
    if (brokenOff !== null) {
      this.with.complaints.push(`the witness broke off: ${brokenOff.message}`);
      return true;
    }
    const doubled = doubledSoFar(evidence);
    const { produced, unseen, inFlight } = evidence.witness.accounting.endStates();
    options.say(
      `       ${produced} records, ${unseen + inFlight} of them under way${doubled.length === 0 ? '' : `; ${doubled.join(', ')}`}`,
    );
    return doubled.length > 0;
  }

  private async make(track: Track, end: AbortSignal): Promise<void> {
    const { options, scene, complaints } = this.with;
    while (!end.aborted) {
      const { number, kind, random } = track.next();
      const began = Date.now();
      const done = await kind.inject(scene, random).catch((thrown: unknown) => {
        complaints.push(`${number} ${kind.name}: ${asError(thrown).message}`);
        return null;
      });
      const counts = done === null ? this.notReached : this.made;
      counts.set(kind.name, (counts.get(kind.name) ?? 0) + 1);
      options.say(
        `${number.padStart(5)}  ${kind.name}: ${done ?? 'not reached'} (${((Date.now() - began) / 1_000).toFixed(1)} s)`,
      );
      await new Promise((resolve) => setTimeout(resolve, BETWEEN_FAULTS_MS));
    }
  }

  private async judged(): Promise<Verdict> {
    const { evidence } = this.with;
    const verdict = await judge(evidence);
    const open = await leftOpen(evidence.installation);
    return {
      ...verdict,
      problems: [
        ...verdict.problems,
        ...open.map((where) => `a transaction was left open: ${where}`),
      ],
    };
  }
}

const summary = (ms: readonly number[]): FaultReport['failoverSeconds'] => {
  const seconds = [...ms].sort((a, b) => a - b).map((one) => Math.round(one / 100) / 10);
  const median = seconds[Math.floor(seconds.length / 2)];
  const max = seconds.at(-1);
  return median === undefined || max === undefined
    ? null
    : { measured: seconds.length, median, max };
};

const sum = (counts: ReadonlyMap<string, number>): number =>
  [...counts.values()].reduce((total, one) => total + one, 0);

const defined = (
  variables: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(variables).filter((one): one is [string, string] => one[1] !== undefined),
  );

const secretsOf = (seed: number): Readonly<Record<string, string>> => ({
  ALIYUN_ACCESS_KEY_ID: `faults-${seed}`,
  ALIYUN_ACCESS_KEY_SECRET: 'a secret of the fault harness',
  WEBHOOK_SECRET: `whsec_${Buffer.from('a secret of the fault harness').toString('base64')}`,
});
