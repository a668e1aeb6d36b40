/** Each refusal becomes words that say what happened and what to do. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Failure, retryTime } from "../src/failure.ts";

function refused(status: number, headers: Record<string, string> = {}, error = {}): Failure {
  return Failure.ofResponse(new Response(null, { status, headers }), error, 1000);
}

test("Retry-After is read as seconds and as a date", () => {
  assert.equal(retryTime("2", 1000), 3000);
  assert.equal(retryTime("0.25", 1000), 1250);
  assert.equal(retryTime("Thu, 01 Jan 1970 00:01:00 GMT", 1000), 60_000);
});

test("a Retry-After that makes no sense is ignored", () => {
  for (const header of [null, "", "soon", "-1"]) assert.equal(retryTime(header, 1000), undefined);
});

test("a busy server's words, time and request id are kept", () => {
  const headers = { "retry-after": "7", "x-request-id": "req-9" };
  assert.deepEqual(refused(429, headers, { message: "The queue is full" }).note, {
    title: "Parley is busy",
    advice: "The queue is full.",
    retryAt_ms: 8000,
    requestId: "req-9",
  });
});

test("only a 401 asks to sign in", () => {
  assert.equal(refused(401).signedOut, true);
  assert.equal(refused(403).signedOut, false);
});

test("a context that is too long is told from other bad requests", () => {
  const failure = refused(400, {}, { code: "context_length_exceeded", message: "x" });
  assert.match(failure.note.title, /no longer fits/);
  assert.match(refused(400).note.title, /refused/);
});

test("every other failure of the server still has words", () => {
  for (const status of [500, 502, 599]) assert.match(refused(status).note.title, /failed/);
});
