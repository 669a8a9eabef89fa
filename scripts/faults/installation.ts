import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { BusinessConfig } from '../../schemas/config.js';
import { LANES, type Lane } from '../../schemas/generated/records.js';
import { projectRoot } from '../../schemas/root.js';
import { type TopicSpec, topicSchemas } from '../../topologies/topic-table.js';
import { readConfigFolder } from '../../schemas/config-files.js';
import { tableOf } from '../cli/installation.js';
import { withAdmin } from '../cli/kafka-admin.js';
import { type Installation, type Variables, install } from '../installation/installation.js';

const FROM = path.join(projectRoot(), 'scripts', 'faults', 'config');
/** One for each of the two workers of a quiet moment, and one for the third that is to die. */
export const PARTITIONS = 3;
const DELETED_MS = 30_000;

/**
 * Of the four, which differ in nothing that a fault could touch: each lane more is another eighteen clients a worker and
 * sixty-six partitions, and every follower's fetch walks through all partitions that it follows.
 */
export const FAULT_LANES = ['p0', 'p2'] as const satisfies readonly Lane[];
const OTHER_LANES = LANES.filter((lane) => !FAULT_LANES.some((one) => one === lane));
/**
 * The topics of their retries stay: a message that nobody knows the outcome of is sent again in its own lane. So do those of
 * what leases spent: settle reads them all.
 */
const isUsed = ({ name }: TopicSpec): boolean =>
  name.includes('retry.') ||
  name.includes('internal.spends.') ||
  !OTHER_LANES.some((lane) => name.endsWith(`.${lane}`));

/** What a run's workers work on. */
export interface FaultInstallation extends Installation {
  readonly config: BusinessConfig;
  /** Folder of that configuration. */
  readonly dir: string;
  readonly table: readonly TopicSpec[];
}

/** Topics, schemas, tables and configuration of their own; the configuration with this run's carriers filled in. */
export const installFaults = async (options: {
  readonly base: Variables;
  readonly secrets: Variables;
  readonly simulatorUrl: string;
  readonly folder: string;
}): Promise<FaultInstallation> => {
  const to = path.join(options.folder, 'config');
  const installation = await install({
    base: options.base,
    purpose: 'faults',
    partitions: PARTITIONS,
    variables: options.secrets,
    dir: (id) => {
      mkdirSync(to, { recursive: true });
      for (const file of readdirSync(FROM)) {
        const text = readFileSync(path.join(FROM, file), 'utf8');
        writeFileSync(
          path.join(to, file),
          text.replaceAll('http://simulator.invalid', options.simulatorUrl).replaceAll('RUN', id),
        );
      }
      return to;
    },
  });
  const config = readConfigFolder(to);
  const { kafka } = installation.environment;
  const all = tableOf(config, kafka.prefix, { partitions: PARTITIONS });
  const table = all.filter(isUsed);
  const unused = all.filter((spec) => !isUsed(spec)).map(({ name }) => name);
  await withAdmin(kafka, (admin) => admin.deleteTopics({ topics: unused, timeout: DELETED_MS }));
  await installation.codecs.open(topicSchemas(table));
  return { ...installation, config, dir: to, table };
};
