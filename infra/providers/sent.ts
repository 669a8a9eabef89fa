import type { QuerySendDetails } from './aliyun.js';

/** A message that an endpoint accepted, as QuerySendDetails shows it. */
export interface SentSms {
  readonly outId: string;
  readonly phoneNumber: string;
  readonly acceptedAt: number;
  /** When its carrier reports; before that its status is "waiting". */
  readonly reportedAt: number;
  readonly success: boolean;
  readonly code: string;
}

/** Kept at most; the oldest go first. The real one keeps 30 days. */
const MOST = 200_000;

/** Wall clock of UTC+8. */
export const beijing = (at: number): string =>
  new Date(at + 8 * 3_600_000).toISOString().slice(0, 19).replace('T', ' ');

/** What was accepted, by number and day: for those who ask what became of it. */
export class SentMessages {
  readonly #byDay = new Map<string, SentSms[]>();
  #count = 0;

  add(sent: SentSms): void {
    const name = `${sent.phoneNumber}/${dayOf(sent.acceptedAt)}`;
    const list = this.#byDay.get(name);
    if (list === undefined) this.#byDay.set(name, [sent]);
    else list.push(sent);
    this.#count += 1;
    for (const [oldest, { length }] of this.#byDay) {
      if (this.#count <= MOST) break;
      this.#byDay.delete(oldest);
      this.#count -= length;
    }
  }

  /** The answer's body. Newest first, as the real one. */
  answer({ phoneNumber, sendDate, pageSize, page }: QuerySendDetails, now: number): string {
    const all = (this.#byDay.get(`${phoneNumber}/${sendDate}`) ?? []).toReversed();
    const shown = all.slice((page - 1) * pageSize, page * pageSize);
    return JSON.stringify({
      Code: 'OK',
      Message: 'OK',
      RequestId: 'simulated',
      TotalCount: String(all.length),
      SmsSendDetailDTOs: { SmsSendDetailDTO: shown.map((sent) => detail(sent, now)) },
    });
  }
}

const dayOf = (at: number): string => beijing(at).slice(0, 10).replaceAll('-', '');

const detail = (sent: SentSms, now: number) => {
  const over = now >= sent.reportedAt;
  return {
    PhoneNum: sent.phoneNumber,
    OutId: sent.outId,
    SendDate: beijing(sent.acceptedAt),
    SendStatus: over ? (sent.success ? 3 : 2) : 1,
    ...(over && { ErrCode: sent.code, ReceiveDate: beijing(sent.reportedAt) }),
    TemplateCode: 'SMS_1',
    Content: 'simulated',
  };
};
