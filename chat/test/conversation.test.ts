/** Every change makes a new conversation and leaves the old one as it was. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  alternative,
  asked,
  changeAnswer,
  EMPTY,
  freshAnswer,
  lastTurn,
  requestMessages,
  shown,
  withoutLastTurn,
  type Conversation,
} from "../src/conversation.ts";

function told(conversation: Conversation, question: string, text: string): Conversation {
  const id = `a-${question}`;
  const next = asked(conversation, `t-${question}`, question, freshAnswer(id, "m"));
  return changeAnswer(next, id, (answer) => ({ ...answer, text, state: "done" }));
}

const TWO = told(told(EMPTY, "one", "first"), "two", "second");

test("the request holds the system prompt, earlier turns, and the last question alone", () => {
  assert.deepEqual(requestMessages(TWO, "Be brief."), [
    { role: "system", content: "Be brief." },
    { role: "user", content: "one" },
    { role: "assistant", content: "first" },
    { role: "user", content: "two" },
  ]);
});

test("a blank system prompt is not sent", () => {
  assert.equal(requestMessages(TWO, "  \n")[0]?.role, "user");
});

test("a turn that was never answered is left out of the request", () => {
  const conversation = told(told(EMPTY, "lost", ""), "two", "");
  assert.deepEqual(requestMessages(conversation, ""), [{ role: "user", content: "two" }]);
});

test("an alternative is put on view and keeps the others", () => {
  const turn = lastTurn(alternative(TWO, freshAnswer("b", "m")));
  assert.deepEqual([turn?.answers.length, turn?.shown], [2, 1]);
  assert.equal(turn?.answers[0]?.text, "second");
});

test("the alternative on view is the one that later turns build on", () => {
  let conversation = alternative(told(EMPTY, "one", "first"), freshAnswer("b", "m"));
  conversation = changeAnswer(conversation, "b", (answer) => ({ ...answer, text: "other" }));
  conversation = told(conversation, "two", "");
  assert.equal(requestMessages(conversation, "")[1]?.content, "other");
  const back = shown(conversation, "t-one", 0);
  assert.equal(requestMessages(back, "")[1]?.content, "first");
});

test("showing an alternative that is not there changes nothing", () => {
  assert.equal(shown(TWO, "t-two", 1).turns[1], TWO.turns[1]);
  assert.equal(shown(TWO, "t-two", -1).turns[1], TWO.turns[1]);
});

test("dropping the last turn leaves the earlier ones untouched", () => {
  assert.equal(withoutLastTurn(TWO).turns[0], TWO.turns[0]);
  assert.equal(TWO.turns.length, 2);
});

test("a late change to an answer that is gone does nothing", () => {
  const change = changeAnswer(EMPTY, "a-two", (answer) => ({ ...answer, text: "late" }));
  assert.deepEqual(change, EMPTY);
});
