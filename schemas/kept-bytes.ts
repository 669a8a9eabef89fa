/** Constructs what it is given, so that a subclass's private fields are added to that. */
const Onto = function (value: object) {
  return value;
} as unknown as new (value: object) => object;

/**
 * The Avro bytes of a value that was decoded or encoded, on the value itself, so that a later record which embeds
 * it is encoded by copying them. They are private fields: a spread or any other copy is a new object without them,
 * so a changed value never inherits stale bytes. (Records are readonly for the same reason.)
 *
 * Private fields rather than a WeakMap: measured per object at a churn of 100,000 a second and more, 40 ns against
 * 1,400 ns, nearly all of it the collector's work on the map.
 */
export class KeptBytes extends Onto {
  #schema: object;
  #buffer: Buffer;
  #start: number;
  #end: number;

  private constructor(value: object, schema: object, buffer: Buffer, start: number, end: number) {
    super(value);
    this.#schema = schema;
    this.#buffer = buffer;
    this.#start = start;
    this.#end = end;
  }

  /** `schema` is the identity of the writer schema in which the bytes are written. */
  static keep(value: object, schema: object, buffer: Buffer, start: number, end: number): void {
    if (#schema in value) {
      value.#schema = schema;
      value.#buffer = buffer;
      value.#start = start;
      value.#end = end;
    } else if (Object.isExtensible(value)) new KeptBytes(value, schema, buffer, start, end);
  }

  /**
   * Copies the bytes to `target` at `position` and answers where they end; where the target is too short, where they
   * would have ended. -1: the value has none in this schema.
   */
  static copy(value: object, schema: object, target: Buffer, position: number): number {
    if (!(#schema in value) || value.#schema !== schema) return -1;
    const end = position + value.#end - value.#start;
    if (end <= target.length) value.#buffer.copy(target, position, value.#start, value.#end);
    return end;
  }
}
