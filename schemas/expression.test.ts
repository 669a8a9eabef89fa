import { describe, expect, test } from 'vitest';
import { requestOf } from '../topologies/testing/fixtures.js';
import { PipelineError } from './error.js';
import { compileExpression } from './expression.js';

const NOW = Date.UTC(2026, 0, 31);
const VARIABLES = { request: { record: 'MessageRequest' }, offset: 'int' } as const;
const compile = (text: string) => compileExpression(text, VARIABLES);

const refusal = (text: string): string => {
  try {
    compile(text);
  } catch (thrown) {
    if (thrown instanceof PipelineError) return thrown.message;
    throw thrown;
  }
  return 'compiled';
};

describe('a condition over a record', () => {
  test.each([
    ['request.tenantId == "acme" && "sms" in request.channels', true],
    ['request.labels["shop"] == "7" && offset >= 5', true],
    ['request.recipient.tier == null', true],
    ['request.createdAt < time("2026-01-31T00:00:01Z")', true],
    ['request.createdAt < time("2026-01-31")', false],
    ['request.channels.exists(channel, channel.startsWith("app"))', false],
    // Money is bigint: what a double could not tell apart.
    ['request.maxCostMicros > 9007199254740992', true],
    ['request.maxCostMicros == 9007199254740993', true],
    ['request.maxCostMicros > money("9007199254.740992")', true],
    ['request.maxCostMicros <= money("0.045")', false],
  ])('%s is %s', (text, expected) => {
    const request = requestOf(1, NOW, { maxCostMicros: 9_007_199_254_740_993n });
    expect(compile(text).holds({ request, offset: 5 })).toBe(expected);
  });

  test('has no answer where null meets a number, and says where', () => {
    const { holds } = compile('request.maxCostMicros > 5');
    expect(() => holds({ request: requestOf(1, NOW), offset: 5 })).toThrow(
      /no such overload[^]*request\.maxCostMicros > 5\n +\^/,
    );
    const guarded = compile('request.maxCostMicros != null && request.maxCostMicros > 5');
    expect(guarded.holds({ request: requestOf(1, NOW), offset: 5 })).toBe(false);
  });

  test.each([
    ['a field that there is not', 'request.tenant == "acme"', /No such key: tenant[^]*\n {17,}\^/],
    ['a slip of the pen', 'request.tenantId = "acme"', /Unexpected character: =[^]*\n {26,}\^/],
    ['a comparison of unlike things', 'request.createdAt > "yesterday"', /int > string/],
    ['a variable that there is not', 'tenantId == "acme"', /Unknown variable: tenantId/],
    ['no condition', 'offset + 1', /the expression is int, not true or false/],
  ])('%s is refused before any record, at its place', (_, text, says) => {
    expect(refusal(text)).toMatch(says);
  });
});

describe('a condition over listed fields', () => {
  const over = (text: string) =>
    compileExpression(text, { cash: { fields: { share: 'double', left: 'int' } }, at: 'double' });

  test.each([
    ['cash.share < 0.2 && at > 1.5', true],
    ['cash.share < 1 && at >= 2', true],
    // An int next to a double keeps its 64 bits.
    ['cash.left == 9007199254740993', true],
    ['cash.left > 9007199254740993', false],
  ])('%s is %s', (text, expected) => {
    const values = { cash: { share: 0.15, left: 9_007_199_254_740_993n }, at: 2 };
    expect(over(text).holds(values)).toBe(expected);
  });

  test('a field that is not listed is refused at its place', () => {
    expect(() => over('cash.left > 1 && cash.rest > 1')).toThrow(/No such key: rest[^]*\n {21,}\^/);
  });
});
