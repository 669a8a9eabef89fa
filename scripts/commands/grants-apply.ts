import type { Command } from 'commander';
import { DATABASE_ROLES, applyGrants, databaseRole } from '../../sinks/postgres/grants.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';

export const grantsApply = (cli: Cli): Command =>
  command(
    'apply',
    `Make the roles of grants print that Postgres lacks, and give each its rights. Needs the schema's owner, with the right
to make roles. Afterwards config apply keeps them up to date; make your users members: grant millrace_worker to <user>.`,
    ['millrace grants apply'],
  ).action(async () => {
    const { postgres } = cli.environment(['postgres']);
    const made = await applyGrants(postgres.url, postgres.schema);
    cli.print(
      `${made.length} roles made, ${DATABASE_ROLES.length - made.length} were there: ${DATABASE_ROLES.map((role) => databaseRole(postgres.schema, role)).join(', ')}`,
    );
  });
