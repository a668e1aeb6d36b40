/**
 * What a person thinks of an answer, and the request that says it to the server.
 *
 * Pure: the conversation goes along, for Parley keeps no chats; its bounds are the contract's.
 */
import { shownAnswer, type Answer, type Conversation } from "./conversation.ts";
import type { Message } from "./stream.ts";

export interface Opinion {
  readonly rating: "good" | "bad";
  /** What the answer should have been; may be empty. */
  readonly correction: string;
  /** Why; may be empty. */
  readonly reason: string;
}

/** The body of POST /api/v1/feedback. */
export interface FeedbackRequest {
  readonly response_id: string;
  readonly choice: number;
  readonly rating: "RATING_GOOD" | "RATING_BAD";
  readonly correction: string;
  readonly reason: string;
  readonly conversation: readonly Message[];
}

/** Most messages that go along. */
export const MESSAGES_MAX = 256;
/** Most characters of them together, so that the whole body stays below the server's 1 MiB. */
export const CONVERSATION_CHARS_MAX = 240_000;

/** The request about one answer; undefined for one that the server has no name for. */
export function feedbackRequest(
  conversation: Conversation,
  turnId: string,
  answerId: string,
  opinion: Opinion,
): FeedbackRequest | undefined {
  const index = conversation.turns.findIndex((turn) => turn.id === turnId);
  const turn = conversation.turns[index];
  const answer = turn?.answers.find((one) => one.id === answerId);
  if (!turn || !answer?.responseId) return undefined;
  const talk: Message[] = conversation.turns.slice(0, index).flatMap((before) => {
    const content = shownAnswer(before)?.text;
    return content ? exchange(before.question, content) : [];
  });
  talk.push(...exchange(turn.question, answer.text));
  return {
    response_id: answer.responseId,
    choice: 0,
    rating: opinion.rating === "good" ? "RATING_GOOD" : "RATING_BAD",
    correction: opinion.correction,
    reason: opinion.reason,
    conversation: [...systemMessage(answer), ...newest(talk)],
  };
}

function exchange(question: string, answer: string): Message[] {
  return [
    { role: "user", content: question },
    { role: "assistant", content: answer },
  ];
}

function systemMessage({ systemPrompt }: Answer): Message[] {
  return systemPrompt ? [{ role: "system", content: systemPrompt }] : [];
}

/** The newest messages that fit, in whole exchanges; the last one goes whatever its length is. */
function newest(talk: readonly Message[]): readonly Message[] {
  let first = talk.length - 2;
  let chars = lengthAt(talk, first);
  while (first >= 2 && talk.length - first + 2 < MESSAGES_MAX) {
    chars += lengthAt(talk, first - 2);
    if (chars > CONVERSATION_CHARS_MAX) break;
    first -= 2;
  }
  return talk.slice(first);
}

function lengthAt(talk: readonly Message[], index: number): number {
  return (talk[index]?.content.length ?? 0) + (talk[index + 1]?.content.length ?? 0);
}
