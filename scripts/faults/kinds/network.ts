import type { AnswerFault, KafkaApi } from '../kafka-proxy.js';
import { type FaultKind, between, own, pause } from '../scene.js';

const APIS: readonly KafkaApi[] = ['EndTxn', 'TxnOffsetCommit', 'Fetch', 'Produce'];
const LASTS_MS = { least: 1_500, most: 4_000 } as const;
/** Within and beyond the transaction's time-out of 5 s. */
const DELAY_MS = { least: 300, most: 6_000 } as const;
const CUTS = 5;

/** Answers of one kind are late, or never come; the brokers have done what was asked. */
const answers = (api: KafkaApi, how: AnswerFault['how']): FaultKind => ({
  name: `${how} ${api}`,
  family: 'network',
  needsOwnServices: true,
  inject: async (scene, random) => {
    const { proxies } = own(scene);
    const ms = between(random, LASTS_MS.least, LASTS_MS.most);
    const late = between(random, DELAY_MS.least, DELAY_MS.most);
    const fault: AnswerFault = how === 'delay' ? { how, ms: late } : { how };
    for (const proxy of proxies) proxy.set(api, fault);
    await pause(ms);
    const met = proxies.reduce((sum, proxy) => sum + proxy.answersMet, 0);
    for (const proxy of proxies) proxy.set(api, null);
    return met === 0
      ? null
      : `${met} answers in ${ms} ms${how === 'delay' ? ` by ${late} ms` : ''}`;
  },
});

const cut: FaultKind = {
  name: 'cut connections',
  family: 'network',
  needsOwnServices: true,
  inject: async (scene, random) => {
    let broken = 0;
    for (let n = 0; n < CUTS; n++) {
      for (const proxy of own(scene).proxies) broken += proxy.cut(() => random.chance(0.5));
      await pause(between(random, 200, 1_000));
    }
    return `${broken} connections`;
  },
};

export const NETWORK: readonly FaultKind[] = [
  ...APIS.flatMap((api) => [answers(api, 'delay'), answers(api, 'drop')]),
  answers('EndTxn', 'cut'),
  answers('TxnOffsetCommit', 'cut'),
  cut,
];
