import { mkdtemp, rm } from 'node:fs/promises';
import { createWriteStream } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { messageId, tenantId } from '../../schemas/brand.js';
import type { DeliveryFeedback } from '../../schemas/generated/records.js';
import { funded } from '../../sinks/postgres/testing/funded.js';
import { rdkafkaConnection } from '../../topologies/kafka-connection.js';
import { dayBefore, reconcile } from '../../topologies/reconciliation.js';
import { ProducerClient } from '../../topologies/runtime/rdkafka-client.js';
import type { Write } from '../../topologies/runtime/raw-record.js';
import { statementLines } from '../reconcile/statement.js';
import { scratchInstallation } from '../testing/scratch-installation.js';
import { round } from './figures.js';

export interface ReconcileResult {
  readonly reservations: number;
  /** All four comparisons, the statement among them. */
  readonly seconds: number;
  /** Of this process, most while it reconciled, in MiB; before it, as it was. */
  readonly rssMiB: { readonly before: number; readonly most: number };
  /** Must be 0. */
  readonly breaks: number;
}

const TENANT = 'bench';
const PARTITIONS = 4;
const WRITTEN_AT_ONCE = 10_000;
const PRICE = 40_000n;
const MIB = 1_048_576;

const idOf = (n: number): string => `0198f3c2-7b1e-7c55-9a1b-${n.toString(16).padStart(12, '0')}`;

const feedback = (n: number, createdAt: number): DeliveryFeedback => ({
  feedbackId: idOf(n),
  messageId: messageId(idOf(n)),
  generation: 0,
  tenantId: tenantId(TENANT),
  businessLine: 'promo',
  campaignId: null,
  templateId: 'sale',
  lane: 'p1',
  attempt: 1,
  sequence: 1,
  channel: 'sms',
  provider: 'aliyun-sms',
  state: 'delivered',
  terminal: true,
  class: null,
  providerCode: 'OK',
  providerMessageId: `biz-${n}`,
  settlement: { kind: 'post', cashMicros: PRICE, units: 1, currency: 'CNY', leaseId: null },
  recipientHash: 'ab'.repeat(32),
  createdAt,
  attemptedAt: createdAt,
  occurredAt: createdAt,
  labels: {},
});

const ID = `('0198f3c2-7b1e-7c55-9a1b-' || lpad(to_hex(n), 12, '0'))::uuid`;

/** What so many delivered messages leave in the tables: in sets, as nobody waits for their delivery here. */
const filling = (day: string, rows: number): readonly string[] => [
  `insert into reservations (day, tenant_id, message_id, generation, account_id, state, cash, units, posted_cash,
     posted_units, topic, partition, record_offset, resolved_at)
   select '${day}', '${TENANT}', ${ID}, 0, account_id, 'posted', 45000, 1, ${PRICE}, 1, 'filled', 0, n, now()
   from accounts, generate_series(0, ${rows - 1}) n where tenant_id = '${TENANT}'`,
  `update budgets set cash_posted = ${PRICE * BigInt(rows)}, cash_available = cash_available - ${PRICE * BigInt(rows)},
     pv_posted = ${rows}, pv_available = pv_available - ${rows}
   where account_id = (select account_id from accounts where tenant_id = '${TENANT}')`,
  `insert into attempts (tenant_id, message_id, generation, attempt, record_key, lane, channel, provider,
     provider_message_id, business_line, template_id, recipient_hash, labels, created_at, attempted_at, occurred_at, state,
     terminal, sequence, posted_cash, posted_units, currency)
   select '${TENANT}', ${ID}, 0, 1, 'key', 'p1', 'sms', 'aliyun-sms', 'biz-' || n, 'promo', 'sale', repeat('ab', 32), '{}',
     noon, noon, noon, 'delivered', true, 1, ${PRICE}, 1, 'CNY'
   from generate_series(0, ${rows - 1}) n, (select '${day}T12:00:00Z'::timestamptz as noon) t`,
  'vacuum analyze reservations, attempts',
];

const statement = async (file: string, rows: number): Promise<void> => {
  const out = createWriteStream(file);
  out.write('providerMessageId,amount,currency\n');
  for (let n = 0; n < rows; n += 1) if (!out.write(`biz-${n},0.04,CNY\n`)) await once(out, 'drain');
  out.end();
  await once(out, 'finish');
};

