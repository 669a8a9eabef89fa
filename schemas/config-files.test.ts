import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkConfigFolder, readConfigFolder } from './config-files.js';
import { PipelineError } from './error.js';
import { projectRoot } from './root.js';

const shipped = path.join(projectRoot(), 'infra', 'config');
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'millrace-config-'));
  cpSync(shipped, folder, { recursive: true });
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});

const write = (file: string, text: string) => {
  writeFileSync(path.join(folder, file), text);
};

const problems = () =>
  checkConfigFolder(folder).problems.map(({ file, path: at }) => `${file} ${at}`);

test('the shipped configuration is sound, with its defaults filled in', () => {
  const config = readConfigFolder(shipped);
  expect(config.channels.map(({ name }) => name)).toEqual(['sms', 'app_push', 'webhook']);
  expect(config.windows.lengthMs).toBe(300_000);
  expect(config.tenants.find(({ id }) => id === 'pebble')?.lanes).toHaveLength(4);
});

test('every problem of every file is told at once, with file and path', () => {
  write(
    'tenants.yaml',
    '- { id: UPPER, businessLines: [{ name: a, currency: yuan, initialCash: 1, initialUnits: -1 }] }',
  );
  write('windows.yaml', 'lengthMs: 0\nlenght: 5');
  write('policy.yaml', 'defaultChannels: [');
  rmSync(path.join(folder, 'lanes.yaml'));
  expect(problems()).toEqual([
    'tenants.yaml [0].id',
    'tenants.yaml [0].businessLines[0].currency',
    'tenants.yaml [0].businessLines[0].initialCash',
    'tenants.yaml [0].businessLines[0].initialUnits',
    'policy.yaml ',
    'windows.yaml lengthMs',
    'windows.yaml ',
    'lanes.yaml ',
  ]);
  expect(() => readConfigFolder(folder)).toThrow(PipelineError);
  expect(() => readConfigFolder(folder)).toThrow(/lanes\.yaml: ENOENT/);
});

test('names that no other file defines are told, and names defined twice', () => {
  write(
    'policy.yaml',
    'defaultChannels: [sms, fax]\nrules: [{ name: r, when: {}, channels: [telex] }]',
  );
  write('templates.yaml', '[{ id: a, tenants: [lantern, nobody] }, { id: a }]');
  expect(problems()).toEqual([
    'templates.yaml [1].id',
    'policy.yaml defaultChannels[1]',
    'policy.yaml rules[0].channels[0]',
    'templates.yaml [0].tenants[1]',
  ]);
});

test('a provider that may send twice is refused', () => {
  write(
    'channels.yaml',
    `- name: sms
  address: phone
  providers:
    - { name: a, adapter: aliyun-sms, price: '1', currency: CNY, billing: on_delivery, dedupesOnKey: false, unknownOutcome: retry, receipts: true }`,
  );
  write('policy.yaml', 'defaultChannels: [sms]');
  expect(problems()).toEqual([
    'channels.yaml [0].providers[0].unknownOutcome',
    'channels.yaml [0].providers[0].url',
  ]);
});

test('a quota names a channel once a period, limits something, and adds up one currency', () => {
  const line = (currency: string, quotas: string) =>
    `{ name: ${currency.toLowerCase()}, currency: ${currency}, initialCash: '1', initialUnits: 1, quotas: [${quotas}] }`;
  const tenants = (...quotas: [string, string, string]) => {
    const [all, ...lines] = quotas;
    write(
      'tenants.yaml',
      `- { id: lantern, quotas: [${all}], businessLines: [${line('CNY', lines[0])}, ${line('USD', lines[1])}] }`,
    );
    write('templates.yaml', '[{ id: a }]');
    return problems();
  };
  const sms = '{ channel: sms, period: day, units: 5 }';
  expect(
    tenants(sms, "{ channel: sms, period: month, cash: '5.00', elasticFactor: 1.125 }", sms),
  ).toEqual([]);
  expect(
    tenants(
      "{ channel: sms, period: day, cash: '5' }",
      `${sms}, ${sms}`,
      '{ channel: fax, period: day, units: 5 }',
    ),
  ).toEqual([
    'tenants.yaml [0].quotas[0].cash',
    'tenants.yaml [0].businessLines[0].quotas[1]',
    'tenants.yaml [0].businessLines[1].quotas[0].channel',
  ]);
  expect(
    tenants(
      '{ channel: sms, period: week, units: 5 }',
      '{ channel: sms, period: day }',
      '{ channel: sms, period: day, units: -1, elasticFactor: 0.9 }, { channel: sms, period: month, cash: 5, elasticFactor: 1.0001 }',
    ),
  ).toEqual([
    'tenants.yaml [0].quotas[0].period',
    'tenants.yaml [0].businessLines[0].quotas[0]',
    'tenants.yaml [0].businessLines[1].quotas[0].units',
    'tenants.yaml [0].businessLines[1].quotas[0].elasticFactor',
    'tenants.yaml [0].businessLines[1].quotas[1].cash',
    'tenants.yaml [0].businessLines[1].quotas[1].elasticFactor',
  ]);
});

