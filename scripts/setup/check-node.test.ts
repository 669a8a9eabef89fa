import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { checkNode } from './check-node.mjs';

const range = '>=20.19 <25';

test.each(['20.19.0', '20.20.2', '22.0.0', '24.99.1'])('Node %s is taken', (version) => {
  expect(() => {
    checkNode(version, range);
  }).not.toThrow();
});

test.each(['18.20.4', '20.18.9', '25.0.0', '26.1.0'])('Node %s is refused by name', (version) => {
  expect(() => {
    checkNode(version, range);
  }).toThrow(`This is Node ${version}; Millrace runs on Node ${range}.`);
});

test("the range in package.json is one that is understood before npm's parser is there", () => {
  const url = new URL('../../package.json', import.meta.url);
  const { engines } = JSON.parse(readFileSync(url, 'utf8')) as { engines: { node: string } };
  expect(() => {
    checkNode('20.19.0', engines.node);
  }).not.toThrow();
});
