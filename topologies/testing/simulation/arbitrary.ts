import fc from 'fast-check';
import {
  CARRIER_ANSWERS,
  POINTS,
  POINT_FAULTS,
  type Plan,
  type PlannedRequest,
  type PointFault,
  TIMED_FAULTS,
  type TimedFault,
} from './plan.js';

const SPAN_MS = 6_000;

const requests: fc.Arbitrary<PlannedRequest> = fc.record({
  atMs: fc.integer({ min: 0, max: SPAN_MS }),
  n: fc.integer({ min: 1, max: 6 }),
  tenant: fc.constantFrom('acme', 'acme', 'acme', 'globex', 'nobody'),
  line: fc.constantFrom('orders', 'orders', 'orders', 'poor'),
  channel: fc.constantFrom('sms', 'sms', 'app_push', 'app_push', 'fax'),
  key: fc.constantFrom('a', 'b', 'user-1', null),
  content: fc.constantFrom(0, 0, 0, 1),
});

const pointFaults: fc.Arbitrary<PointFault> = fc.record({
  worker: fc.integer({ min: 0, max: 2 }),
  point: fc.constantFrom(...POINTS),
  nth: fc.integer({ min: 1, max: 8 }),
  what: fc.constantFrom(...POINT_FAULTS),
});

const timedFaults: fc.Arbitrary<TimedFault> = fc.record({
  atMs: fc.integer({ min: 0, max: SPAN_MS + 4_000 }),
  worker: fc.integer({ min: 0, max: 2 }),
  what: fc.constantFrom(...TIMED_FAULTS),
});

/** Any plan; smaller ones are calmer: fewer requests and faults, one worker, equal latencies. */
export const plans: fc.Arbitrary<Plan> = fc.record({
  workers: fc.integer({ min: 1, max: 3 }),
  joinMs: fc.array(fc.integer({ min: 0, max: SPAN_MS }), { minLength: 2, maxLength: 2 }),
  latencySeed: fc.integer({ min: 0, max: 1_000_000 }),
  requests: fc.array(requests, { minLength: 1, maxLength: 10 }),
  answers: fc.array(fc.constantFrom(...CARRIER_ANSWERS), { maxLength: 8 }),
  faults: fc.array(
    fc.oneof({ weight: 3, arbitrary: pointFaults }, { weight: 1, arbitrary: timedFaults }),
    {
      maxLength: 6,
    },
  ),
});
