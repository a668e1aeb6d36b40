/**
 * The figures under an answer: measured, preferred from the server, and put into words.
 *
 * Pure: the clock's readings come in as numbers. Counts no tokens itself.
 */
import type { ServerTimings, Usage } from "./completion.ts";

export interface Readout {
  readonly firstToken_ms?: number;
  readonly tokensPerSecond?: number;
  readonly tokens?: number;
  readonly queue_ms?: number;
  readonly modelVersion?: string;
  /** The wire's finish reason, or "stopped" when the person stopped it. */
  readonly finish?: string;
}

/** The page's own readings of one answer, in milliseconds of one clock. */
export class Stopwatch {
  #first_ms?: number;
  #last_ms?: number;

  constructor(readonly start_ms: number) {}

  /** Notes that text arrived at this moment. */
  text(now_ms: number): void {
    this.#first_ms ??= now_ms;
    this.#last_ms = now_ms;
  }

  /** What the page can say of itself; a rate needs the server's count of tokens. */
  readout(finish: string, usage?: Usage, timings?: ServerTimings): Readout {
    return {
      firstToken_ms: timings?.time_to_first_token_ms ?? this.#wait(),
      tokensPerSecond: timings?.tokens_per_second ?? this.#rate(usage),
      tokens: usage?.completion_tokens,
      queue_ms: timings?.queue_ms,
      modelVersion: timings?.model_version,
      finish,
    };
  }

  #wait(): number | undefined {
    return this.#first_ms === undefined ? undefined : this.#first_ms - this.start_ms;
  }

  /** Tokens after the first, over the time after the first: the wait is a figure of its own. */
  #rate(usage?: Usage): number | undefined {
    if (!usage || this.#first_ms === undefined || this.#last_ms === undefined) return undefined;
    const span_s = (this.#last_ms - this.#first_ms) / 1000;
    return span_s > 0 && usage.completion_tokens > 1
      ? (usage.completion_tokens - 1) / span_s
      : undefined;
  }
}

/** One figure: what is shown, and what it means, for a tooltip. */
export interface Figure {
  readonly text: string;
  readonly meaning: string;
}

/** The figures of an answer in reading order; those that are unknown are left out. */
export function figures(readout: Readout): Figure[] {
  const all: (Figure | null)[] = [
    figure(readout.tokensPerSecond, (n) => `${rate(n)} tok/s`, "Tokens per second"),
    figure(readout.firstToken_ms, (n) => `${duration(n)} to first token`, "Wait for the answer"),
    figure(readout.tokens, (n) => `${n} ${n === 1 ? "token" : "tokens"}`, "Length of the answer"),
    figure(queued(readout), (n) => `${duration(n)} in queue`, "Wait for a free place"),
    readout.finish ? { text: finishWords(readout.finish), meaning: "Why it ended" } : null,
  ];
  return all.filter((item) => item !== null);
}

/** Queueing below a tenth of a second is not worth a reader's eye. */
function queued(readout: Readout): number | undefined {
  return (readout.queue_ms ?? 0) >= 100 ? readout.queue_ms : undefined;
}

function figure(
  value: number | undefined,
  words: (value: number) => string,
  meaning: string,
): Figure | null {
  return value === undefined ? null : { text: words(value), meaning };
}

function rate(tokensPerSecond: number): string {
  return tokensPerSecond.toFixed(tokensPerSecond < 10 ? 1 : 0);
}

function duration(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function finishWords(finish: string): string {
  return FINISH_WORDS[finish] ?? finish;
}

const FINISH_WORDS: Record<string, string> = {
  stop: "finished",
  length: "reached the token limit",
  stopped: "stopped by you",
  content_filter: "withheld by a filter",
};