/** An installation of its own on the local stack, filled with a day of delivered messages, and reconciled. */
export const reconcileBench = async (
  { rows }: { readonly rows: number },
  say: (line: string) => void,
): Promise<ReconcileResult> => {
  const own = await scratchInstallation(({ name }, names) => name === names.feedback, PARTITIONS);
  const folder = await mkdtemp(path.join(tmpdir(), 'millrace-bench-'));
  try {
    const day = dayBefore(Date.now());
    const noon = Date.parse(`${day}T12:00:00Z`);
    const topic = own.names.feedback;
    const account = { tenantId: TENANT, businessLine: 'promo', currency: 'CNY' };
    await funded(own.database, {
      ...account,
      transferId: 'bench',
      cashMicros: 10n ** 15n,
      units: 10n ** 9n,
    });
    say(`filling: ${rows} reservations, attempts, feedback, lines of a statement`);
    const url = own.variables['DATABASE_URL'] ?? '';
    const schema = own.variables['DATABASE_SCHEMA'] ?? '';
    const client = new pg.Client({ connectionString: url, options: `-c search_path=${schema}` });
    await client.connect();
    await client.query('select ensure_days(array[$1::date])', [day]);
    for (const text of filling(day, rows)) await client.query(text);
    const codec = own.codecs.of('DeliveryFeedback', topic);
    const producer = new ProducerClient(rdkafkaConnection(own.kafka));
    await producer.connect(10_000);
    for (let from = 0; from < rows; from += WRITTEN_AT_ONCE) {
      const writes = Array.from(
        { length: Math.min(WRITTEN_AT_ONCE, rows - from) },
        (_, index): Write => {
          const value = codec.encode(feedback(from + index, noon));
          return { topic, partition: (from + index) % PARTITIONS, key: 'key', value };
        },
      );
      await producer.produce(writes, 60_000);
      await producer.flush(60_000);
    }
    await producer.disconnect(5_000);
    const consumers = { settle: 'settle', attempts: 'attempts' };
    for (const consumer of Object.values(consumers))
      for (let partition = 0; partition < PARTITIONS; partition += 1)
        await client.query(
          'insert into offsets (consumer, topic, partition, next_offset, passed) values ($1, $2, $3, $4, now())',
          [
            consumer,
            topic,
            partition,
            Math.floor((rows + PARTITIONS - 1 - partition) / PARTITIONS),
          ],
        );
    await client.end();
    const file = path.join(folder, 'statement.csv');
    await statement(file, rows);

    say('reconciling');
    globalThis.gc?.();
    const rss = { before: process.memoryUsage.rss(), most: 0 };
    const meter = setInterval(() => {
      rss.most = Math.max(rss.most, process.memoryUsage.rss());
    }, 50);
    const began = performance.now();
    const { report } = await reconcile(
      {
        day,
        postgres: { url, schema },
        settings: rdkafkaConnection(own.kafka),
        codecs: own.codecs,
        feedbackTopic: topic,
        retentionMs: 14 * 86_400_000,
        horizonMs: 144 * 3_600_000,
        consumers,
        now: Date.now(),
        statement: { provider: 'aliyun-sms', lines: statementLines(file) },
        ofEachClass: 10,
        say: (line) => {
          say(`${line}: from ${round((performance.now() - began) / 1_000, 1)} s`);
        },
      },
      () => Promise.resolve(),
    );
    const seconds = (performance.now() - began) / 1_000;
    clearInterval(meter);
    const { counts, comparisons } = report;
    if (
      comparisons.some(({ done, note }) => !done || note !== '') ||
      Object.values(counts).some((count) => count !== BigInt(rows))
    )
      throw new Error(
        `not all was compared: ${JSON.stringify({ comparisons, counts }, (_, value: unknown) => (typeof value === 'bigint' ? Number(value) : value))}`,
      );
    return {
      reservations: rows,
      seconds: round(seconds, 1),
      rssMiB: { before: Math.round(rss.before / MIB), most: Math.round(rss.most / MIB) },
      breaks: Number(report.breaks),
    };
  } finally {
    await rm(folder, { recursive: true });
    await own.remove();
  }
};
