import { Environment, ParseError, TypeError as CelTypeError } from '@marcbachmann/cel-js';
import { microsOf } from './config.js';
import { PipelineError, asError } from './error.js';
import { expressionTypes } from './expression-types.js';
import type { RecordName } from './record-types.js';

type ScalarType = 'int' | 'double' | 'string';

/** What an expression may name. Fields are checked, of a record or of what is listed here. */
export type VariableType =
  | ScalarType
  | { readonly record: RecordName }
  | { readonly fields: Readonly<Record<string, ScalarType>> };

/** A condition in CEL (https://cel.dev), compiled once. */
export interface Expression<Names extends string> {
  readonly text: string;
  /**
   * @throws Error in the words of CEL, with the place in the expression, where these values have no answer: null is
   *   compared with a number, a map has no such key
   */
  readonly holds: (values: Readonly<Record<Names, unknown>>) => boolean;
}

const DECIMAL = /^\d{1,12}(\.\d{1,6})?$/;

/** Money and times are whole numbers in records (micros, milliseconds); these make them of what people write. */
const withFunctions = (environment: Environment): Environment =>
  environment
    .registerFunction('money(string): int', (text: string) => {
      if (!DECIMAL.test(text)) throw new Error(`money(): "${text}" is no amount such as "0.045"`);
      return microsOf(text);
    })
    .registerFunction('time(string): int', (text: string) => {
      const time = Date.parse(text);
      if (Number.isNaN(time)) throw new Error(`time(): "${text}" is no time such as "2026-01-31"`);
      return BigInt(time);
    });

/**
 * Compiles a condition over these variables. Numbers of records are CEL's int, money too: they compare exactly.
 * @throws PipelineError config_invalid that points at the place in the expression
 */
export const compileExpression = <Names extends string>(
  text: string,
  variables: Readonly<Record<Names, VariableType>>,
): Expression<Names> => {
  const types = expressionTypes();
  const environment = withFunctions(new Environment());
  const named = Object.entries<VariableType>(variables).map(([name, type]) => {
    if (typeof type === 'string') return { name, type, convert: CONVERT[type] };
    if ('fields' in type) {
      environment.registerType({ name: `${name}_fields`, schema: { ...type.fields } });
      return { name, type: `${name}_fields`, convert: fieldsOf(type.fields) };
    }
    const { name: record, convert } = types.of(type.record);
    return { name, type: record, convert };
  });
  for (const { name, fields } of types.records())
    environment.registerType({ name, schema: { ...fields } });
  for (const { name, type } of named) environment.registerVariable(name, type);
  const parsed = parse(environment, text);
  return {
    text,
    holds: (values) => {
      const context: Record<string, unknown> = {};
      for (const { name, convert } of named) context[name] = convert(values[name as Names]);
      return parsed(context) === true;
    },
  };
};

/** CEL's int is 64 bits and exact; its JavaScript form is bigint. A double is a number. */
const CONVERT: Readonly<Record<ScalarType, (value: unknown) => unknown>> = {
  int: (value) => (typeof value === 'number' ? BigInt(value) : value),
  double: (value) => value,
  string: (value) => value,
};

const fieldsOf =
  (fields: Readonly<Record<string, ScalarType>>) =>
  (value: unknown): unknown => {
    const from = value as Readonly<Record<string, unknown>>;
    return Object.fromEntries(
      Object.entries(fields).map(([name, type]) => [name, CONVERT[type](from[name])]),
    );
  };

const parse = (environment: Environment, text: string): ReturnType<Environment['parse']> => {
  try {
    const parsed = environment.parse(text);
    const checked = parsed.check();
    if (checked.error !== undefined) throw checked.error;
    if (checked.type !== 'bool' && checked.type !== 'dyn')
      throw new PipelineError(
        'config_invalid',
        `the expression is ${checked.type ?? 'of no type'}, not true or false:\n\n     | ${text}`,
      );
    return parsed;
  } catch (thrown) {
    if (thrown instanceof ParseError || thrown instanceof CelTypeError)
      throw new PipelineError('config_invalid', `in the expression: ${thrown.message}`, thrown);
    throw asError(thrown);
  }
};
