import { type Expression, compileExpression } from './expression.js';

/**
 * One budget of an account. share: available ÷ the balance right after the last recharge, 0 to 1 (never recharged: 1);
 * perHour: what was spent of late, by the hour. Cash is micros: compare it with money("100.00").
 */
const BUDGET = {
  fields: {
    share: 'double',
    granted: 'int',
    available: 'int',
    pending: 'int',
    posted: 'int',
    perHour: 'int',
  },
} as const;

/** What a rule's `when` may name. hour: 0 to 23; weekday: 1 (Monday) to 7; both in the rule's time zone. */
const RULE_VARIABLES = {
  tenant: 'string',
  businessLine: 'string',
  cash: BUDGET,
  pv: BUDGET,
  hour: 'int',
  weekday: 'int',
} as const;

const AMOUNTS = { fields: { cash: 'int', units: 'int' } } as const;

/** What a review rule may name besides: what is proposed, and what the rule recharged today. */
const REVIEW_VARIABLES = {
  ...RULE_VARIABLES,
  rule: 'string',
  amount: AMOUNTS,
  today: AMOUNTS,
} as const;

export type RuleCondition = Expression<keyof typeof RULE_VARIABLES>;
export type ReviewCondition = Expression<keyof typeof REVIEW_VARIABLES>;

/** @throws PipelineError config_invalid that points at the place */
export const ruleCondition = (text: string): RuleCondition =>
  compileExpression(text, RULE_VARIABLES);

/** @throws PipelineError config_invalid that points at the place */
export const reviewCondition = (text: string): ReviewCondition =>
  compileExpression(text, REVIEW_VARIABLES);
