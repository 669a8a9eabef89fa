import { expect, test } from 'vitest';
import { percentEncode, sign } from './sign.js';

test('signs as the worked example of the SMS service’s HTTP protocol document', () => {
  const parameters = {
    SignatureMethod: 'HMAC-SHA1',
    SignatureNonce: '45e25e9b-0a6f-4070-8c85-2956eda1b466',
    AccessKeyId: 'testId',
    SignatureVersion: '1.0',
    Timestamp: '2017-07-12T02:42:19Z',
    Format: 'XML',
    Action: 'SendSms',
    Version: '2017-05-25',
    RegionId: 'cn-hangzhou',
    PhoneNumbers: '15300000001',
    SignName: '阿里云短信测试专用',
    TemplateParam: '{"customer":"test"}',
    TemplateCode: 'SMS_71390007',
    OutId: '123',
  };
  expect(sign('GET', parameters, 'testSecret')).toBe('zJDF+Lrzhj/ThnlvIToysFRq6t4=');
});

test.each([
  ['a b', 'a%20b'],
  ['*', '%2A'],
  ['~-_.', '~-_.'],
  ["!'()", '%21%27%28%29'],
  ['+', '%2B'],
  ['短', '%E7%9F%AD'],
])('encodes %s as RFC 3986 says', (text, encoded) => {
  expect(percentEncode(text)).toBe(encoded);
});
