import { PipelineError, asError } from '../../schemas/error.js';
import type { Coordinates } from '../../schemas/record.js';
import type { Codecs } from '../../schemas/topic-codecs.js';
import { Accounting, messageKey } from '../demo/accounting.js';
import { Bookings } from '../demo/money.js';
import type { MessageKey } from '../demo/accounting.js';
import { AttemptsSeen } from '../demo/provider-log.js';
import { type Decoded, readDecoded } from '../read/decoded.js';
import type { PlannedKind } from '../traffic/planned.js';
import { Delivery } from './delivery.js';
import { FAULT_LANES, type FaultInstallation } from './installation.js';

const AGAIN_MS = 500;

/** A read_committed reader beside the pipeline, as anybody's own would be: knows only what is in the topics. */
export class Witness {
  readonly accounting: Accounting;
  readonly bookings = new Bookings();
  readonly attempts = new AttemptsSeen();
  /** Events that post or reverse, by message and generation. */
  private readonly settled = new Map<string, { readonly by: string; readonly debits: 1 | -1 }[]>();
  private readonly deliveries = new Set<Delivery>();
  private readonly stop = new AbortController();
  private readonly reading: Promise<void>;
  private broken: Error | null = null;
  private last = Date.now();

  constructor(installation: FaultInstallation) {
    this.accounting = new Accounting(FAULT_LANES.map((lane) => installation.names.ingest(lane)));
    this.reading = this.read(installation).catch((thrown: unknown) => {
      this.broken = asError(thrown);
    });
  }

  /** What brokers acknowledged to the producer. */
  acknowledged(at: Coordinates, message: MessageKey, kind: PlannedKind): void {
    this.accounting.produced(at, message, kind);
    for (const one of this.deliveries) one.acknowledged(at, message);
  }

  /** From now on: when will each of these partitions of ingest topics have delivered something new? */
  delivery(partitions: readonly string[]): Delivery {
    const watched = new Delivery(partitions, () => this.deliveries.delete(watched));
    this.deliveries.add(watched);
    return watched;
  }

  /** Why the reading broke off: what comes after is not judged. */
  get brokenOff(): Error | null {
    return this.broken;
  }

  /** For how long nothing was seen, ms. @throws why the reading broke off */
  get quietMs(): number {
    if (this.broken !== null) throw this.broken;
    return Date.now() - this.last;
  }

  /** Messages that events debit twice or more, with those events. */
  get debitedAgain(): readonly string[] {
    return [...this.settled].flatMap(([message, events]) =>
      events.reduce((sum, { debits }) => sum + debits, 0) > 1
        ? [`${message} (${events.map(({ by }) => by).join(', ')})`]
        : [],
    );
  }

  /** Reads to the end of now, and stops. */
  async close(): Promise<void> {
    this.stop.abort();
    await this.reading;
    if (this.broken !== null) throw this.broken;
  }

  private async read({ client, codecs, names, table }: FaultInstallation): Promise<void> {
    const wanted = new Set<string>([
      names.feedback,
      names.refused,
      names.deadLetters,
      ...FAULT_LANES.map((lane) => names.parked(lane)),
    ]);
    const topics = table.filter(({ name }) => wanted.has(name));
    for await (const batch of readDecoded({
      settings: client,
      codecs: this.patient(codecs),
      topics,
      to: this.stop.signal,
    })) {
      this.last = Date.now();
      for (const record of batch) {
        this.accounting.observe(record);
        this.bookings.observe(record);
        this.attempts.observe(record);
        this.debit(record);
        for (const one of this.deliveries) one.observe(record);
      }
    }
  }

  /** The registry is one of those that are away: a schema that was never met waits for it. */
  private patient(codecs: Codecs): Codecs {
    const prepare: Codecs['prepare'] = async (values) => {
      for (;;)
        try {
          await codecs.prepare(values);
          return;
        } catch (error) {
          const away = error instanceof PipelineError && error.code === 'registry_unavailable';
          if (!away || this.stop.signal.aborted) throw error;
          await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
        }
    };
    return { ...codecs, prepare };
  }

  private debit({ at, decoded }: Decoded): void {
    if (decoded.is !== 'DeliveryFeedback') return;
    const { tenantId, messageId, generation, attempt, state, settlement } = decoded.value;
    if (settlement.kind !== 'post' && settlement.kind !== 'reverse') return;
    const key = `${messageKey(tenantId, messageId)}|${generation}`;
    const events = this.settled.get(key) ?? [];
    events.push({
      by: `${state} of attempt ${attempt} at ${at.topic}/${at.partition}/${at.offset}`,
      debits: settlement.kind === 'post' ? 1 : -1,
    });
    this.settled.set(key, events);
  }
}
