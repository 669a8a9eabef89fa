import type { Command } from 'commander';
import { DATABASE_ROLES, databaseRole, roleStatements } from '../../sinks/postgres/grants.js';
import { DEFAULT_SCHEMA } from '../../sinks/postgres/pool.js';
import type { Cli } from '../cli/cli.js';
import { command } from '../cli/command.js';

export const grantsPrint = (cli: Cli): Command =>
  command(
    'print',
    'Least-privilege roles for Postgres as SQL, for whoever administers it. Asks no server.',
    ['millrace grants print > grants.sql', 'DATABASE_SCHEMA=eu millrace grants print --json'],
  )
    .option('--json', 'machine-readable')
    .action(({ json }: { readonly json?: true }) => {
      const schema = cli.variables['DATABASE_SCHEMA'] ?? DEFAULT_SCHEMA;
      const roles = DATABASE_ROLES.map((role) => ({
        role,
        name: databaseRole(schema, role),
        statements: roleStatements(schema, role),
      }));
      if (json === true) {
        cli.printJson(roles);
        return;
      }
      for (const { role, statements } of roles) {
        cli.print(`-- ${role}`);
        for (const statement of statements) cli.print(`${statement};`);
      }
    });
