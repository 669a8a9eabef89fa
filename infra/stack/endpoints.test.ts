import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { componentNames, endpoints, stackVariables } from './endpoints.mjs';
import { envText, parseEnv } from './env-file.mjs';
import { portsFrom } from './ports.mjs';
import { withoutPassword } from './up.mjs';

const ports = portsFrom(29_000);

describe('a component', () => {
  test('is ours without a variable, and all are on the loopback address', () => {
    const where = endpoints({}, ports);
    for (const name of componentNames) {
      expect(where[name].external).toBe(false);
      expect(where[name].url).toContain('127.0.0.1:29');
    }
  });

  test('is replaced by its variable, the others stay ours', () => {
    const where = endpoints({ REDIS_URL: 'redis://elsewhere:6379/0' }, ports);
    expect(where.redis).toMatchObject({ external: true, url: 'redis://elsewhere:6379/0' });
    expect(where.kafka.external).toBe(false);
  });

  test('stays ours in a shell that sourced .stack/env', () => {
    const sourced = stackVariables({}, endpoints({}, ports));
    const where = endpoints(sourced, ports);
    expect(componentNames.filter((name) => where[name].external)).toEqual([]);
  });

  test('that is a replaced InfluxDB keeps its own token, organisation and bucket', () => {
    const env = { INFLUX_URL: 'http://elsewhere:8086', INFLUX_TOKEN: 't', INFLUX_BUCKET: 'b' };
    const variables = stackVariables(env, endpoints(env, ports));
    expect(variables).toMatchObject({ ...env, INFLUX_ORG: 'millrace' });
  });
});

describe('.stack/env', () => {
  const awkward = { A: `it's "quoted" $HOME \`x\``, URL: 'postgresql://a:b@127.0.0.1:1/c?d=e&f' };

  test('means to a shell exactly what was written', () => {
    const script = `${envText(awkward)}\nprintf '%s\\n%s' "$A" "$URL"`;
    const { stdout } = spawnSync('sh', ['-c', script], { encoding: 'utf8' });
    expect(stdout).toBe(`${awkward.A}\n${awkward.URL}`);
  });

  test('is read back as it was written', () => {
    expect(parseEnv(envText(awkward))).toEqual(awkward);
  });
});

test('an address is shown without its password', () => {
  expect(withoutPassword('postgresql://u:secret@h:1/d')).toBe('postgresql://u:…@h:1/d');
  expect(withoutPassword('redis://:secret@h:1')).toBe('redis://:…@h:1');
  expect(withoutPassword('127.0.0.1:29092')).toBe('127.0.0.1:29092');
});
