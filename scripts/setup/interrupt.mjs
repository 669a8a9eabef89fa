// @ts-check
/**
 * A signal that is aborted by Ctrl-C or SIGTERM, instead of ending the process there and then: what
 * was started must still be recorded or stopped.
 */
export function onInterrupt() {
  const controller = new AbortController();
  for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) {
    process.on(name, () => controller.abort(name));
  }
  return controller.signal;
}
