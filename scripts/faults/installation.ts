import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { BusinessConfig } from '../../schemas/config.js';
import { projectRoot } from '../../schemas/root.js';
import { type TopicSpec, topicSchemas } from '../../topologies/topic-table.js';
import { readConfigFolder } from '../../schemas/config-files.js';
import { tableOf } from '../cli/installation.js';
import { type Installation, type Variables, install } from '../installation/installation.js';

const FROM = path.join(projectRoot(), 'scripts', 'faults', 'config');
/** One for each of the two workers of a quiet moment, and one for the third that is to die. */
export const PARTITIONS = 3;

/** What a run's workers work on. */
export interface FaultInstallation extends Installation {
  readonly config: BusinessConfig;
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
  const table = tableOf(config, installation.environment.kafka.prefix, { partitions: PARTITIONS });
  await installation.codecs.open(topicSchemas(table));
  return { ...installation, config, table };
};
