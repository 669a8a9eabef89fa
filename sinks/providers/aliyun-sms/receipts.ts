import { z } from 'zod';
import type { EpochMs } from '../../../schemas/brand.js';
import { PipelineError } from '../../../schemas/error.js';
import type { CarrierReport, ReceiptFormat } from '../provider.js';
import { attemptOfReference } from '../reference.js';
import { RECEIPT_CODES } from './codes.js';

/** "SmsReport" pushed by HTTP in batches; the phone number is never read. */
const pushSchema = z
  .array(
    z.object({
      success: z.boolean(),
      report_time: z.string().max(32).optional(),
      err_code: z.string().max(64).nullish(),
      sms_size: z.union([z.string().max(8), z.number()]).nullish(),
      biz_id: z.string().max(64).nullish(),
      out_id: z.string().max(256).nullish(),
    }),
  )
  .max(10_000);

/**
 * Aliyun's delivery receipts: a JSON array, answered {"code":0}; anything else is pushed again after 1, 5 and 10
 * minutes. Source: Short Message Service, "SmsReport" (receipt by HTTP push).
 */
export const aliyunReceipts: ReceiptFormat = {
  acknowledgement: JSON.stringify({ code: 0, msg: 'OK' }),
  parse: (body) => {
    const pushed = pushSchema.safeParse(jsonOf(body));
    // Not zod's words: they quote what was pushed.
    if (!pushed.success) throw new PipelineError('undecidable', 'not an Aliyun SMS receipt');
    return pushed.data.map(reportOf);
  },
};

const reportOf = (one: z.infer<typeof pushSchema>[number]): CarrierReport => {
  const code = one.err_code ?? null;
  return {
    attempt: attemptOfReference(one.out_id),
    providerMessageId: one.biz_id ?? null,
    state: one.success ? 'delivered' : 'failed',
    class: one.success ? null : (RECEIPT_CODES[code ?? ''] ?? 'unknown'),
    providerCode: code,
    units: unitsOf(one.sms_size),
    reportedAt: timeOf(one.report_time),
  };
};

const unitsOf = (size: string | number | null | undefined): number | null => {
  const units = Number(size ?? Number.NaN);
  return Number.isInteger(units) && units > 0 && units <= 1000 ? units : null;
};

/** "2017-01-01 00:00:00", the wall clock of Beijing (UTC+8, no summer time). Unreadable: 0, as nothing hangs on it. */
const timeOf = (text: string | undefined): EpochMs => {
  const match = /^(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})$/.exec(text ?? '');
  const at = match === null ? Number.NaN : Date.parse(`${match[1] ?? ''}T${match[2] ?? ''}+08:00`);
  return Number.isNaN(at) ? 0 : at;
};

const jsonOf = (body: Buffer): unknown => {
  try {
    return JSON.parse(body.toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
};
