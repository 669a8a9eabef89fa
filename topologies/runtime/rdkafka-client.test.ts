import { expect, test } from 'vitest';
import { readEnvironment } from '../config.js';
import { rdkafkaConnection } from '../kafka-connection.js';
import { ConsumerClient, ProducerClient } from './rdkafka-client.js';

const nowhere = { 'metadata.broker.list': '127.0.0.1:1' };

test('a producer with a call that was not answered is not destroyed before it is: both would hang for ever', async () => {
  const producer = new ProducerClient(nowhere);
  const consumer = new ConsumerClient({ ...nowhere, 'group.id': 'nobody' });
  let answer: (error?: Error) => void = () => undefined;
  let destroyed = 0;
  Object.assign(producer.native, {
    isConnected: () => true,
    sendOffsetsToTransaction: (
      _offsets: unknown,
      _consumer: unknown,
      _timeoutMs: number,
      done: (error?: Error) => void,
    ) => {
      answer = done;
    },
    disconnect: (_timeoutMs: number, done: () => void) => {
      destroyed += 1;
      done();
    },
  });
  // Longer than any answer takes: the call is given up, and is still under way.
  await expect(producer.sendOffsets([], consumer, -1_999)).rejects.toThrow('no answer');
  await producer.disconnect(-999);
  expect(destroyed).toBe(0);
  answer();
  await producer.disconnect(1_000);
  expect(destroyed).toBe(2);
});

test('nothing polls a producer while it is destroyed: that ends the process by a signal', async () => {
  const { kafka } = readEnvironment(process.env, ['kafka']);
  const producer = new ProducerClient({ ...rdkafkaConnection(kafka), dr_cb: true });
  await producer.connect(10_000);
  const { native } = producer;
  native.setPollInterval(1);
  const disconnect = native.disconnect.bind(native);
  let destroying = false;
  let polls = 0;
  Object.assign(native, {
    poll: () => {
      if (destroying) polls += 1;
    },
    disconnect: (timeoutMs: number, done: () => void) => {
      destroying = true;
      disconnect(timeoutMs, done);
    },
  });
  await producer.disconnect(10_000);
  expect(destroying).toBe(true);
  expect(polls).toBe(0);
});
