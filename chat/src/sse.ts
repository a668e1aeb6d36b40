/**
 * Server-sent events, as text, to the payloads of their `data:` lines.
 *
 * Follows the event stream format of the HTML standard; knows no JSON and no network.
 */
import { Failure } from "./failure.ts";

/** Longest event that is kept in memory, in characters; a longer one is not from Parley. */
export const EVENT_CHARS_MAX = 1_000_000;

/** Splits a stream that arrives in arbitrary pieces; one parser serves one response. */
export class SseParser {
  #tail = "";
  #data: string[] = [];
  #dataChars = 0;

  /** Takes the next piece of the stream and returns the payloads that it completes. */
  feed(piece: string): string[] {
    const text = this.#tail + piece;
    // A CR at the end may be half of a CRLF, so it waits for the next piece.
    const held = text.endsWith("\r") ? 1 : 0;
    const lines = text.slice(0, text.length - held).split(/\r\n|\n|\r/);
    this.#tail = (lines.pop() ?? "") + text.slice(text.length - held);
    const payloads: string[] = [];
    for (const line of lines) {
      const payload = this.#line(line);
      if (payload !== null) payloads.push(payload);
    }
    if (this.#tail.length + this.#dataChars > EVENT_CHARS_MAX) throw Failure.unreadable();
    return payloads;
  }

  #line(line: string): string | null {
    if (line === "") return this.#dispatch();
    if (line.startsWith("data:")) {
      const value = line.slice(line[5] === " " ? 6 : 5);
      this.#data.push(value);
      this.#dataChars += value.length;
    }
    return null;
  }

  #dispatch(): string | null {
    if (this.#data.length === 0) return null;
    const payload = this.#data.join("\n");
    this.#data = [];
    this.#dataChars = 0;
    return payload;
  }
}
