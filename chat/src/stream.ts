/**
 * The network: models, signing in, and one streamed completion.
 *
 * Same origin only; the session is a cookie that scripts cannot read. Knows no state and no view.
 */
import { events, type CompletionEvent } from "./completion.ts";
import { Failure, type WireError } from "./failure.ts";
import { SseParser } from "./sse.ts";

/** Longest wait for the headers of an answer, which includes the server's queue. */
const HEADERS_DEADLINE_S = 120;
/** Longest silence inside a stream; the server sends keep-alive comments more often than this. */
const SILENCE_DEADLINE_S = 60;
/** Longest wait for a small answer, such as the list of models. */
const SMALL_DEADLINE_S = 15;

export interface Message {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** What the page asks for; absent parameters are left to the server. */
export interface CompletionRequest {
  readonly model: string;
  readonly messages: readonly Message[];
  readonly temperature?: number;
  readonly max_tokens?: number;
  /** The same for all requests of a conversation, and no other's. */
  readonly prompt_cache_key?: string;
}

/** The ids of the models that can be asked. Throws Failure, `signedOut` without a session. */
export async function fetchModels(): Promise<string[]> {
  const response = await fetchSmall("/v1/models", {});
  if (!response.ok) throw await refusal(response);
  const body = (await response.json()) as { data?: { id?: unknown }[] };
  return (body.data ?? []).map((model) => model.id).filter((id) => typeof id === "string");
}

/** Trades a one-time token for the session cookie. False: it was not accepted. */
export async function signIn(token: string): Promise<boolean> {
  const form = new URLSearchParams({ token });
  const response = await fetchSmall("/login", { method: "POST", body: form });
  if (response.status === 401) return false;
  if (!response.ok) throw await refusal(response);
  return true;
}

/**
 * Streams one answer.
 *
 * Ends normally only after a finish reason; throws Failure otherwise, or an AbortError once
 * `signal` fires. Leaving the loop early closes the connection, which cancels on the server.
 */
export async function* complete(
  request: CompletionRequest,
  signal: AbortSignal,
): AsyncGenerator<CompletionEvent> {
  const connection = new AbortController();
  try {
    const response = await opened(request, AbortSignal.any([signal, connection.signal]));
    if (!response.ok) throw await refusal(response);
    if (!response.body) throw Failure.unreadable();
    const requestId = response.headers.get("x-request-id") ?? undefined;
    yield* events(payloads(response.body, requestId), requestId);
  } finally {
    connection.abort();
  }
}

async function opened(request: CompletionRequest, signal: AbortSignal): Promise<Response> {
  const body = JSON.stringify({
    ...request,
    stream: true,
    stream_options: { include_usage: true },
  });
  const headers = { "content-type": "application/json", accept: "text/event-stream" };
  const answer = fetch("/v1/chat/completions", { method: "POST", headers, body, signal });
  return within(HEADERS_DEADLINE_S, answer.catch((cause) => reachable(cause, signal)));
}

async function* payloads(
  body: ReadableStream<Uint8Array>,
  requestId?: string,
): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parser = new SseParser();
  try {
    for (;;) {
      const { done, value } = await within(SILENCE_DEADLINE_S, reader.read());
      yield* parser.feed(done ? decoder.decode() : decoder.decode(value, { stream: true }));
      if (done) return;
    }
  } catch (cause) {
    // A connection that breaks in mid-stream is a TypeError in every browser.
    throw cause instanceof TypeError ? Failure.cutShort(requestId) : cause;
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** One small request with its deadline. Throws Failure when nothing answers. */
export async function fetchSmall(path: string, init: RequestInit): Promise<Response> {
  const signal = AbortSignal.timeout(SMALL_DEADLINE_S * 1000);
  return fetch(path, { ...init, signal }).catch((cause) => reachable(cause, signal));
}

/** Turns fetch's own error into ours, but lets a deliberate abort through. */
function reachable(cause: unknown, signal: AbortSignal): never {
  const stopped = signal.aborted && signal.reason?.name === "AbortError";
  throw stopped ? cause : Failure.unreachable();
}

async function refusal(response: Response): Promise<Failure> {
  const body = (await response.json().catch(() => ({}))) as { error?: WireError } | null;
  return Failure.ofResponse(response, body?.error ?? {}, Date.now());
}

async function within<T>(seconds: number, work: Promise<T>): Promise<T> {
  let timer = 0;
  const late = new Promise<never>((_, reject) => {
    timer = window.setTimeout(() => reject(Failure.quiet(seconds)), seconds * 1000);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    window.clearTimeout(timer);
  }
}
