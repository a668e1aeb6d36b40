/** What comes back from the browser's storage is checked, bounded, and never half an answer. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { asked, changeAnswer, EMPTY, freshAnswer } from "../src/conversation.ts";
import {
  loadConversation,
  loadPreferences,
  saveConversation,
  savePreferences,
  STORED_CHARS_MAX,
  STORED_TURNS_MAX,
  type Shelf,
} from "../src/storage.ts";

class MapShelf implements Shelf {
  readonly map = new Map<string, string>();
  getItem(key: string): string | null {
    return this.map.get(key) ?? null;
  }
  setItem(key: string, value: string): void {
    this.map.set(key, value);
  }
}

const OPEN = asked(EMPTY, "t", "Why?", freshAnswer("a", "m"));
const DONE = changeAnswer(OPEN, "a", (answer) => ({ ...answer, text: "So.", state: "done" }));

test("a finished conversation comes back as it was", () => {
  const shelf = new MapShelf();
  saveConversation(shelf, DONE);
  assert.deepEqual(loadConversation(shelf), DONE);
});

test("a conversation comes back with its key, unless that is none that the server takes", () => {
  const shelf = new MapShelf();
  saveConversation(shelf, { ...DONE, key: "k".repeat(256) });
  assert.equal(loadConversation(shelf).key?.length, 256);
  for (const key of ["", "k".repeat(257), 7, null]) {
    for (const name of shelf.map.keys()) shelf.map.set(name, JSON.stringify({ ...DONE, key }));
    assert.deepEqual(loadConversation(shelf), DONE);
  }
});

test("an answer in the making comes back as interrupted, with its text", () => {
  const shelf = new MapShelf();
  const half = changeAnswer(OPEN, "a", (a) => ({ ...a, text: "Be", state: "streaming" }));
  saveConversation(shelf, half);
  const answer = loadConversation(shelf).turns[0]?.answers[0];
  assert.deepEqual([answer?.state, answer?.text], ["failed", "Be"]);
  assert.match(answer?.failure?.title ?? "", /reloaded/);
});

test("the oldest turns go first when the conversation outgrows its bound", () => {
  const shelf = new MapShelf();
  const question = "x".repeat(STORED_CHARS_MAX / 10);
  const turns = Array.from({ length: 20 }, (_, i) => ({
    ...OPEN.turns[0]!,
    id: `t${i}`,
    question,
  }));
  saveConversation(shelf, { turns });
  const kept = loadConversation(shelf).turns;
  assert.ok([...shelf.map.values()][0]!.length <= STORED_CHARS_MAX);
  assert.ok(kept.length >= 5);
  assert.equal(kept.at(-1)?.id, "t19");
});

test("no more turns come back than the page draws at once", () => {
  const shelf = new MapShelf();
  const turns = Array.from({ length: 1000 }, (_, i) => ({ ...DONE.turns[0]!, id: `t${i}` }));
  saveConversation(shelf, { turns });
  const kept = loadConversation(shelf).turns;
  assert.deepEqual([kept.length, kept.at(-1)?.id], [STORED_TURNS_MAX, "t999"]);
});

test("entries of another shape are dropped", () => {
  for (const text of ["{", "null", "[]", '{"turns":3}', '{"turns":[{"id":1}]}']) {
    const shelf = new MapShelf();
    saveConversation(shelf, DONE);
    for (const key of shelf.map.keys()) shelf.map.set(key, text);
    assert.deepEqual(loadConversation(shelf), EMPTY);
  }
});

test("a full storage does not throw", (context) => {
  const warned = context.mock.method(console, "warn", () => {});
  const full: Shelf = {
    getItem: () => null,
    setItem: () => {
      throw new Error("quota");
    },
  };
  saveConversation(full, DONE);
  assert.equal(warned.mock.callCount(), 1);
});

test("preferences come back, and wrong ones become the defaults", () => {
  const shelf = new MapShelf();
  const preferences = { model: "m", systemPrompt: "p", temperature: 0, maxTokens: 5 };
  savePreferences(shelf, preferences);
  assert.deepEqual(loadPreferences(shelf), preferences);
  for (const key of shelf.map.keys()) shelf.map.set(key, '{"model":3,"temperature":"hot"}');
  assert.deepEqual(loadPreferences(shelf).model, "");
  assert.equal(loadPreferences(shelf).temperature, undefined);
});
