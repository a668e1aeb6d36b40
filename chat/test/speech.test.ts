/** A screen reader hears each sentence once, whole, and no markup. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Speech } from "../src/speech.ts";

/** Everything that is said while `text` grows by one character at a time. */
function heard(text: string): string[] {
  const speech = new Speech();
  const said: string[] = [];
  for (let length = 1; length <= text.length; length++) {
    said.push(...speech.next(text.slice(0, length), false));
  }
  return [...said, ...speech.next(text, true)];
}

test("sentences are said when they end, and the rest at the end", () => {
  const speech = new Speech();
  assert.deepEqual(speech.next("The answer is 3", false), []);
  const first = speech.next("The answer is 3.5 or so. And", false);
  assert.deepEqual(first, ["The answer is 3.5 or so."]);
  assert.deepEqual(speech.next("The answer is 3.5 or so. And more", true), ["And more"]);
});

test("nothing is said twice, however the text arrives", () => {
  assert.deepEqual(heard("One. Two! Three? Four"), ["One.", "Two!", "Three?", "Four"]);
});

test("code is named, not read", () => {
  const text = "Try this:\n\n```python\nx = 1. \nprint(x)\n```\n\nDone.";
  assert.deepEqual(heard(text), ["Try this:", "Code in python.", "Done."]);
});

test("code that never ends is named too", () => {
  assert.deepEqual(heard("Try:\n```\nrm -rf. \n"), ["Try:", "Code."]);
});

test("markup is not read aloud", () => {
  const list = "## Title\n- **bold** and `code`\n";
  const text = `${list}| a | b |\n|---|---|\n[here](https://example.org)\n`;
  assert.deepEqual(heard(text), ["Title", "bold and code", "a  b", "here"]);
});
