/** A stream is whole only after a finish reason; everything else is a failure that says so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { events, type CompletionEvent } from "../src/completion.ts";
import { Failure } from "../src/failure.ts";

const text = (content: string) =>
  JSON.stringify({ model: "m", choices: [{ delta: { content }, finish_reason: null }] });
const FINISH = JSON.stringify({ model: "m", choices: [{ delta: {}, finish_reason: "stop" }] });
const usage = (extra: object) =>
  JSON.stringify({ choices: [], usage: { prompt_tokens: 3, completion_tokens: 2 }, ...extra });

async function* stream(...payloads: string[]): AsyncGenerator<string> {
  yield* payloads;
}

async function read(...payloads: string[]): Promise<CompletionEvent[]> {
  const all: CompletionEvent[] = [];
  for await (const event of events(stream(...payloads), "req-1")) all.push(event);
  return all;
}

function fails(title: RegExp): (cause: unknown) => boolean {
  return (cause) => cause instanceof Failure && title.test(cause.note.title);
}

test("a whole stream gives text, finish and usage in order", async () => {
  const timings = { tokens_per_second: 90 };
  const got = await read(text("Par"), text("ley"), FINISH, usage({ parley: timings }), "[DONE]");
  assert.deepEqual(
    got.map((event) => event.kind),
    ["text", "text", "finish", "usage"],
  );
  assert.deepEqual(got[3], {
    kind: "usage",
    usage: { prompt_tokens: 3, completion_tokens: 2 },
    timings,
  });
});

test("usage without Parley's timings is read too", async () => {
  const got = await read(FINISH, usage({}), "[DONE]");
  assert.equal(got[1]?.kind === "usage" && got[1].timings, undefined);
});

test("an end without a finish reason is a truncation, even after [DONE]", async () => {
  await assert.rejects(read(text("Par")), fails(/cut short/));
  await assert.rejects(read(text("Par"), "[DONE]"), fails(/cut short/));
});

test("an error frame fails with the server's words and the request's id", async () => {
  const frame = JSON.stringify({ error: { message: "The engine stopped", code: "engine_lost" } });
  await assert.rejects(read(text("Par"), frame), (cause) => {
    assert.ok(cause instanceof Failure);
    assert.equal(cause.note.advice, "The engine stopped.");
    assert.equal(cause.note.requestId, "req-1");
    return true;
  });
});

test("an error frame after the finish reason still fails", async () => {
  await assert.rejects(read(FINISH, JSON.stringify({ error: {} })), fails(/broke off/));
});

test("payloads that are no JSON object are refused", async () => {
  for (const payload of ["<html>", "null", "3"]) {
    await assert.rejects(read(payload), fails(/could not be read/));
  }
});
