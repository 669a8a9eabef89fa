import { z } from 'zod';
import type { EpochMs } from '../../../schemas/brand.js';
import type { HttpResult } from '../http-call.js';
import type { Finding, Inquiry } from '../provider.js';
import { RECEIPT_CODES } from './codes.js';

/** Wall clock of Beijing: UTC+8, no summer time. */
const BEIJING_MS = 8 * 3_600_000;
const DAY_MS = 24 * 3_600_000;
/** It takes 50; an answer with so many long texts would be larger than what is read of one. */
export const PAGE_SIZE = 20;
/** Messages to one number on one day that are looked through; one who got more is told apart by hand. */
export const MAX_PAGES = 10;
/** Days before that are kept by the provider are 30; a record waits in topics no longer than 3. */
const MAX_DAYS = 5;

const detailSchema = z.object({
  OutId: z.string().max(256).nullish(),
  /** 1: no receipt yet; 2: failed; 3: delivered. */
  SendStatus: z.number(),
  ErrCode: z.string().max(64).nullish(),
  ReceiveDate: z.string().max(32).nullish(),
});
const pageSchema = z.object({
  Code: z.string().max(128),
  TotalCount: z.union([z.string().max(12), z.number()]).optional(),
  SmsSendDetailDTOs: z
    .object({ SmsSendDetailDTO: z.array(detailSchema).max(100).optional() })
    .optional(),
});

/** What one page of QuerySendDetails says of an attempt. */
export type Page =
  | Finding
  /** Not on this page, and there are further ones. */
  | { readonly kind: 'further' };

/** The days (yyyyMMdd, Beijing) on which the attempt may have been submitted. */
export const sendDates = ({ routed, heldAt }: Pick<Inquiry, 'routed' | 'heldAt'>): string[] => {
  const day = (at: EpochMs): number => Math.floor((at + BEIJING_MS) / DAY_MS);
  const last = day(heldAt);
  const first = Math.max(day(routed.routedAt), last - MAX_DAYS + 1);
  return Array.from({ length: last - first + 1 }, (_, index) =>
    new Date((first + index) * DAY_MS).toISOString().slice(0, 10).replaceAll('-', ''),
  );
};

/** QuerySendDetails' own parameters. BizId is not known: it came, or would have come, with the answer. */
export const queryParameters = (
  phoneNumber: string,
  sendDate: string,
  page: number,
): Readonly<Record<string, string>> => ({
  Action: 'QuerySendDetails',
  PhoneNumber: phoneNumber,
  SendDate: sendDate,
  PageSize: String(PAGE_SIZE),
  CurrentPage: String(page),
});

/** One answer of QuerySendDetails, as a finding. */
export const pageOf = (result: HttpResult, reference: string, page: number): Page => {
  if (result.kind !== 'answered') return { kind: 'no_answer', code: result.code };
  const parsed = pageSchema.safeParse(jsonOf(result.body));
  if (!parsed.success) return { kind: 'no_answer', code: `HTTP ${String(result.status)}` };
  const { Code: code, TotalCount: total, SmsSendDetailDTOs: details } = parsed.data;
  if (code !== 'OK') return { kind: 'no_answer', code };
  const found = details?.SmsSendDetailDTO?.find(({ OutId }) => OutId === reference);
  if (found !== undefined) return findingOf(found);
  return page * PAGE_SIZE < Number(total ?? 0) ? { kind: 'further' } : { kind: 'not_found' };
};

const findingOf = (detail: z.infer<typeof detailSchema>): Finding => {
  const providerCode = detail.ErrCode ?? null;
  const common = {
    kind: 'reported',
    providerCode,
    providerMessageId: null,
    units: null,
    reportedAt: timeOf(detail.ReceiveDate),
  } as const;
  switch (detail.SendStatus) {
    case 1:
      return { ...common, state: 'accepted', class: null };
    case 2:
      return { ...common, state: 'failed', class: RECEIPT_CODES[providerCode ?? ''] ?? 'unknown' };
    case 3:
      return { ...common, state: 'delivered', class: null };
    default:
      return { kind: 'no_answer', code: `SendStatus ${String(detail.SendStatus)}` };
  }
};

/** "2019-01-08 16:44:13", Beijing. Unreadable: 0, as nothing hangs on it. */
const timeOf = (text: string | null | undefined): EpochMs => {
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
