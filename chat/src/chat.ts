/**
 * Runs the turns of one conversation: asks, gathers the stream, stops, and tells who listens.
 *
 * Knows no elements: the network, the clock and the frame scheduler are handed in.
 */
import type { CompletionEvent, ServerTimings, TextEvent, Usage } from "./completion.ts";
import {
  alternative,
  asked,
  changeAnswer,
  EMPTY,
  freshAnswer,
  isOpen,
  keyed,
  lastTurn,
  opined,
  requestMessages,
  shown,
  withoutLastTurn,
  type Answer,
  type Conversation,
} from "./conversation.ts";
import { Failure } from "./failure.ts";
import type { Opinion } from "./opinion.ts";
import { Stopwatch } from "./readout.ts";
import type { CompletionRequest } from "./stream.ts";

/** Longest answer that is kept, in characters, so that a runaway model cannot fill the page. */
export const ANSWER_CHARS_MAX = 400_000;

/** What the person has set; undefined leaves the choice to the server. */
export interface Preferences {
  readonly model: string;
  readonly systemPrompt: string;
  readonly temperature?: number;
  readonly maxTokens?: number;
}

/** The outside world of a chat. */
export interface World {
  complete(request: CompletionRequest, signal: AbortSignal): AsyncIterable<CompletionEvent>;
  now_ms(): number;
  newId(): string;
  /** Runs `work` once, soon: the next animation frame in a browser. */
  schedule(work: () => void): void;
  preferences(): Preferences;
  changed(conversation: Conversation, settled: boolean): void;
  signedOut(): void;
}

/** One conversation at work. At most one answer is in the making. */
export class Chat {
  #abort: AbortController | null = null;

  constructor(
    private readonly world: World,
    private conversation_: Conversation,
  ) {}

  get conversation(): Conversation {
    return this.conversation_;
  }

  get busy(): boolean {
    return this.#abort !== null;
  }

  /** Adds a question and streams its answer. Does nothing while another answer is in the making. */
  async ask(question: string): Promise<void> {
    if (this.busy) return;
    const answer = this.#fresh();
    await this.#run(asked(this.conversation_, this.world.newId(), question, answer), answer);
  }

  /** Replaces the last question, and with it its answers. */
  async askAgain(question: string): Promise<void> {
    if (this.busy) return;
    this.conversation_ = withoutLastTurn(this.conversation_);
    await this.ask(question);
  }

  /** Streams one more alternative for the last question; the earlier ones are kept. */
  async regenerate(): Promise<void> {
    if (this.busy || !lastTurn(this.conversation_)) return;
    const answer = this.#fresh();
    await this.#run(alternative(this.conversation_, answer), answer);
  }

  /** Ends the answer in the making, keeping its text. */
  stop(): void {
    this.#abort?.abort();
  }

  /** Puts another alternative of a turn on view. */
  show(turnId: string, index: number): void {
    if (!this.busy) this.#set(shown(this.conversation_, turnId, index), true);
  }

  /** Keeps what the person has sent about an answer. */
  opine(turnId: string, answerId: string, opinion: Opinion): void {
    this.#set(opined(this.conversation_, turnId, answerId, opinion), !this.busy);
  }

  /** Stops, and begins an empty conversation. */
  clear(): void {
    this.stop();
    this.#abort = null;
    this.#set(EMPTY, true);
  }

  #fresh(): Answer {
    const { model, systemPrompt } = this.world.preferences();
    return freshAnswer(this.world.newId(), model, systemPrompt);
  }

  async #run(conversation: Conversation, answer: Answer): Promise<void> {
    const abort = new AbortController();
    this.#abort = abort;
    this.#set(keyed(conversation, () => this.world.newId()), false);
    const intake = new Intake(this.world, (change) => this.#change(answer.id, change, false));
    const end = await intake.drain(this.#request(), abort.signal);
    if (this.#abort === abort) this.#abort = null;
    this.#change(answer.id, end, true);
  }

  #request(): CompletionRequest {
    const { model, systemPrompt, temperature, maxTokens } = this.world.preferences();
    const messages = requestMessages(this.conversation_, systemPrompt);
    const prompt_cache_key = this.conversation_.key;
    return { model, messages, temperature, max_tokens: maxTokens, prompt_cache_key };
  }

  #change(answerId: string, change: (answer: Answer) => Answer, settled: boolean): void {
    this.#set(changeAnswer(this.conversation_, answerId, change), settled);
  }

  #set(conversation: Conversation, settled: boolean): void {
    this.conversation_ = conversation;
    this.world.changed(conversation, settled);
  }
}

type Change = (answer: Answer) => Answer;

/** Gathers one stream; text reaches the conversation at most once per frame. */
class Intake {
  #pending = "";
  #chars = 0;
  #model = "";
  #responseId?: string;
  #finish = "stop";
  #usage?: Usage;
  #timings?: ServerTimings;
  #scheduled = false;
  #ended = false;
  readonly #watch: Stopwatch;

  constructor(
    private readonly world: World,
    private readonly apply: (change: Change) => void,
  ) {
    this.#watch = new Stopwatch(world.now_ms());
  }

  /** Reads to the end, whatever the end is, and returns the last change to the answer. */
  async drain(request: CompletionRequest, signal: AbortSignal): Promise<Change> {
    const end = await this.#read(request, signal);
    this.#ended = true;
    const rest = this.#taken();
    return (answer) => end(rest(answer));
  }

  async #read(request: CompletionRequest, signal: AbortSignal): Promise<Change> {
    try {
      for await (const event of this.world.complete(request, signal)) this.#take(event);
      return this.#closed("done");
    } catch (cause) {
      if (signal.aborted) {
        this.#finish = "stopped";
        return this.#closed("stopped");
      }
      return this.#failed(cause);
    }
  }

  #take(event: CompletionEvent): void {
    if (event.kind === "finish") this.#finish = event.reason;
    if (event.kind === "usage") {
      this.#usage = event.usage;
      this.#timings = event.timings;
    }
    if (event.kind === "text") this.#takeText(event);
  }

  #takeText({ text, model, id }: TextEvent): void {
    this.#watch.text(this.world.now_ms());
    this.#pending += text;
    this.#chars += text.length;
    this.#model ||= model;
    this.#responseId ??= id;
    if (this.#chars > ANSWER_CHARS_MAX) throw Failure.tooLong();
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.world.schedule(() => {
      this.#scheduled = false;
      if (!this.#ended) this.apply(this.#taken());
    });
  }

  /** The change that adds what has gathered since the last frame. */
  #taken(): Change {
    const text = this.#pending;
    const model = this.#model;
    const responseId = this.#responseId;
    this.#pending = "";
    if (!text) return (answer) => answer;
    return (answer) => ({
      ...answer,
      state: "streaming",
      text: answer.text + text,
      model: model || answer.model,
      responseId,
    });
  }

  #closed(state: "done" | "stopped"): Change {
    const readout = this.#watch.readout(this.#finish, this.#usage, this.#timings);
    return (answer) => ({ ...answer, state, readout });
  }

  #failed(cause: unknown): Change {
    const failure = cause instanceof Failure ? cause : Failure.unreadable();
    if (failure !== cause) console.error(cause);
    if (failure.signedOut) this.world.signedOut();
    return (answer) => ({ ...answer, state: "failed", failure: failure.note });
  }
}

/** True when the last answer of the conversation is still in the making. */
export function inTheMaking(conversation: Conversation): boolean {
  const turn = lastTurn(conversation);
  return turn !== undefined && turn.answers.some(isOpen);
}
