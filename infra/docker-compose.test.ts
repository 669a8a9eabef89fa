import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { componentNames, variables } from './stack/endpoints.mjs';
import { brokerProperties } from './stack/kafka-config.mjs';

const service = z.object({
  image: z.string(),
  ports: z.array(z.string()),
  environment: z.record(z.string(), z.union([z.string(), z.number()])).default({}),
  volumes: z.array(z.string()).default([]),
});
const text = readFileSync(new URL('./docker-compose.yml', import.meta.url), 'utf8');
const compose = z
  .object({ services: z.record(z.string(), service), volumes: z.record(z.string(), z.unknown()) })
  .parse(parse(text));

describe('docker-compose.yml', () => {
  test('has every component of the local stack, no other', () => {
    expect(Object.keys(compose.services).sort()).toEqual([...componentNames].sort());
  });

  test('opens ports on the loopback address only', () => {
    for (const { ports } of Object.values(compose.services)) {
      expect(ports.length).toBeGreaterThan(0);
      for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+:\d+$/);
    }
  });

  test('says for each component which variable to set, with the port it opens', () => {
    for (const name of componentNames) {
      const port = compose.services[name]?.ports[0]?.split(':')[1] ?? 'none';
      expect(text).toMatch(new RegExp(`export ${variables[name]}=\\S*127\\.0\\.0\\.1:${port}\\b`));
    }
  });

  test('pins every image to a version', () => {
    for (const { image } of Object.values(compose.services)) {
      expect(image).toMatch(/:\d+(\.\w+)*$/);
    }
  });

  test('declares every volume it mounts', () => {
    const mounted = Object.values(compose.services).flatMap(({ volumes }) =>
      volumes.map((volume) => volume.split(':')[0]),
    );
    expect([...mounted].sort()).toEqual(Object.keys(compose.volumes).sort());
  });

  test('gives Kafka the settings of the local broker', () => {
    const own = /^(process|node|controller|listener|advertised|inter\.broker|log\.dirs)/;
    const local = brokerProperties({ id: 1, port: 1, controllerPort: 2 }, [], '/data')
      .trim()
      .split('\n')
      .map((line) => line.split('='))
      .filter(([name = '']) => name !== '' && !own.test(name));
    for (const [name = '', value] of local) {
      const variable = `KAFKA_${name.toUpperCase().replaceAll('.', '_')}`;
      if (/FACTOR$|ISR$|REPLICAS$/.test(variable)) continue;
      expect(`${variable}=${compose.services['kafka']?.environment[variable]}`).toBe(
        `${variable}=${value}`,
      );
    }
  });
});
