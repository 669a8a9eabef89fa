import type { Dispatcher } from 'undici';
import { expect, test, vi } from 'vitest';
import type { HttpCall } from './http-call.js';
import { postOnce } from './http-call.js';

/** A dispatcher whose connection the test makes, in its own time. */
const slow = () => {
  const handlers: Dispatcher.DispatchHandler[] = [];
  const dispatcher = {
    dispatch: (_options: unknown, handler: Dispatcher.DispatchHandler) => {
      handlers.push(handler);
      return true;
    },
  } as unknown as Dispatcher;
  const abort = vi.fn();
  const controller = { abort } as unknown as Dispatcher.DispatchController;
  return { dispatcher, abort, controller, handler: () => handlers[0] };
};

const callIn = (startInMs: number, timeoutMs: number): HttpCall => ({
  origin: 'http://127.0.0.1',
  path: '/',
  headers: {},
  body: 'x',
  startBy: Date.now() + startInMs,
  deadline: Date.now() + timeoutMs,
});

test('a connection that came after startBy writes nothing', async () => {
  const { dispatcher, abort, controller, handler } = slow();
  let now = Date.now();
  const result = postOnce(dispatcher, callIn(1_000, 2_000), () => now);
  now += 1_500;
  handler()?.onRequestStart?.(controller, {});
  expect(await result).toEqual({ kind: 'never_asked', late: true, code: null });
  expect(abort).toHaveBeenCalledOnce();
});

test('a connection that came after the deadline writes nothing, though its call was given up', async () => {
  const { dispatcher, abort, controller, handler } = slow();
  const result = postOnce(dispatcher, callIn(5_000, 20), Date.now);
  expect(await result).toEqual({ kind: 'never_asked', late: false, code: 'ETIMEDOUT' });
  handler()?.onRequestStart?.(controller, {});
  expect(abort).toHaveBeenCalledOnce();
});

test('an error before the write asked nobody, one after it is ambiguous; neither quotes anything', async () => {
  const error = Object.assign(new Error('to http://127.0.0.1/?phone=139'), { code: 'ECONNRESET' });
  const before = slow();
  const first = postOnce(before.dispatcher, callIn(1_000, 2_000), Date.now);
  before.handler()?.onResponseError?.(before.controller, error);
  expect(await first).toEqual({ kind: 'never_asked', late: false, code: 'ECONNRESET' });

  const after = slow();
  const second = postOnce(after.dispatcher, callIn(1_000, 2_000), Date.now);
  after.handler()?.onRequestStart?.(after.controller, {});
  after.handler()?.onResponseError?.(after.controller, error);
  expect(await second).toMatchObject({ kind: 'ambiguous', code: 'ECONNRESET', timedOut: false });
});

test('an answer that breaks off after its status keeps the status', async () => {
  const { dispatcher, controller, handler } = slow();
  const result = postOnce(dispatcher, callIn(1_000, 2_000), Date.now);
  handler()?.onRequestStart?.(controller, {});
  handler()?.onResponseStart?.(controller, 202, {});
  handler()?.onResponseError?.(controller, new Error('cut'));
  expect(await result).toMatchObject({ kind: 'ambiguous', status: 202 });
});

test('of an endless answer only the beginning is kept', async () => {
  const { dispatcher, controller, handler } = slow();
  const result = postOnce(dispatcher, callIn(1_000, 2_000), Date.now);
  handler()?.onRequestStart?.(controller, {});
  handler()?.onResponseStart?.(controller, 200, {});
  for (let index = 0; index < 10; index += 1)
    handler()?.onResponseData?.(controller, Buffer.alloc(50_000));
  handler()?.onResponseEnd?.(controller, {});
  const answered = await result;
  expect(answered.kind === 'answered' && answered.body.length).toBe(65_536);
});
