declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** A request's id, a UUID; unique per tenant only. */
export type MessageId = Brand<string, 'MessageId'>;
/** A configured tenant. */
export type TenantId = Brand<string, 'TenantId'>;
/** Milliseconds since the epoch, UTC. */
export type EpochMs = number;
/** Money: 1e-6 of a currency unit. bigint, because sums outgrow 2^53. */
export type Micros = bigint;

export const messageId = (text: string): MessageId => text as MessageId;
export const tenantId = (text: string): TenantId => text as TenantId;
