import { describe, expect, test } from 'vitest';
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

describe('offsets of a partition whose leader has just died', () => {
  /** As librdkafka 2.12: answers from its cache, which only metadata that is asked for brings up to date. */
  const remembering = (known: boolean, metadata: (done: (error?: Error) => void) => void) => {
    const consumer = new ConsumerClient({ ...nowhere, 'group.id': 'nobody' });
    const cache = { known };
    const asked: string[] = [];
    Object.assign(consumer.native, {
      queryWatermarkOffsets: (
        _topic: string,
        _partition: number,
        _timeoutMs: number,
        done: (error: Error | null, offsets?: unknown) => void,
      ) => {
        asked.push('offsets');
        if (cache.known) done(null, { lowOffset: 3, highOffset: 8 });
        else done(new Error('Local: Unknown partition'));
      },
      getMetadata: ({ topic }: { topic: string }, done: (error?: Error) => void) => {
        asked.push(`metadata of ${topic}`);
        metadata((error) => {
          cache.known = error === undefined;
          done(error);
        });
      },
    });
    return { consumer, asked };
  };

  test('are asked for again once its metadata was: else a client whose cache knows no leader asks nobody for minutes', async () => {
    const { consumer, asked } = remembering(false, (done) => {
      done();
    });
    await expect(consumer.watermarks({ topic: 't', partition: 0 }, 1_000)).resolves.toEqual({
      low: 3,
      high: 8,
    });
    expect(asked).toEqual(['offsets', 'metadata of t', 'offsets']);
  });

  test('are refused where nobody answers, and asked for once where the leader is known', async () => {
    const away = remembering(false, (done) => {
      done(new Error('Local: Broker transport failure'));
    });
    await expect(away.consumer.watermarks({ topic: 't', partition: 0 }, 1_000)).rejects.toThrow(
      'Broker transport failure',
    );
    const fine = remembering(true, () => undefined);
    await fine.consumer.watermarks({ topic: 't', partition: 0 }, 1_000);
    expect(fine.asked).toEqual(['offsets']);
  });
});
