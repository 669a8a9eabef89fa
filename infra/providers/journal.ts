import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';

/** A line of the journal: what was asked and answered, or what was reported. Never a phone number. */
export type Entry =
  | {
      readonly kind: 'asked';
      readonly at: number;
      readonly endpoint: string;
      /** tenant|messageId|generation|attempt, or a webhook's id. */
      readonly reference: string;
      /** How often this reference was asked, this time included: the oracle for "asked once". */
      readonly nth: number;
      /** The provider's code, an HTTP status, or none (unanswered). */
      readonly answer: string;
      /** True: it is carried out. */
      readonly accepted: boolean;
      readonly providerMessageId: string | null;
      /** True: a webhook id that was accepted before: its receiver ignores it. */
      readonly repeated: boolean;
    }
  | {
      /** QuerySendDetails: asked what became of messages. */
      readonly kind: 'queried';
      readonly at: number;
      readonly endpoint: string;
      /** The provider's code, or the outage. */
      readonly answer: string;
    }
  | {
      readonly kind: 'receipt';
      readonly at: number;
      readonly endpoint: string;
      readonly reference: string;
      readonly providerMessageId: string;
      readonly success: boolean;
      readonly code: string;
      /** 1: first push. */
      readonly push: number;
      readonly acknowledged: boolean;
    };

/** How long a line may lie in memory. */
const FLUSH_MS = 20;

/** Append-only NDJSON, written in the order in which things happened. */
export class Journal {
  readonly #file: FileHandle | null;
  #lines: string[] = [];
  #writing: Promise<void> = Promise.resolve();
  readonly #timer: NodeJS.Timeout;

  private constructor(file: FileHandle | null) {
    this.#file = file;
    this.#timer = setInterval(() => {
      void this.flush();
    }, FLUSH_MS);
    this.#timer.unref();
  }

  /** @param path absent: nothing is kept */
  static async open(path: string | undefined): Promise<Journal> {
    return new Journal(path === undefined ? null : await open(path, 'a'));
  }

  add(entry: Entry): void {
    if (this.#file !== null) this.#lines.push(JSON.stringify(entry));
  }

  /** Once it resolves, everything added before is in the file. */
  flush(): Promise<void> {
    const file = this.#file;
    const lines = this.#lines;
    if (file === null || lines.length === 0) return this.#writing;
    this.#lines = [];
    this.#writing = this.#writing.then(async () => {
      await file.appendFile(`${lines.join('\n')}\n`);
    });
    return this.#writing;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
    await this.#file?.close();
  }
}
