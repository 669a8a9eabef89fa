import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { asError } from '../../schemas/error.js';
import { projectRoot } from '../../schemas/root.js';
import { startSimulator } from '../demo/simulator.js';
import { Fleet } from './fleet.js';
import { Growth } from './growth.js';
import { installFaults } from './installation.js';
import { produceLoad } from './load.js';
import { type Evidence, type Verdict, judge, untilRest } from './oracle.js';
import { KINDS, type Track, plan } from './plan.js';
import { ReceiptDoor } from './receipt-door.js';
import type { Family, Scene } from './scene.js';
import { type OwnServices, startServices } from './services.js';
import { leftOpen } from './stable-offsets.js';
import { Witness } from './witness.js';

export interface FaultOptions {
  /** Of traffic and faults; set-up and the rests between rounds come on top. */
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
  readonly rounds: number;
  readonly seed: number;
  readonly seconds: number;
  /** Acknowledged records a second while traffic was written. */
  readonly perSecond: number;
  /** Workers that ended without being told to; a supervisor started them again. */
  readonly endedByThemselves: number;
  readonly problems: readonly string[];
  /** Where logs and the carriers' journal lie; null: nothing was wrong, and nothing is kept. */
  readonly evidence: string | null;
}

const SLOTS = [0, 1] as const;
const ROUND_MS = 60_000;
/** What piled up while everything was broken must be worked off. */
const REST_MS = 240_000;
const BETWEEN_FAULTS_MS = 500;

/** Rounds of traffic under faults, each with a rest and a judgement at its end, until the time is over or one is bad. */
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
  // On its own cluster all of it goes anyway.
  closers.push(() => (shared ? installation.remove() : installation.close()));
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
  const scene: Scene = {
    fleet,
    slots: SLOTS,
    installation,
    simulator,
    endpoints: [`sms-${installation.id}`, `webhook/globex-${installation.id}`],
    services,
    complain: (problem) => complaints.push(problem),
  };
  return new Rounds(options, scene, plan(seed, kinds), complaints, {
    installation,
    witness,
    journal: simulator.journal,
  }).run(folder);
};

class Rounds {
  private readonly options: FaultOptions;
  private readonly scene: Scene;
  private readonly tracks: readonly Track[];
  private readonly evidence: Evidence;
  private readonly complaints: string[];
  private readonly made = new Map<string, number>();
  private readonly notReached = new Map<string, number>();
  private readonly growth = new Growth();

  constructor(
    options: FaultOptions,
    scene: Scene,
    tracks: readonly Track[],
    complaints: string[],
    evidence: Evidence,
  ) {
    this.options = options;
    this.scene = scene;
    this.tracks = tracks;
    this.complaints = complaints;
    this.evidence = evidence;
  }

  async run(folder: string): Promise<Omit<FaultReport, 'evidence'>> {
    const { minutes, seed, signal, say } = this.options;
    const started = Date.now();
    const count = Math.max(1, Math.round((minutes * 60_000) / ROUND_MS));
    const durationMs = (minutes * 60_000) / count;
    let round = 0;
    let writingMs = 0;
    let verdict: Verdict;
    do {
      round += 1;
      writingMs += await this.round(round, durationMs);
      verdict = await this.judged();
      say(
        `round ${round}/${count}  ${verdict.records} records, ${sum(this.made)} faults; lost ${verdict.lost}, duplicated ${verdict.duplicated}, debited twice ${verdict.doubleDebited}, submitted twice ${verdict.doubleSubmitted}, held ${verdict.held}${verdict.problems.length === 0 ? '' : `; ${verdict.problems.length} problems`}`,
      );
    } while (round < count && verdict.problems.length === 0 && !signal.aborted);
    const { fleet } = this.scene;
    const report = {
      faults: Object.fromEntries(this.made),
      ...verdict,
      seed,
      seconds: Math.round((Date.now() - started) / 1_000),
      rounds: round,
      perSecond: Math.round(verdict.records / (writingMs / 1_000)),
      notReached: Object.fromEntries(this.notReached),
      endedByThemselves: fleet.surprises.length,
    };
    writeFileSync(
      path.join(folder, 'report.json'),
      JSON.stringify({ ...report, surprises: fleet.surprises }, null, 2),
    );
    return report;
  }

  /** @returns for how long traffic was written, ms */
  private async round(round: number, durationMs: number): Promise<number> {
    const { seed, rate, signal, say } = this.options;
    const { installation, witness } = this.evidence;
    const over = new AbortController();
    const began = Date.now();
    let writingMs = 0;
    const load = produceLoad({
      installation,
      accounting: witness.accounting,
      seed: seed * 1_000 + round,
      perSecond: rate,
      durationMs,
      signal,
    }).finally(() => {
      writingMs = Date.now() - began;
      over.abort();
    });
    load.catch(() => undefined); // heard below
    const end = AbortSignal.any([signal, over.signal, AbortSignal.timeout(durationMs)]);
    await Promise.all(this.tracks.map((track) => this.make(track, end)));
    signal.throwIfAborted();
    await this.scene.fleet.heal(this.scene.slots);
    await load;
    say(`round ${round}  traffic is over, coming to rest`);
    await untilRest(this.evidence, REST_MS);
    return writingMs;
  }

  private async make(track: Track, end: AbortSignal): Promise<void> {
    const { say } = this.options;
    while (!end.aborted) {
      const { number, kind, random } = track.next();
      const began = Date.now();
      const done = await kind.inject(this.scene, random).catch((thrown: unknown) => {
        this.complaints.push(`${number} ${kind.name}: ${asError(thrown).message}`);
        return null;
      });
      const counts = done === null ? this.notReached : this.made;
      counts.set(kind.name, (counts.get(kind.name) ?? 0) + 1);
      say(
        `${number.padStart(5)}  ${kind.name}: ${done ?? 'not reached'} (${((Date.now() - began) / 1_000).toFixed(1)} s)`,
      );
      await new Promise((resolve) => setTimeout(resolve, BETWEEN_FAULTS_MS));
    }
  }

  private async judged(): Promise<Verdict> {
    const verdict = await judge(this.evidence);
    const open = await leftOpen(this.evidence.installation);
    const { fleet } = this.scene;
    return {
      ...verdict,
      problems: [
        ...verdict.problems,
        ...open.map((where) => `a transaction was left open: ${where}`),
        ...this.growth.look(fleet.workers.map(({ pid }) => pid)),
        ...this.complaints,
      ],
    };
  }
}

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
