import { dedupedIn } from '../../processors/carried.js';
import { channelsOf, policyOf } from '../../processors/configuration.js';
import type { ConfigTable } from '../../processors/configuration.js';
import type { MessageRequest } from '../../schemas/generated/records.js';
import type { Foreseen, Recovery } from '../../sinks/postgres/recovery.js';
import type { ReentryRun, Returning } from '../../topologies/reenter.js';
import type { Count } from './census.js';
import type { Figures } from './figures.js';
import { Tally } from './figures.js';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

interface Message {
  readonly request: MessageRequest;
  readonly generation: number;
  readonly routed: { readonly channel: string; readonly attempt: number } | null;
}

/** The message of a record that comes back. */
export const messageOf = (record: Returning): Message => {
  if (record.stage === 'dedupe')
    return { request: record.value, generation: record.generation, routed: null };
  const { request, generation } = dedupedIn(record.value);
  return { request, generation, routed: record.stage === 'send' ? record.value : null };
};

/** What the re-entry task would be asked about a record. */
export const foreseen = (record: Returning, as: ReentryRun['generation']): Foreseen => {
  const { request, generation, routed } = messageOf(record);
  const again = as === 'next';
  const atSend = routed !== null && !again;
  return {
    tenantId: request.tenantId,
    messageId: request.messageId,
    createdAt: request.createdAt,
    generation: generation + (again ? 1 : 0),
    stage: atSend ? 'send' : 'budget-reserve',
    attempt: atSend ? routed.attempt : 0,
    releaseNo: record.releaseNo ?? 0,
  };
};

/**
 * Looks at what would come back without writing it: which are done already, and of those that would go on, whose they
 * are and what they would cost at most.
 */
export const foresee = async (
  records: readonly Returning[],
  as: ReentryRun['generation'],
  recovery: Recovery,
  config: ConfigTable,
  census: Count,
): Promise<Figures> => {
  const tally = new Tally();
  const readable = records.filter((one) => UUID.test(messageOf(one).request.messageId));
  tally.add('wouldBeRefused', records.length - readable.length);
  const answers = await recovery.foresee(readable.map((one) => foreseen(one, as)));
  for (const [index, record] of readable.entries()) {
    const answer = answers[index];
    if (answer !== 'pass') {
      tally.add(answer === 'unpaid' ? 'wouldBeRefused' : 'alreadyDone');
      continue;
    }
    tally.add('wouldPass');
    const { request, routed } = messageOf(record);
    census.add({
      request,
      lane: record.lane,
      channel: routed?.channel ?? firstChannel(request, config),
      paid: record.stage === 'send' && as === 'same',
    });
  }
  return tally.figures;
};

const firstChannel = ({ channels }: MessageRequest, config: ConfigTable): string => {
  const known = channelsOf(config);
  const wanted = channels.length > 0 ? channels : policyOf(config).defaultChannels;
  return wanted.find((one) => known.has(one)) ?? 'none';
};
