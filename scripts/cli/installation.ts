import path from 'node:path';
import type { BusinessConfig } from '../../schemas/config.js';
import { readConfigFolder } from '../../schemas/config-files.js';
import { projectRoot } from '../../schemas/root.js';
import type { TopicSpec, TopicTableOptions } from '../../topologies/topic-table.js';
import { topicTable } from '../../topologies/topic-table.js';

/** Where the business configuration lies unless --dir says otherwise, as typed. */
export const CONFIG_FOLDER = 'infra/config';

/** The default folder is the project's, wherever we are called from; any other is the caller's. */
export const businessConfig = (dir: string): BusinessConfig =>
  readConfigFolder(dir === CONFIG_FOLDER ? path.join(projectRoot(), dir) : path.resolve(dir));

/** The topics an installation with this configuration has. */
export const tableOf = (
  config: BusinessConfig,
  prefix: string,
  more: Pick<TopicTableOptions, 'partitions' | 'replicationFactor'> = {},
): readonly TopicSpec[] =>
  topicTable({
    prefix,
    channels: config.channels.map((channel) => channel.name),
    tenantsWithOwnIngest: config.tenants
      .filter((tenant) => tenant.ownIngest)
      .map((tenant) => tenant.id),
    ...more,
  });
