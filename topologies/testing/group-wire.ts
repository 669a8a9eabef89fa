import { connect } from 'node:net';

/**
 * Throws a consumer group's members out, as a session time-out does, without waiting for one: the coordinator forgets
 * them while they still believe to belong. Kafka's own protocol by hand, because no client offers it for another's
 * member: LeaveGroup (13) v0 for classic groups, ConsumerGroupHeartbeat (68) v0 with epoch -1 for KIP-848 groups.
 */
export const expelMembers = async (
  brokers: string,
  groupId: string,
  protocol: 'classic' | 'consumer',
): Promise<number> => {
  const broker = brokers.split(',')[0] ?? '';
  const members =
    protocol === 'classic'
      ? await classicMembers(broker, groupId)
      : await consumerMembers(broker, groupId);
  for (const member of members) {
    const answer =
      protocol === 'classic'
        ? await ask(broker, 13, 0, false, [text(groupId), text(member)])
        : await ask(broker, 68, 0, true, leaveByHeartbeat(groupId, member));
    const at = protocol === 'classic' ? 0 : 4;
    const code = answer.readInt16BE(at);
    if (code !== 0) throw new Error(`${groupId}: expelling answered error ${code.toString()}`);
  }
  return members.length;
};

const leaveByHeartbeat = (groupId: string, member: string): Buffer[] => [
  compact(groupId),
  compact(member),
  int32(-1),
  NULL_COMPACT, // instance id
  NULL_COMPACT, // rack id
  int32(-1), // rebalance time-out
  NULL_COMPACT, // subscribed topics
  NULL_COMPACT, // assignor
  NULL_COMPACT, // owned partitions
  NO_TAGS,
];

/** DescribeGroups (15) v0. */
const classicMembers = async (broker: string, groupId: string): Promise<string[]> => {
  const reader = new Reader(await ask(broker, 15, 0, false, [int32(1), text(groupId)]));
  reader.int32(); // groups
  reader.int16(); // error
  for (let field = 0; field < 4; field++) reader.text(); // group, state, protocol type, protocol
  return Array.from({ length: reader.int32() }, () => {
    const member = reader.text();
    reader.text(); // client id
    reader.text(); // host
    reader.bytes(); // metadata
    reader.bytes(); // assignment
    return member;
  });
};

/** ConsumerGroupDescribe (69) v0, as far as its first member. */
const consumerMembers = async (broker: string, groupId: string): Promise<string[]> => {
  const body = [Buffer.from([2]), compact(groupId), Buffer.from([0]), NO_TAGS];
  const reader = new Reader(await ask(broker, 69, 0, true, body));
  reader.int32(); // throttle
  reader.length(); // groups
  const error = reader.int16();
  const message = reader.compact();
  if (error !== 0) throw new Error(`${groupId}: ${message}`);
  reader.compact(); // group
  reader.compact(); // state
  reader.int32(); // group epoch
  reader.int32(); // assignment epoch
  reader.compact(); // assignor
  const members = reader.length();
  if (members > 1) throw new Error('only groups of one member are expelled here');
  return members === 0 ? [] : [reader.compact()];
};

const int16 = (value: number): Buffer => {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
};
const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
const text = (value: string): Buffer =>
  Buffer.concat([int16(Buffer.byteLength(value)), Buffer.from(value)]);
/** Under 127 bytes, which one byte's length can say. */
const compact = (value: string): Buffer =>
  Buffer.concat([Buffer.from([Buffer.byteLength(value) + 1]), Buffer.from(value)]);
const NULL_COMPACT = Buffer.from([0]);
const NO_TAGS = Buffer.from([0]);

const ask = (
  broker: string,
  api: number,
  version: number,
  flexible: boolean,
  body: readonly Buffer[],
): Promise<Buffer> => {
  const [host = '', port = ''] = broker.split(':');
  const request = Buffer.concat([
    int16(api),
    int16(version),
    int32(1),
    text('millrace-test'),
    ...(flexible ? [NO_TAGS] : []),
    ...body,
  ]);
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const socket = connect({ host, port: Number(port) });
    socket.setTimeout(10_000, () => socket.destroy(new Error('the broker does not answer')));
    socket.on('error', reject);
    socket.on('connect', () => socket.write(Buffer.concat([int32(request.length), request])));
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 4 || received.length < 4 + received.readInt32BE(0)) return;
      socket.end();
      // length, correlation id and, in flexible versions, the header's tags.
      resolve(received.subarray(flexible ? 9 : 8));
    });
  });
};

class Reader {
  private at = 0;
  private readonly from: Buffer;

  constructor(from: Buffer) {
    this.from = from;
  }

  int16(): number {
    this.at += 2;
    return this.from.readInt16BE(this.at - 2);
  }

  int32(): number {
    this.at += 4;
    return this.from.readInt32BE(this.at - 4);
  }

  /** Of a compact array or string: one more than the length, as a varint. */
  length(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.from.readUInt8(this.at);
      this.at += 1;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value - 1;
    }
  }

  text(): string {
    return this.take(this.int16()).toString();
  }

  bytes(): Buffer {
    return this.take(this.int32());
  }

  compact(): string {
    return this.take(this.length()).toString();
  }

  private take(length: number): Buffer {
    if (length <= 0) return Buffer.alloc(0);
    this.at += length;
    return this.from.subarray(this.at - length, this.at);
  }
}
