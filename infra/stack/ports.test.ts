import { createServer, type AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { listeningInodes } from './port-holder.mjs';
import { defaultPortBase, portBase, portClash, portsFrom, refuseClashes } from './ports.mjs';

describe('port clash', () => {
  test('names the port, what it is for, who holds it and how to move', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      const refused = refuseClashes([{ port, purpose: 'Kafka' }]);
      await expect(refused).rejects.toMatchObject({
        message: expect.stringMatching(`port ${port} \\(Kafka\\) is taken by`) as string,
        advice: expect.stringContaining('MILLRACE_PORT_BASE=') as string,
      });
      if (process.platform === 'linux') {
        await expect(refused).rejects.toThrow(`process ${process.pid} (`);
      }
    } finally {
      server.close();
    }
  });

  test('names all of them at once', () => {
    const { message } = portClash([
      { port: 1, purpose: 'Redis', holder: 'process 7 (x)' },
      { port: 2, purpose: 'Kafka', holder: null },
    ]);
    expect(message.split('\n')).toHaveLength(2);
  });

  test('is not seen in a connection that only goes to the port', () => {
    const table = [
      'sl local_address rem_address st',
      '0: 0100007F:71A4 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 111 1',
      '1: 0100007F:71A4 0100007F:9999 01 00000000:00000000 00:00000000 00000000 0 0 222 1',
    ].join('\n');
    expect(listeningInodes(table, 0x71a4)).toEqual(['111']);
  });
});

describe('port base', () => {
  test.each([
    { it: 'is the default without a setting', env: {}, running: null, base: defaultPortBase },
    { it: 'is that of the stack that runs', env: {}, running: 31_000, base: 31_000 },
    {
      it: 'is what is asked for before all else',
      env: { MILLRACE_PORT_BASE: '32000' },
      running: 31_000,
      base: 32_000,
    },
  ])('$it', ({ env, running, base }) => {
    expect(portBase(env, running)).toBe(base);
  });

  test.each(['abc', '80', '65535', '29000.5'])('refuses %s in words', (text) => {
    expect(() => portBase({ MILLRACE_PORT_BASE: text }, null)).toThrow(text);
  });

  test('gives two checkouts a thousand apart no port in common', () => {
    const [one, other] = [29_000, 30_000].map((base) => Object.values(portsFrom(base)));
    expect(new Set([...(one ?? []), ...(other ?? [])]).size).toBe(12);
  });
});
