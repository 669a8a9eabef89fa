import type { Dispatcher } from 'undici';
import type { EpochMs } from '../../schemas/brand.js';

export interface HttpCall {
  readonly origin: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly startBy: EpochMs;
  readonly deadline: EpochMs;
}

export type HttpResult =
  | {
      readonly kind: 'answered';
      readonly status: number;
      readonly headers: Readonly<Record<string, string | string[] | undefined>>;
      /** At most 64 KiB of it; the rest is read and dropped. */
      readonly body: Buffer;
      readonly calledAt: EpochMs;
    }
  /** Too late to write it, or no connection: nobody was asked. code: the system's, e.g. ECONNREFUSED. */
  | { readonly kind: 'never_asked'; readonly late: boolean; readonly code: string | null }
  /** Written, and no (whole) answer: it may have been done. status: what was read of the answer. */
  | {
      readonly kind: 'ambiguous';
      readonly timedOut: boolean;
      readonly status: number | null;
      readonly code: string | null;
      readonly calledAt: EpochMs;
    };

const MAX_BODY_BYTES = 64 * 1024;

/**
 * POSTs once. The one question that matters is whether the request was written: undici tells a handler just before it
 * writes (onRequestStart), which is also the last moment to see that it is too late. What fails before is safe to try
 * again, what fails after is ambiguous; no error code can tell that.
 * undici never resends a request that it had begun to write.
 */
export const postOnce = (
  dispatcher: Dispatcher,
  call: HttpCall,
  now: () => EpochMs,
): Promise<HttpResult> =>
  new Promise((resolve) => {
    if (now() > call.startBy) {
      resolve({ kind: 'never_asked', late: true, code: null });
      return;
    }
    const handler = new OneCall(call, now, resolve);
    dispatcher.dispatch(
      {
        origin: call.origin,
        path: call.path,
        method: 'POST',
        headers: call.headers,
        body: call.body,
        // Our own deadline rules: undici's timers are coarse, and begin with the write.
        headersTimeout: 0,
        bodyTimeout: 0,
      },
      handler,
    );
  });

class OneCall implements Dispatcher.DispatchHandler {
  readonly #call: HttpCall;
  readonly #now: () => EpochMs;
  readonly #resolve: (result: HttpResult) => void;
  readonly #timer: NodeJS.Timeout;
  #controller: Dispatcher.DispatchController | null = null;
  #calledAt: EpochMs | null = null;
  #status: number | null = null;
  #headers: Readonly<Record<string, string | string[] | undefined>> = {};
  #body: Buffer[] = [];
  #bodyBytes = 0;
  #timedOut = false;
  #done = false;

  constructor(call: HttpCall, now: () => EpochMs, resolve: (result: HttpResult) => void) {
    this.#call = call;
    this.#now = now;
    this.#resolve = resolve;
    this.#timer = setTimeout(
      () => {
        this.#onDeadline();
      },
      Math.max(1, call.deadline - now()),
    );
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // The last moment before the write. A claim's new owner relies on it: nothing is begun after startBy.
    if (this.#done || this.#now() > this.#call.startBy) {
      this.#settle({ kind: 'never_asked', late: true, code: null });
      controller.abort(new Error('too late to begin'));
      return;
    }
    this.#controller = controller;
    this.#calledAt = this.#now();
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    statusCode: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
  ): void {
    // 1xx are not the answer.
    if (statusCode < 200) return;
    this.#status = statusCode;
    this.#headers = headers;
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#bodyBytes >= MAX_BODY_BYTES) return;
    this.#body.push(chunk.subarray(0, MAX_BODY_BYTES - this.#bodyBytes));
    this.#bodyBytes += chunk.length;
  }

  onResponseEnd(): void {
    const status = this.#status;
    const calledAt = this.#calledAt;
    if (status === null || calledAt === null) return;
    this.#settle({
      kind: 'answered',
      status,
      headers: this.#headers,
      body: Buffer.concat(this.#body),
      calledAt,
    });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#failed(codeOf(error));
  }

  #onDeadline(): void {
    this.#timedOut = true;
    this.#failed(null);
    this.#controller?.abort(new Error('deadline'));
  }

  #failed(code: string | null): void {
    const calledAt = this.#calledAt;
    this.#settle(
      calledAt === null
        ? { kind: 'never_asked', late: false, code: code ?? 'ETIMEDOUT' }
        : {
            kind: 'ambiguous',
            timedOut: this.#timedOut,
            status: this.#status,
            code,
            calledAt,
          },
    );
  }

  #settle(result: HttpResult): void {
    if (this.#done) return;
    this.#done = true;
    clearTimeout(this.#timer);
    this.#resolve(result);
  }
}

/** The system's code. Never the message: it may quote the URL. */
const codeOf = (error: Error): string | null => {
  const code = 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : null;
};
