/** Who waited was told to stop; what it waited for goes on unheard, and may or may not take place. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';

  constructor() {
    super('told to stop before it was done');
  }
}

/** @throws Interrupted once the signal is aborted, however long the work takes */
export const abortable = <T>(work: Promise<T>, signal: AbortSignal): Promise<T> =>
  new Promise((resolve, reject) => {
    const interrupt = (): void => {
      reject(new Interrupted());
    };
    if (signal.aborted) interrupt();
    signal.addEventListener('abort', interrupt, { once: true });
    work.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', interrupt);
    });
  });
