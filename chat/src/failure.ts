/**
 * Everything that can go wrong with an answer, in words for the person who reads it.
 *
 * Knows HTTP statuses and OpenAI's error object; knows no elements and no retries.
 */

/** What is kept and shown; plain data, so that it survives a reload. */
export interface FailureNote {
  /** What happened, in a few words. */
  readonly title: string;
  /** What to do about it, or what the server said. */
  readonly advice: string;
  /** When a repeat may succeed, in milliseconds since the epoch; absent: at once. */
  readonly retryAt_ms?: number;
  /** The server's name for the request, for whoever reads its logs. */
  readonly requestId?: string;
}

/** OpenAI's error object, as far as the page reads it. */
export interface WireError {
  readonly message?: string;
  readonly code?: string | null;
  readonly param?: string | null;
}

/** Thrown wherever an answer cannot go on. */
export class Failure extends Error {
  constructor(
    readonly note: FailureNote,
    /** True when the person has to sign in before anything else. */
    readonly signedOut = false,
  ) {
    super(note.title);
    this.name = "Failure";
  }

  static unreachable(): Failure {
    return new Failure({
      title: "Parley cannot be reached",
      advice: "Check that it is running with ./parley status, then try again.",
    });
  }

  static quiet(seconds: number): Failure {
    return new Failure({
      title: "Parley went quiet",
      advice: `Nothing arrived for ${seconds} seconds. Try again.`,
    });
  }

  static cutShort(requestId?: string): Failure {
    return new Failure({
      title: "The answer was cut short",
      advice: "The connection ended before the answer did. What arrived is kept; try again.",
      requestId,
    });
  }

  static unreadable(): Failure {
    return new Failure({
      title: "The answer could not be read",
      advice: "Parley sent something this page does not understand. Try again.",
    });
  }

  static tooLong(): Failure {
    return new Failure({
      title: "The answer grew too long for this page",
      advice: "What arrived is kept. Set a limit of tokens in the settings, then try again.",
    });
  }

  /** An error frame inside a stream that had begun well. */
  static inStream(error: WireError, requestId?: string): Failure {
    const advice = sentence(error.message) ?? "Parley stopped in the middle. Try again.";
    return new Failure({ title: "The answer broke off", advice, requestId });
  }

  /** An answer with a status other than 2xx. */
  static ofResponse(response: Response, error: WireError, now_ms: number): Failure {
    const words = wordsOf(response.status, error);
    return new Failure(
      {
        ...words,
        retryAt_ms: retryTime(response.headers.get("retry-after"), now_ms),
        requestId: response.headers.get("x-request-id") ?? undefined,
      },
      response.status === 401,
    );
  }
}

/** The note for an answer that a reload of the page interrupted. */
export const INTERRUPTED: FailureNote = {
  title: "The page was reloaded before the answer ended",
  advice: "What had arrived is kept. Try again for a whole answer.",
};

interface Words {
  readonly title: string;
  readonly advice: string;
}

function wordsOf(status: number, error: WireError): Words {
  if (error.code === "context_length_exceeded") {
    return {
      title: "The conversation no longer fits the model",
      advice: "Start a new chat, or shorten your message.",
    };
  }
  const said = sentence(error.message);
  const { title, advice } = WORDS[status] ?? (status >= 500 ? BROKEN : REFUSED);
  return { title, advice: said ?? advice };
}

const REFUSED: Words = {
  title: "The request was refused",
  advice: "Check the settings of this chat, then try again.",
};
const BROKEN: Words = {
  title: "Parley failed to answer",
  advice: "Try again. If it stays so, look into ./parley logs.",
};
const WORDS: Record<number, Words> = {
  401: { title: "You are signed out", advice: "Sign in, then try again." },
  404: { title: "That model is not here", advice: "Choose another model, then try again." },
  413: { title: "The conversation is too long to send", advice: "Start a new chat." },
  429: { title: "Parley is busy", advice: "Too many requests at once." },
  503: { title: "Parley is not ready", advice: "It may be starting or draining." },
  504: { title: "Parley took too long", advice: "Try again with a shorter message." },
};

/** A server's message with a full stop, or null when it sent none. */
function sentence(message: string | undefined): string | null {
  const text = message?.trim();
  if (!text) return null;
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/**
 * The moment named by a Retry-After header, in milliseconds since the epoch.
 *
 * Reads both forms of RFC 9110, seconds and a date; anything else is undefined.
 */
export function retryTime(header: string | null, now_ms: number): number | undefined {
  if (header === null || header.trim() === "") return undefined;
  const seconds = Number(header);
  if (Number.isFinite(seconds) && seconds >= 0) return now_ms + Math.ceil(seconds * 1000);
  const date_ms = /^[A-Z][a-z]{2}, /.test(header) ? Date.parse(header) : NaN;
  return Number.isNaN(date_ms) ? undefined : date_ms;
}
