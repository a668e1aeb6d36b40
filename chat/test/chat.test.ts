/** One answer at a time: batched per frame, stopped at once, and never lost on a failure. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ANSWER_CHARS_MAX, Chat, type World } from "../src/chat.ts";
import type { CompletionEvent } from "../src/completion.ts";
import { EMPTY, lastTurn, shownAnswer, type Answer } from "../src/conversation.ts";
import { Failure } from "../src/failure.ts";
import type { CompletionRequest } from "../src/stream.ts";

const text = (piece: string): CompletionEvent => ({ kind: "text", text: piece, model: "m" });
const FINISH: CompletionEvent = { kind: "finish", reason: "stop" };

type Script = (signal: AbortSignal) => AsyncIterable<CompletionEvent>;

/** A world whose frames are run by hand and whose answers are scripted. */
class Stage implements World {
  readonly requests: CompletionRequest[] = [];
  frames: (() => void)[] = [];
  changes = 0;
  signedOuts = 0;
  #ids = 0;

  constructor(private readonly script: Script) {}

  complete(request: CompletionRequest, signal: AbortSignal): AsyncIterable<CompletionEvent> {
    this.requests.push(request);
    return this.script(signal);
  }
  now_ms = () => 0;
  newId = () => `id${this.#ids++}`;
  schedule = (work: () => void) => void this.frames.push(work);
  preferences = () => ({ model: "m", systemPrompt: "" });
  changed = () => void this.changes++;
  signedOut = () => void this.signedOuts++;
}

function of(...events: CompletionEvent[]): Script {
  return async function* () {
    yield* events;
  };
}

/** Text, and then nothing until the signal fires, as a model that thinks for long. */
async function* endless(signal: AbortSignal): AsyncGenerator<CompletionEvent> {
  yield text("Once");
  await new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}

function answerOf(chat: Chat): Answer {
  return shownAnswer(lastTurn(chat.conversation)!)!;
}

test("a whole answer is done and has its text and finish reason", async () => {
  const chat = new Chat(new Stage(of(text("Par"), text("ley"), FINISH)), EMPTY);
  await chat.ask("Who?");
  const answer = answerOf(chat);
  assert.deepEqual([answer.state, answer.text, answer.readout?.finish], ["done", "Parley", "stop"]);
  assert.equal(chat.busy, false);
});

test("text that arrives within one frame is drawn once", async () => {
  const stage = new Stage(of(...Array.from({ length: 500 }, () => text("x")), FINISH));
  await new Chat(stage, EMPTY).ask("Much?");
  assert.equal(stage.frames.length, 1);
  assert.equal(stage.changes, 2); // the question, and the end
});

test("a frame that runs after the end adds nothing", async () => {
  const stage = new Stage(of(text("Par"), FINISH));
  const chat = new Chat(stage, EMPTY);
  await chat.ask("Who?");
  stage.frames.forEach((frame) => frame());
  assert.equal(answerOf(chat).text, "Par");
});

test("stopping keeps the text and says so", async () => {
  const chat = new Chat(new Stage(endless), EMPTY);
  const done = chat.ask("Long?");
  await new Promise(setImmediate);
  chat.stop();
  await done;
  const answer = answerOf(chat);
  assert.deepEqual([answer.state, answer.text], ["stopped", "Once"]);
  assert.equal(answer.readout?.finish, "stopped");
});

test("a failure keeps the text that had come", async () => {
  const chat = new Chat(
    new Stage(async function* () {
      yield text("Half");
      throw Failure.cutShort();
    }),
    EMPTY,
  );
  await chat.ask("Whole?");
  const answer = answerOf(chat);
  assert.deepEqual([answer.state, answer.text], ["failed", "Half"]);
  assert.match(answer.failure?.title ?? "", /cut short/);
});

test("a lost session is reported once", async () => {
  const stage = new Stage(async function* () {
    throw Failure.ofResponse(new Response(null, { status: 401 }), {}, 0);
  });
  await new Chat(stage, EMPTY).ask("Who?");
  assert.equal(stage.signedOuts, 1);
});

test("regenerating keeps the earlier answer and sends the same messages", async () => {
  const stage = new Stage(of(text("Yes."), FINISH));
  const chat = new Chat(stage, EMPTY);
  await chat.ask("Sure?");
  await chat.regenerate();
  assert.equal(lastTurn(chat.conversation)?.answers.length, 2);
  assert.deepEqual(stage.requests[0]?.messages, stage.requests[1]?.messages);
});

test("asking again replaces the last question", async () => {
  const chat = new Chat(new Stage(of(text("Yes."), FINISH)), EMPTY);
  await chat.ask("Sure?");
  await chat.askAgain("Really?");
  assert.deepEqual(
    chat.conversation.turns.map((turn) => turn.question),
    ["Really?"],
  );
});

test("all requests of a conversation have its key, and a new conversation has another", async () => {
  const stage = new Stage(of(text("Yes."), FINISH));
  const chat = new Chat(stage, EMPTY);
  await chat.ask("Sure?");
  await chat.ask("And?");
  await chat.regenerate();
  await chat.askAgain("Really?");
  chat.clear();
  await chat.ask("New?");
  const keys = stage.requests.map((request) => request.prompt_cache_key);
  assert.ok(keys[0]);
  assert.deepEqual(keys.slice(0, 4), Array(4).fill(keys[0]));
  assert.ok(keys[4] && keys[4] !== keys[0]);
});

test("a conversation that comes back goes on with its key", async () => {
  const stage = new Stage(of(text("Yes."), FINISH));
  await new Chat(stage, { turns: [], key: "kept" }).ask("Sure?");
  assert.equal(stage.requests[0]?.prompt_cache_key, "kept");
});

test("a second question while one is answered is not sent", async () => {
  const stage = new Stage(endless);
  const chat = new Chat(stage, EMPTY);
  const done = chat.ask("One?");
  await chat.ask("Two?");
  assert.equal(stage.requests.length, 1);
  chat.stop();
  await done;
});

test("a new chat can be asked at once, and the old answer does not leak into it", async () => {
  const chat = new Chat(new Stage(endless), EMPTY);
  const old = chat.ask("Old?");
  chat.clear();
  const fresh = chat.ask("New?");
  await old;
  assert.equal(chat.busy, true);
  chat.stop();
  await fresh;
  assert.equal(chat.conversation.turns.length, 1);
  assert.equal(answerOf(chat).text, "Once");
});

test("a runaway answer is cut off with its text kept", async () => {
  const script = of(text("x".repeat(ANSWER_CHARS_MAX)), text("y"), FINISH);
  const chat = new Chat(new Stage(script), EMPTY);
  await chat.ask("Much?");
  assert.equal(answerOf(chat).state, "failed");
  assert.ok(answerOf(chat).text.length > ANSWER_CHARS_MAX);
});
