import type { FailureClass } from '../../../schemas/generated/records.js';
import type { FailedKind } from '../provider.js';

type CodeOutcome = FailedKind | 'throttled' | 'unknown';

/**
 * Aliyun's codes of a SendSms answer. Source: Short Message Service, "API error codes" (domestic messages) and the
 * OpenAPI gateway's "common error codes". OK is accepted.
 */
export const ANSWER_CODES: Readonly<Record<string, CodeOutcome>> = {
  // the number
  'isv.MOBILE_NUMBER_ILLEGAL': 'failed.recipient',
  'isv.DOMESTIC_NUMBER_NOT_SUPPORTED': 'failed.recipient',
  // what we ask to be sent
  'isv.SMS_TEMPLATE_ILLEGAL': 'failed.content',
  'isv.SMS_SIGNATURE_ILLEGAL': 'failed.content',
  'isv.SMS_SIGN_ILLEGAL': 'failed.content',
  'isv.SIGN_STATE_ILLEGAL': 'failed.content',
  'isv.SMS_SIGNATURE_SCENE_ILLEGAL': 'failed.content',
  'isv.EXTEND_CODE_ERROR': 'failed.content',
  'isv.SMS_CONTENT_ILLEGAL': 'failed.content',
  'isv.SMS_CONTENT_MISMATCH_TEMPLATE_TYPE': 'failed.content',
  'isv.UNSUPPORTED_CONTENT': 'failed.content',
  'isv.MOBILE_COUNT_OVER_LIMIT': 'failed.content',
  'isv.TEMPLATE_MISSING_PARAMETERS': 'failed.content',
  'isv.TEMPLATE_PARAMS_ILLEGAL': 'failed.content',
  'isv.INVALID_PARAMETERS': 'failed.content',
  'isv.INVALID_JSON_PARAM': 'failed.content',
  'isv.PARAM_LENGTH_LIMIT': 'failed.content',
  'isv.PARAM_NOT_SUPPORT_URL': 'failed.content',
  'isv.BLACK_KEY_CONTROL_LIMIT': 'failed.content',
  // our account there
  'isv.OUT_OF_SERVICE': 'failed.account',
  'isv.AMOUNT_NOT_ENOUGH': 'failed.account',
  'isv.ACCOUNT_NOT_EXISTS': 'failed.account',
  'isv.ACCOUNT_ABNORMAL': 'failed.account',
  'isv.SECURITY_FROZEN_ACCOUNT': 'failed.account',
  'isv.PRODUCT_UN_SUBSCRIPT': 'failed.account',
  'isv.PRODUCT_UNSUBSCRIBE': 'failed.account',
  'isv.DENY_IP_RANGE': 'failed.account',
  // caps that we set ourselves, per day and month: waiting 10 minutes would not help
  'isv.DAY_LIMIT_CONTROL': 'failed.account',
  'isv.MONTH_LIMIT_CONTROL': 'failed.account',
  'isp.RAM_PERMISSION_DENY': 'failed.account',
  'Forbidden.RAM': 'failed.account',
  NoPermission: 'failed.account',
  SignatureDoesNotMatch: 'failed.account',
  IncompleteSignature: 'failed.account',
  'InvalidAccessKeyId.NotFound': 'failed.account',
  'InvalidAccessKeyId.Inactive': 'failed.account',
  'InvalidTimeStamp.Expired': 'failed.account',
  'InvalidTimeStamp.Format': 'failed.account',
  // the provider
  'isp.SYSTEM_ERROR': 'failed.provider',
  'isp.GATEWAY_ERROR': 'failed.provider',
  ServiceUnavailable: 'failed.provider',
  // its rate
  'isv.BUSINESS_LIMIT_CONTROL': 'throttled',
  Throttling: 'throttled',
  'Throttling.User': 'throttled',
  'Throttling.Api': 'throttled',
  // The same request came in before, and we don't know its answer.
  SignatureNonceUsed: 'unknown',
  InternalError: 'unknown',
};

/**
 * Codes of receipts with success = false. Source: "Delivery receipt error codes". Carriers add their own; what is not
 * here is the carrier's (`unknown`), as nobody can say whose fault it was.
 */
export const RECEIPT_CODES: Readonly<Record<string, FailureClass>> = {
  MOBILE_NOT_ON_SERVICE: 'recipient',
  MOBILE_SEND_LIMIT: 'recipient',
  MOBILE_ACCOUNT_ABNORMAL: 'recipient',
  MOBILE_IN_BLACK: 'recipient',
  // spelt so by the provider
  MOBLLE_TERMINAL_ERROR: 'recipient',
  INVALID_NUMBER: 'recipient',
  USER_REJECT: 'recipient',
  SP_NOT_BY_INTER_SMS: 'recipient',
  CONTENT_KEYWORD: 'content',
  CONTENT_ERROR: 'content',
  PARAMS_ILLEGAL: 'content',
  SIGNATURE_BLACKLIST: 'content',
  NO_ROUTE: 'provider',
  IS_CLOSE: 'provider',
  SP_UNKNOWN_ERROR: 'provider',
  REQUEST_SUCCESS: 'unknown',
};
