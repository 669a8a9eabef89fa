import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { projectRoot } from '../schemas/root.js';
import { readConfigFolder } from './config-folder.js';

const demo = path.join(projectRoot(), 'scripts', 'demo', 'config');
const variables = { SIMULATOR_URL: 'http://127.0.0.1:1' };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'millrace-config-'));
  cpSync(demo, folder, { recursive: true });
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});
const errorsOf = (): string => {
  try {
    readConfigFolder(folder, variables);
  } catch (thrown) {
    return (thrown as Error).message;
  }
  return '';
};

test('the demo folder is valid, and ${NAME} comes from the environment', () => {
  const config = readConfigFolder(folder, variables);
  expect(config.channels[0]?.providers[0]?.url).toBe('http://127.0.0.1:1/aliyun-sms');
  expect(config.windows.lengthMs).toBe(10_000);
});

test('errors of all files are listed at once', () => {
  writeFileSync(path.join(folder, 'windows.yaml'), 'lengthMs: -1\nlength: 5\n');
  writeFileSync(path.join(folder, 'lanes.yaml'), 'maxBatch: { p0: [\n');
  rmSync(path.join(folder, 'policy.yaml'));
  const message = errorsOf();
  expect(message).toContain('windows.yaml: lengthMs');
  expect(message).toContain('"length"');
  expect(message).toContain('lanes.yaml');
  expect(message).toContain('policy.yaml is not there');
});

test('a name that is used but not configured, or there twice, is an error', () => {
  writeFileSync(path.join(folder, 'policy.yaml'), 'defaultChannels: [sms, pigeon]\n');
  writeFileSync(
    path.join(folder, 'templates.yaml'),
    '- { id: a, tenants: [nobody] }\n- { id: a }\n',
  );
  const message = errorsOf();
  expect(message).toContain('pigeon is not configured');
  expect(message).toContain('nobody is not configured');
  expect(message).toContain('templates.yaml: a is there twice');
});

test('a variable that is not set is named', () => {
  expect(() => readConfigFolder(folder, {})).toThrow('${SIMULATOR_URL} is not set');
});
