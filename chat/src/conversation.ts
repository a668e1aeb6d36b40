/**
 * The conversation as plain, immutable data, and every change that can be made to it.
 *
 * Pure: knows no clock, no network, no storage and no elements; ids are given by the caller.
 */
import type { FailureNote } from "./failure.ts";
import type { Opinion } from "./opinion.ts";
import type { Readout } from "./readout.ts";
import type { Message } from "./stream.ts";

export type AnswerState = "waiting" | "streaming" | "done" | "stopped" | "failed";

/** One answer of the model; a turn may hold several alternatives. */
export interface Answer {
  readonly id: string;
  readonly model: string;
  readonly text: string;
  readonly state: AnswerState;
  readonly readout?: Readout;
  readonly failure?: FailureNote;
  /** The server's name for the answer, which feedback is given on; absent before the first word. */
  readonly responseId?: string;
  /** What the model was told first, when it was asked; absent when nothing. */
  readonly systemPrompt?: string;
  /** What the person has sent about it; absent before they did. */
  readonly opinion?: Opinion;
}

/** One message of the person and the alternatives that answered it. */
export interface Turn {
  readonly id: string;
  readonly question: string;
  readonly answers: readonly Answer[];
  /** Index of the alternative on view, which is also the one later turns build on. */
  readonly shown: number;
}

export interface Conversation {
  readonly turns: readonly Turn[];
  /** Sent with each request, so that the server may find what it computed; absent before the first. */
  readonly key?: string;
}

export const EMPTY: Conversation = { turns: [] };

export function freshAnswer(id: string, model: string, systemPrompt = ""): Answer {
  const answer: Answer = { id, model, text: "", state: "waiting" };
  return systemPrompt.trim() ? { ...answer, systemPrompt } : answer;
}

/** The conversation with one more question, to be answered by `answer`. */
export function asked(
  conversation: Conversation,
  id: string,
  question: string,
  answer: Answer,
): Conversation {
  const turn: Turn = { id, question, answers: [answer], shown: 0 };
  return { ...conversation, turns: [...conversation.turns, turn] };
}

/** The conversation with the key it has; one that has none gets a new one. */
export function keyed(conversation: Conversation, newKey: () => string): Conversation {
  return conversation.key ? conversation : { ...conversation, key: newKey() };
}

/** The conversation without its last turn, which is how an edited message begins anew. */
export function withoutLastTurn(conversation: Conversation): Conversation {
  return { ...conversation, turns: conversation.turns.slice(0, -1) };
}

/** The last turn with one more alternative, put on view. */
export function alternative(conversation: Conversation, answer: Answer): Conversation {
  return changeLast(conversation, (turn) => ({
    ...turn,
    answers: [...turn.answers, answer],
    shown: turn.answers.length,
  }));
}

/** The conversation with the alternative at `index` of a turn on view; out of range: as it was. */
export function shown(conversation: Conversation, turnId: string, index: number): Conversation {
  return changeTurn(conversation, turnId, (turn) =>
    index >= 0 && index < turn.answers.length ? { ...turn, shown: index } : turn,
  );
}

/** The last turn with one of its answers changed. Only the last turn can be in the making. */
export function changeAnswer(
  conversation: Conversation,
  answerId: string,
  change: (answer: Answer) => Answer,
): Conversation {
  return changeLast(conversation, (turn) => ({
    ...turn,
    answers: turn.answers.map((answer) => (answer.id === answerId ? change(answer) : answer)),
  }));
}

/** An answer of any turn with what the person thinks of it. */
export function opined(
  conversation: Conversation,
  turnId: string,
  answerId: string,
  opinion: Opinion,
): Conversation {
  return changeTurn(conversation, turnId, (turn) => ({
    ...turn,
    answers: turn.answers.map((one) => (one.id === answerId ? { ...one, opinion } : one)),
  }));
}

export function lastTurn(conversation: Conversation): Turn | undefined {
  return conversation.turns.at(-1);
}

export function shownAnswer(turn: Turn): Answer | undefined {
  return turn.answers[turn.shown];
}

/** True while the model is at work on this answer. */
export function isOpen(answer: Answer): boolean {
  return answer.state === "waiting" || answer.state === "streaming";
}

/**
 * The messages to send so that the model answers the last turn.
 *
 * A turn whose shown answer is empty is left out: two questions in a row break chat templates.
 */
export function requestMessages(conversation: Conversation, systemPrompt: string): Message[] {
  const messages: Message[] = [];
  if (systemPrompt.trim()) messages.push({ role: "system", content: systemPrompt });
  for (const turn of conversation.turns.slice(0, -1)) {
    const content = shownAnswer(turn)?.text;
    if (!content) continue;
    messages.push({ role: "user", content: turn.question }, { role: "assistant", content });
  }
  const last = lastTurn(conversation);
  if (last) messages.push({ role: "user", content: last.question });
  return messages;
}

function changeLast(conversation: Conversation, change: (turn: Turn) => Turn): Conversation {
  const last = lastTurn(conversation);
  if (!last) return conversation;
  return { ...conversation, turns: [...conversation.turns.slice(0, -1), change(last)] };
}

function changeTurn(
  conversation: Conversation,
  turnId: string,
  change: (turn: Turn) => Turn,
): Conversation {
  const turns = conversation.turns.map((turn) => (turn.id === turnId ? change(turn) : turn));
  return { ...conversation, turns };
}
