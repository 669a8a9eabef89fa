import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';

/** What a checked SendSms request asks for. */
export interface SendSms {
  readonly outId: string;
  readonly phoneNumber: string;
}

/** What a checked QuerySendDetails request asks for. */
export interface QuerySendDetails {
  readonly phoneNumber: string;
  /** yyyyMMdd, Beijing. */
  readonly sendDate: string;
  readonly pageSize: number;
  /** From 1. */
  readonly page: number;
}

export type Checked =
  | { readonly ok: true; readonly action: 'SendSms'; readonly request: SendSms }
  | { readonly ok: true; readonly action: 'QuerySendDetails'; readonly request: QuerySendDetails }
  | {
      readonly ok: false;
      readonly status: number;
      readonly code: string;
      readonly message: string;
    };

export interface AliyunKeys {
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
}

/** Requests are refused when their Timestamp is further off; nonces are remembered as long. */
const CLOCK_SKEW_MS = 15 * 60_000;
const MAX_NONCES = 2_000_000;

/** Checks requests as the real gateway does, then the parameters as the SMS service does. */
export class AliyunGateway {
  readonly #keys: AliyunKeys;
  readonly #nonces = new Set<string>();

  constructor(keys: AliyunKeys) {
    this.#keys = keys;
  }

  /** @param parameters of query and form body together */
  check(method: string, parameters: URLSearchParams, now: number): Checked {
    const get = (name: string): string => parameters.get(name) ?? '';
    for (const name of [
      'AccessKeyId',
      'Signature',
      'SignatureMethod',
      'SignatureNonce',
      'SignatureVersion',
      'Timestamp',
      'Version',
      'Action',
    ])
      if (get(name) === '') return refused(400, `Missing${name}`, `${name} is mandatory`);
    if (get('AccessKeyId') !== this.#keys.accessKeyId)
      return refused(404, 'InvalidAccessKeyId.NotFound', 'Specified access key is not found.');
    if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(get('Timestamp')))
      return refused(400, 'InvalidTimeStamp.Format', 'Specified time stamp is not well formatted.');
    if (Math.abs(Date.parse(get('Timestamp')) - now) > CLOCK_SKEW_MS)
      return refused(400, 'InvalidTimeStamp.Expired', 'Specified time stamp is expired.');
    if (!sameText(this.#signature(method, parameters), get('Signature')))
      return refused(400, 'SignatureDoesNotMatch', 'Specified signature does not match.');
    if (this.#nonces.has(get('SignatureNonce')))
      return refused(400, 'SignatureNonceUsed', 'Specified signature nonce was used already.');
    if (this.#nonces.size >= MAX_NONCES) this.#nonces.clear();
    this.#nonces.add(get('SignatureNonce'));
    if (get('Version') === '2017-05-25') {
      if (get('Action') === 'SendSms') return checkSms(get);
      if (get('Action') === 'QuerySendDetails') return checkQuery(get);
    }
    return refused(404, 'InvalidAction.NotFound', 'Specified api is not found.');
  }

  #signature(method: string, parameters: URLSearchParams): string {
    const pairs = [...parameters]
      .filter(([name]) => name !== 'Signature')
      .map(([name, value]) => `${encode(name)}=${encode(value)}`)
      .sort();
    return createHmac('sha1', `${this.#keys.accessKeySecret}&`)
      .update(`${method}&${encode('/')}&${encode(pairs.join('&'))}`)
      .digest('base64');
  }
}

const checkSms = (get: (name: string) => string): Checked => {
  const numbers = get('PhoneNumbers').split(',');
  if (numbers.length > 1000) return business('isv.MOBILE_COUNT_OVER_LIMIT');
  if (!numbers.every((number) => /^(\+|00)?\d{6,15}$/.test(number)))
    return business('isv.MOBILE_NUMBER_ILLEGAL');
  if (get('SignName') === '') return business('isv.SMS_SIGNATURE_ILLEGAL');
  if (!/^SMS_\w+$/.test(get('TemplateCode'))) return business('isv.SMS_TEMPLATE_ILLEGAL');
  if (!isObject(get('TemplateParam'))) return business('isv.INVALID_JSON_PARAM');
  if (get('OutId').length >= 256) return business('isv.PARAM_LENGTH_LIMIT');
  return {
    ok: true,
    action: 'SendSms',
    request: { outId: get('OutId'), phoneNumber: numbers[0] ?? '' },
  };
};

const checkQuery = (get: (name: string) => string): Checked => {
  const [pageSize, page] = [Number(get('PageSize')), Number(get('CurrentPage'))];
  if (get('PhoneNumber') === '') return business('isv.MOBILE_NUMBER_ILLEGAL');
  if (!/^\d{8}$/.test(get('SendDate'))) return business('isv.INVALID_PARAMETERS');
  if (!(pageSize >= 1 && pageSize <= 50 && page >= 1)) return business('isv.INVALID_PARAMETERS');
  return {
    ok: true,
    action: 'QuerySendDetails',
    request: { phoneNumber: get('PhoneNumber'), sendDate: get('SendDate'), pageSize, page },
  };
};

/** The service's own refusals come with HTTP 200. */
const business = (code: string): Checked => refused(200, code, code);

const refused = (status: number, code: string, message: string): Checked => ({
  ok: false,
  status,
  code,
  message,
});

export const aliyunAnswer = (code: string, message: string, bizId: string | null): string =>
  JSON.stringify({
    RequestId: randomUUID().toUpperCase(),
    Code: code,
    Message: message,
    ...(bizId === null ? {} : { BizId: bizId }),
  });

const encode = (text: string): string =>
  encodeURIComponent(text).replace(
    /[!'()*]/g,
    (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`,
  );

const isObject = (text: string): boolean => {
  if (text === '') return true;
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
};

const sameText = (one: string, other: string): boolean =>
  one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));