const RULE = `name: low, tenant: lantern, when: 'cash.share < 0.2', cash: '50.00', currency: CNY, dailyCap: { cash: '100.00' }, coolDownMs: 60000, approveAbove: {}`;
const withRule = (rule: string, more = '') => {
  write('recharge.yaml', `rules: [{ ${rule} }]\n${more}`);
};

test('a folder without recharge.yaml has no recharge rules', () => {
  rmSync(path.join(folder, 'recharge.yaml'), { force: true });
  expect(readConfigFolder(folder).recharge).toMatchObject({ timeZone: 'UTC', rules: [] });
});

test('a recharge rule that is sound is read with its defaults', () => {
  withRule(RULE);
  expect(readConfigFolder(folder).recharge).toMatchObject({
    burnWindowMs: 3_600_000,
    rules: [{ name: 'low', units: 0 }],
    review: { rules: [], answerWithinMs: 3_600_000 },
  });
});

test.each([
  ["when: 'cash.share < 0.2'", "when: 'cash.shares < 0.2'", 'rules[0].when', /No such key: shares/],
  ["when: 'cash.share < 0.2'", "when: 'cash.share + 1.0'", 'rules[0].when', /not true or false/],
  ["when: 'cash.share < 0.2'", 'when: \'cash.share < "0.2"\'', 'rules[0].when', /double < string/],
  ["when: 'cash.share < 0.2'", "when: 'amount.cash > 1'", 'rules[0].when', /Unknown variable/],
  ['tenant: lantern', 'tenant: nobody', 'rules[0].tenant', /no tenant nobody/],
  [
    'tenant: lantern',
    'tenant: lantern, businessLine: x',
    'rules[0].businessLine',
    /no business line x/,
  ],
  ['currency: CNY', 'currency: USD', 'rules[0].currency', /lantern\/promotions is kept in CNY/],
  ['currency: CNY, ', '', 'rules[0].currency', /cash needs its currency/],
  ["cash: '50.00'", "cash: '0'", 'rules[0].cash', /above 0/],
  ["cash: '50.00'", "cash: '100.01'", 'rules[0].dailyCap', /could never recharge/],
  ["cash: '50.00'", "cash: '50.00', units: 1", 'rules[0].dailyCap', /could never recharge/],
  ["cash: '50.00'", "cash: '-1'", 'rules[0].cash', /decimal text/],
  ['coolDownMs: 60000', 'coolDownMs: 0', 'rules[0].coolDownMs', /60000/],
  ['name: low', "name: low, timeZone: 'Mars/Olympus'", 'rules[0].timeZone', /IANA time zone/],
  [', approveAbove: {}', '', 'rules[0].approveAbove', /expected object/],
])('a recharge rule with %s as "%s" is refused at its place', (from, to, at, says) => {
  withRule(RULE.replace(from, to));
  const [problem, ...more] = checkConfigFolder(folder).problems;
  expect(problem).toMatchObject({ file: 'recharge.yaml', path: at });
  expect(problem?.message).toMatch(says);
  expect(more).toEqual([]);
});

test('conditions of review rules may name the amount; two rules of one name are told', () => {
  const review = (when: string) =>
    `review: { rules: [{ name: small, when: '${when}', verdict: approve }] }`;
  withRule(RULE, review('amount.cash <= money("50") && today.units == 0 && rule == "low"'));
  expect(problems()).toEqual([]);
  withRule(`${RULE} }, { ${RULE}`, review('amount.cash = 1'));
  expect(problems()).toEqual(['recharge.yaml rules[1].name', 'recharge.yaml review.rules[0].when']);
  expect(() => readConfigFolder(folder)).toThrow(/Unexpected character: =[^]*\^/);
});
