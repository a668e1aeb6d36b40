/** Figures come from the server where it gives them, and from the page's clock otherwise. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { figures, Stopwatch } from "../src/readout.ts";

const USAGE = { prompt_tokens: 9, completion_tokens: 11 };

function watched(): Stopwatch {
  const watch = new Stopwatch(1000);
  watch.text(1250);
  watch.text(1750);
  return watch;
}

test("the page's own clock gives the wait and the rate after the first token", () => {
  const readout = watched().readout("stop", USAGE);
  assert.equal(readout.firstToken_ms, 250);
  assert.equal(readout.tokensPerSecond, 20); // ten tokens after the first, in half a second
});

test("the server's timings are preferred", () => {
  const timings = { time_to_first_token_ms: 40, tokens_per_second: 90, model_version: "v3" };
  const readout = watched().readout("stop", USAGE, timings);
  assert.deepEqual(
    [readout.firstToken_ms, readout.tokensPerSecond, readout.modelVersion],
    [40, 90, "v3"],
  );
});

test("a rate that cannot be known is not invented", () => {
  assert.equal(watched().readout("stopped").tokensPerSecond, undefined);
  const single = new Stopwatch(0);
  single.text(5);
  assert.equal(single.readout("stop", USAGE).tokensPerSecond, undefined);
  assert.equal(new Stopwatch(0).readout("stop", USAGE).firstToken_ms, undefined);
});

test("figures read as words, and the unknown is left out", () => {
  const words = (readout: object) => figures(readout).map((figure) => figure.text);
  assert.deepEqual(
    words({ tokensPerSecond: 181.6, firstToken_ms: 41.2, tokens: 64, finish: "length" }),
    ["182 tok/s", "41 ms to first token", "64 tokens", "reached the token limit"],
  );
  assert.deepEqual(words({ tokensPerSecond: 3.14, tokens: 1 }), ["3.1 tok/s", "1 token"]);
  assert.deepEqual(words({ queue_ms: 40 }), []);
  assert.deepEqual(words({ queue_ms: 2340 }), ["2.3 s in queue"]);
});
