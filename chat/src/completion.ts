/**
 * The payloads of one chat completion stream, turned into events.
 *
 * Follows the OpenAI wire: a stream is whole only when a finish reason was seen. Knows no fetch.
 */
import { Failure, type WireError } from "./failure.ts";

/** Token counts that the server reports at the end. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
}

/** Parley's own timings on the usage chunk; absent from other servers. */
export interface ServerTimings {
  readonly time_to_first_token_ms?: number;
  readonly generation_ms?: number;
  readonly tokens_per_second?: number;
  readonly queue_ms?: number;
  readonly model_version?: string;
}

/** The next piece of an answer, and the server's name for the answer. */
export interface TextEvent {
  readonly kind: "text";
  readonly text: string;
  readonly model: string;
  readonly id?: string;
}

export type CompletionEvent =
  | TextEvent
  | { readonly kind: "finish"; readonly reason: string }
  | { readonly kind: "usage"; readonly usage: Usage; readonly timings?: ServerTimings };

interface Chunk {
  readonly id?: string;
  readonly model?: string;
  readonly choices?: readonly {
    readonly delta?: { readonly content?: string | null };
    readonly finish_reason?: string | null;
  }[];
  readonly usage?: Usage | null;
  readonly parley?: ServerTimings;
  readonly error?: WireError;
}

/**
 * Reads payloads to the end of the stream.
 *
 * Throws Failure on an error frame, on a payload that is no JSON, and when the stream ends
 * without a finish reason, which is how a truncation looks.
 */
export async function* events(
  payloads: AsyncIterable<string>,
  requestId?: string,
): AsyncGenerator<CompletionEvent> {
  let finished = false;
  for await (const payload of payloads) {
    if (payload === "[DONE]") break;
    const chunk = parsed(payload);
    if (chunk.error) throw Failure.inStream(chunk.error, requestId);
    for (const event of eventsOf(chunk)) {
      finished ||= event.kind === "finish";
      yield event;
    }
  }
  if (!finished) throw Failure.cutShort(requestId);
}

function* eventsOf(chunk: Chunk): Generator<CompletionEvent> {
  const choice = chunk.choices?.[0];
  const text = choice?.delta?.content;
  if (text) yield { kind: "text", text, model: chunk.model ?? "", id: chunk.id };
  if (choice?.finish_reason) yield { kind: "finish", reason: choice.finish_reason };
  if (chunk.usage) yield { kind: "usage", usage: chunk.usage, timings: chunk.parley };
}

function parsed(payload: string): Chunk {
  let value: unknown;
  try {
    value = JSON.parse(payload);
  } catch {
    throw Failure.unreadable();
  }
  if (typeof value !== "object" || value === null) throw Failure.unreadable();
  return value as Chunk;
}
