/** What is sent with feedback: the conversation up to the answer, within the contract's bounds. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Answer, Conversation, Turn } from "../src/conversation.ts";
import {
  CONVERSATION_CHARS_MAX,
  feedbackRequest,
  MESSAGES_MAX,
  type Opinion,
} from "../src/opinion.ts";

const BAD: Opinion = { rating: "bad", correction: "Better.", reason: "" };

function turn(index: number, text: string, rest: Partial<Answer> = {}): Turn {
  const answer: Answer = { id: `a${index}`, model: "m", text, state: "done", ...rest };
  const named = { responseId: `chatcmpl-${index}`, ...answer };
  return { id: `t${index}`, question: `q${index}`, answers: [named], shown: 0 };
}

function talk(count: number, text = "a"): Conversation {
  return { turns: Array.from({ length: count }, (_, i) => turn(i, text)) };
}

test("it ends with the judged answer, and begins with what the model was told", () => {
  const first = turn(0, "one", { systemPrompt: "Be kind." });
  const conversation = { turns: [first, turn(1, "two"), turn(2, "")] };
  const request = feedbackRequest(conversation, "t0", "a0", BAD);
  assert.deepEqual(request?.conversation, [
    { role: "system", content: "Be kind." },
    { role: "user", content: "q0" },
    { role: "assistant", content: "one" },
  ]);
  assert.deepEqual(
    [request?.response_id, request?.rating, request?.correction],
    ["chatcmpl-0", "RATING_BAD", "Better."],
  );
});

test("turns without an answer are left out before it", () => {
  const conversation = { turns: [turn(0, ""), turn(1, "two")] };
  const sent = feedbackRequest(conversation, "t1", "a1", BAD)?.conversation;
  assert.deepEqual(sent?.map((message) => message.content), ["q1", "two"]);
});

test("a long conversation keeps its newest exchanges, and begins with a question", () => {
  const sent = feedbackRequest(talk(1000), "t999", "a999", BAD)?.conversation ?? [];
  assert.ok(sent.length <= MESSAGES_MAX && sent.length > MESSAGES_MAX - 4);
  assert.deepEqual([sent[0]?.role, sent.at(-2)?.content], ["user", "q999"]);
});

test("many characters are bounded, but the judged exchange always goes", () => {
  const long = talk(20, "x".repeat(CONVERSATION_CHARS_MAX / 4));
  assert.equal(feedbackRequest(long, "t19", "a19", BAD)?.conversation.length, 6);
  const huge = talk(2, "x".repeat(2 * CONVERSATION_CHARS_MAX));
  assert.equal(feedbackRequest(huge, "t1", "a1", BAD)?.conversation.length, 2);
});

test("an answer without the server's name for it cannot be judged", () => {
  const conversation = { turns: [turn(0, "one", { responseId: undefined })] };
  assert.equal(feedbackRequest(conversation, "t0", "a0", BAD), undefined);
});
