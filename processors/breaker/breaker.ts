import type {
  BreakerCommand,
  BreakerLevel,
  ChannelWindow,
  ConfigEntry,
} from '../../schemas/generated/records.js';
import { breakerOf } from '../configuration.js';
import { isRebuilt } from '../windows/rebuilt.js';
import type { Contract, Decision, Emit, Processor, Put, View } from '../processor.js';
import { obey } from './command.js';
import { judge } from './level-1.js';
import { type ScopeState, levelEvent, newScope, scopeOf, tallies, withWindow } from './scope.js';

export interface Breaker extends Contract {
  readonly from: { readonly windows: ChannelWindow };
  readonly to: { readonly levels: BreakerLevel };
  readonly state: { readonly scopes: ScopeState };
  /**
   * Commands are a table, the newest of each scope: a state shard belongs to one partition of one input topic, and
   * a command must meet the shard that holds its scope.
   */
  readonly tables: { readonly config: ConfigEntry; readonly commands: BreakerCommand };
  readonly ports: object;
  readonly fact: unknown;
  readonly call: unknown;
  readonly answer: unknown;
}

type Seen = View<Breaker>;

/** A scope as it becomes, with the events on the way. */
interface Turn {
  readonly scope: ScopeState;
  readonly events: readonly BreakerLevel[];
}

const turn = (scope: ScopeState): Turn => ({ scope, events: [] });

const changed = ({ scope, events }: Turn, event: BreakerLevel): Turn => ({
  scope: { ...scope, last: event },
  events: [...events, event],
});

/** Level 1 of every channel × provider, from its closed windows and from commands. */
export const breaker: Processor<Breaker> = {
  name: 'breaker',
  gather: null,

  decide({ value: window, headers }, _fact, { now, state }) {
    // Old news: a bad window that was missing, with no good ones after it, would lower today's rate.
    if (isRebuilt(headers)) return {};
    const { channel, provider, series } = window;
    if (series !== 'channel' || provider === null) return {};
    const key = scopeOf(channel, provider);
    const before = state.scopes.get(key) ?? newScope(channel, provider, now);
    const after = withWindow(before, window);
    return after === before ? {} : { put: [{ to: 'scopes', key, value: after }] };
  },

  /** All lanes of a window are written in one transaction, so they are judged together, at the batch's end. */
  flush: (view) =>
    ofAll(view, (scope) => (scope.unjudged ? welcomed(judged(turn(scope), view), view) : null)),

  tick: (view) => ofAll(view, (scope) => alive(judged(obeyed(turn(scope), view), view), view)),

  metrics: {
    level_changes: ({ emit }) => emit?.filter(({ value }) => !value.heartbeat).length ?? 0,
    heartbeats: ({ emit }) => emit?.filter(({ value }) => value.heartbeat).length ?? 0,
  },
};

const ofAll = (view: Seen, of: (scope: ScopeState) => Turn | null): Decision<Breaker> => {
  const emit: Emit<Breaker['to']>[] = [];
  const put: Put<Breaker['state']>[] = [];
  for (const [key, before] of view.state.scopes.entries()) {
    const result = of(before);
    if (result === null) continue;
    for (const value of result.events) emit.push({ to: 'levels', key, value });
    if (result.scope !== before) put.push({ to: 'scopes', key, value: result.scope });
  }
  return { emit, put };
};

const judged = (before: Turn, { now, tables }: Seen): Turn => {
  const { level1: rules } = breakerOf(tables.config);
  const scope = before.scope.unjudged ? { ...before.scope, unjudged: false } : before.scope;
  const judgement = judge(scope.level1, tallies(scope), rules, now);
  if (judgement === null) return { ...before, scope };
  const next = { ...before, scope: { ...scope, level1: judgement.level1 } };
  if (judgement.cause === null) return next;
  return changed(next, levelEvent(scope, judgement.level1, judgement.cause, judgement.window, now));
};

/** The newest command of the scope, once. A scope that is new here obeys an old one only if it holds. */
const obeyed = (before: Turn, { now, tables }: Seen): Turn => {
  const { scope } = before;
  const command = tables.commands.get(scope.scope);
  if (command === undefined || command.at <= scope.commandAt) return before;
  const noted = { ...scope, commandAt: command.at };
  if (scope.commandAt === 0 && command.at < scope.level1.since && command.action !== 'hold')
    return { ...before, scope: noted };
  const result = obey(scope.level1, command, breakerOf(tables.config).level1, now);
  if (result.is === 'ignored') return { ...before, scope: noted };
  const event = levelEvent(scope, result.level1, result.cause, null, now);
  return changed({ ...before, scope: { ...noted, level1: result.level1 } }, event);
};

/** A scope's first event, so that workers know it is watched. */
const welcomed = (after: Turn, { now }: Seen): Turn => {
  const { scope } = after;
  if (scope.last !== null) return after;
  const event = levelEvent(scope, scope.level1, 'first window', null, now);
  return changed(after, { ...event, heartbeat: true });
};

/** The last event again, while nothing changes: a worker whose table has grown old can tell. */
const alive = (after: Turn, { now, tables }: Seen): Turn => {
  const { last } = after.scope;
  if (last === null || now - last.at < breakerOf(tables.config).heartbeatMs) return after;
  return changed(after, { ...last, at: now, heartbeat: true });
};
