import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { projectRoot } from '../../schemas/root.js';
import type { Next, OutcomeRule } from './outcomes.js';
import { OUTCOMES } from './outcomes.js';

const FOLLOWS: Readonly<Record<Next, string>> = {
  none: 'nothing',
  retry: 'the same provider again, then the next route, else failed',
  'fail-over': 'the next route, else failed',
  resolve: "the provider's `unknownOutcome`",
  divert: 'put back without an attempt',
};

const row = (kind: string, rule: OutcomeRule): readonly string[] => [
  kind,
  rule.state ?? '',
  rule.class ?? '',
  rule.terminal === 'receipts' ? 'unless receipts' : rule.terminal ? 'yes' : 'no',
  rule.terminal === 'receipts' ? 'nothing, or a receipt' : FOLLOWS[rule.next],
  rule.settlement,
];

test('the published table of outcomes is the one that decides', () => {
  const text = readFileSync(path.join(projectRoot(), 'docs/channels.md'), 'utf8');
  const [, table = ''] = /<!-- outcomes -->\n+([^]*?)\n+<!-- \/outcomes -->/.exec(text) ?? [];
  const rows = table
    .split('\n')
    .slice(2)
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  expect(rows).toEqual(Object.entries(OUTCOMES).map(([kind, rule]) => row(kind, rule)));
});

test('whatever ends a message by itself settles its money', () => {
  for (const rule of Object.values<OutcomeRule>(OUTCOMES))
    expect(rule.settlement !== 'none').toBe(rule.terminal !== false);
});
