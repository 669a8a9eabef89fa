import type { Codecs } from '../../schemas/topic-codecs.js';
import type { Environment } from '../../topologies/config.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import type { TopicSpec } from '../../topologies/topic-table.js';
import type { Cli } from '../cli/cli.js';
import { interruptible } from '../cli/interruption.js';
import type { Decoded } from '../read/decoded.js';
import { sum } from '../replay/figures.js';
import type { Figures } from '../replay/figures.js';
import { pass } from './pass.js';
import type { RebuildOptions, RebuildReport } from './recorded-run.js';
import { runRecorded } from './recorded-run.js';
import type { Span } from './spans.js';

/** A rebuild in one pass over a range, batch by batch. */
export interface Rebuild {
  readonly command: string;
  readonly topics: readonly TopicSpec[];
  readonly codecs: Codecs;
  /** Resolves what is to be read, once. */
  readonly plan: () => Promise<readonly Span[]>;
  /** Said where there is nothing. */
  readonly nothing: string;
  readonly handle: (batch: readonly Decoded[], write: boolean) => Promise<Figures>;
  /** After writing: what is not as it should be; empty: all is. */
  readonly check: (part: Figures) => Promise<readonly string[]>;
}

/** Compares a store with the topics, and with --apply writes what it lacks. @throws as runRecorded does */
export const runRebuild = (
  cli: Cli,
  environment: Pick<Environment, 'kafka' | 'postgres'>,
  options: RebuildOptions,
  { command, nothing, plan, topics, codecs, handle, check }: Rebuild,
): Promise<RebuildReport> =>
  runRecorded(cli, environment, options, {
    command,
    nothing,
    plan: async () => ({ range: await plan() }),
    part: async (_plan, before, write, onProgress) => {
      let figures: Figures = {};
      const finished = await interruptible((signal) =>
        pass({
          cli,
          settings: rdkafkaConnection(environment.kafka),
          codecs,
          topics,
          spans: before.left,
          signal,
          ...(options.rate !== undefined && { rate: options.rate }),
          handle: async (batch) => {
            figures = sum(figures, sum({ read: batch.length }, await handle(batch, write)));
          },
          onLeft: (left) => onProgress({ left, figures: sum(before.figures, figures) }),
        }),
      );
      return {
        finished,
        figures: sum(before.figures, figures),
        problems: write && finished ? await check(figures) : [],
      };
    },
  });
