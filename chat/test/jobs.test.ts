/** Cards of jobs grow from events, and say what came of a job. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { cardOf, hasEnded, LOSSES_MAX, points, told, type WireJob } from "../src/jobs.ts";

const JOB: WireJob = {
  id: "one",
  spec: { finetune: { model: "support" } },
  state: "JOB_STATE_RUNNING",
  submitted_by: "ann",
  percent: 10,
};

const measured = (loss: unknown) => ({ revision: 1, metrics: { values: { loss } } });

test("a card says what is worked on and by whose wish", () => {
  const card = cardOf({ ...JOB, tasks: [{ name: "train", state: "TASK_STATE_RUNNING" }] });
  assert.deepEqual(
    [card.kind, card.model, card.by, card.state, card.task],
    ["finetune", "support", "ann", "running", "train"],
  );
});

test("events move it on, and progress never falls", () => {
  let card = cardOf(JOB);
  card = told(card, { revision: 1, progress: { percent: 40, message: "epoch 2" } });
  card = told(card, { revision: 2, progress: { percent: 20, message: "" } });
  card = told(card, { revision: 3, task: { name: "export", state: "TASK_STATE_RUNNING" } });
  assert.deepEqual([card.percent, card.message, card.task], [40, "epoch 2", "export"]);
  assert.equal(hasEnded(told(card, { revision: 4, state: "JOB_STATE_FAILED" })), true);
});

test("losses are kept within a bound, with the first and the last, and survive the list", () => {
  let card = cardOf(JOB);
  for (let i = 0; i < 5 * LOSSES_MAX; i++) card = told(card, measured(i));
  assert.ok(card.losses.length <= LOSSES_MAX);
  assert.deepEqual([card.losses[0], card.losses.at(-1)], [0, 5 * LOSSES_MAX - 1]);
  assert.equal(cardOf(JOB, card).losses, card.losses);
});

test("what is no number is no loss", () => {
  assert.deepEqual(told(cardOf(JOB), measured("NaN")).losses, []);
});

test("a line keeps to its box", () => {
  assert.equal(points([3, 1, 2], 100, 10), "0.0,0.0 50.0,10.0 100.0,5.0");
  assert.equal(points([7], 100, 10), "0.0,10.0");
});

test("what came of a job is said in words", () => {
  const outcome = (result: object) =>
    cardOf({ ...JOB, state: "JOB_STATE_SUCCEEDED", result: { model: "m", version: 3, ...result } })
      .outcome;
  assert.equal(outcome({ promotion: "PROMOTION_OUTCOME_PROMOTED" }), "m@3 is the champion.");
  assert.equal(outcome({ promotion: "PROMOTION_OUTCOME_WAITING" }), "m@3 waits for an approval.");
  assert.equal(
    outcome({ promotion: "PROMOTION_OUTCOME_REFUSED", promotion_reason: "0.4 < 0.5" }),
    "m@3 was not promoted: 0.4 < 0.5",
  );
  assert.equal(outcome({}), "m@3 is registered.");
  const failed = { ...JOB, state: "JOB_STATE_FAILED", error: { message: "NaN.", task: "train" } };
  assert.equal(cardOf(failed).outcome, "Failed in train: NaN.");
});
