// @ts-check
const askForMs = 5_000;

/**
 * Whether an address answers with success.
 * @param {string} url
 * @param {RequestInit} [request]
 */
export async function answers(url, request = {}) {
  try {
    const response = await fetch(url, { ...request, signal: AbortSignal.timeout(askForMs) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
