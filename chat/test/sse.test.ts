/** The parser must give the same payloads however the network cuts the stream. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { EVENT_CHARS_MAX, SseParser } from "../src/sse.ts";

const STREAM =
  ': keep-alive\n\ndata: {"a":1}\n\nevent: x\ndata: two\ndata: lines\n\ndata: [DONE]\n\n';
const PAYLOADS = ['{"a":1}', "two\nlines", "[DONE]"];

function fed(pieces: string[]): string[] {
  const parser = new SseParser();
  return pieces.flatMap((piece) => parser.feed(piece));
}

test("payloads do not depend on where the stream is cut", () => {
  for (let cut = 0; cut <= STREAM.length; cut++) {
    assert.deepEqual(fed([STREAM.slice(0, cut), STREAM.slice(cut)]), PAYLOADS);
  }
  assert.deepEqual(fed([...STREAM]), PAYLOADS);
});

test("all three line ends of the standard are read, cut anywhere", () => {
  for (const end of ["\r\n", "\r", "\n"]) {
    // A lone CR can only be told from half a CRLF by what follows, here a comment.
    const stream = `${STREAM.replaceAll("\n", end)}:`;
    assert.deepEqual(fed([stream]), PAYLOADS);
    assert.deepEqual(fed([...stream]), PAYLOADS);
  }
});

test("an event without its blank line is not dispatched", () => {
  assert.deepEqual(fed(["data: half\n"]), []);
});

test("one space after the colon is dropped and no more", () => {
  assert.deepEqual(fed(["data:a\n\ndata:  b\n\n"]), ["a", " b"]);
});

test("an endless event is refused rather than kept", () => {
  const parser = new SseParser();
  assert.throws(() => parser.feed(`data: ${"x".repeat(EVENT_CHARS_MAX)}`), { name: "Failure" });
});
