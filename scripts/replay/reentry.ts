import { isRetry } from '../../schemas/error.js';
import type { Reentered, ReentryOptions, ReentryRun, Returning } from '../../topologies/reenter.js';
import { ReentryProducer } from '../../topologies/reenter.js';

/** How long a batch is offered to a Kafka that does not take it. */
const INSIST_MS = 60_000;
const PAUSE_MS = 500;

/**
 * A producer that outlives failures: a batch whose end is not known is written again by a new producer under the same
 * id, which first ends the old one's transaction. What was written twice passes once.
 */
export class PatientReentry {
  private readonly options: ReentryOptions;
  private readonly run: ReentryRun;
  private producer: ReentryProducer | null = null;

  constructor(options: ReentryOptions, run: ReentryRun) {
    this.options = options;
    this.run = run;
  }

  /** @throws PipelineError kafka_unavailable after a minute of trying */
  async reenter(records: readonly Returning[]): Promise<Reentered> {
    const deadline = Date.now() + INSIST_MS;
    for (;;) {
      try {
        this.producer ??= await ReentryProducer.open(this.options, this.run);
        return await this.producer.reenter(records);
      } catch (thrown) {
        await this.close();
        if (!isRetry(thrown) || Date.now() > deadline) throw thrown;
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    }
  }

  async close(): Promise<void> {
    await this.producer?.close();
    this.producer = null;
  }
}
