/** One answer on the page: its prose, what went wrong, its figures, and what can be done. */
import { isOpen, type Answer, type Turn } from "./conversation.ts";
import { copyButton, iconButton } from "./controls.ts";
import { h } from "./dom.ts";
import type { FailureNote } from "./failure.ts";
import { mark } from "./icons.ts";
import type { Opinion } from "./opinion.ts";
import { OpinionView } from "./opinion-view.ts";
import { Prose } from "./prose.ts";
import { figures } from "./readout.ts";

/** What the person can ask for at a turn. */
export interface TurnActions {
  regenerate(): void;
  edit(): void;
  show(turnId: string, index: number): void;
  /** Sends what the person thinks of an answer. Throws Failure when it was not taken. */
  opine(turnId: string, answerId: string, opinion: Opinion): Promise<void>;
}

/** Where a turn stands: only the last can be regenerated, and none while the model is at work. */
export interface Standing {
  readonly last: boolean;
  readonly busy: boolean;
}

export class AnswerView {
  readonly element: HTMLElement;
  readonly #prose = new Prose();
  readonly #waiting = h("p", { class: "waiting" }, "Waiting for the first word");
  readonly #failure = h("div", {
    class: "failure",
    role: "group",
    "aria-label": "Problem",
    hidden: true,
  });
  readonly #readout = h("ul", { class: "readout", "aria-label": "About this answer" });
  readonly #copy: HTMLButtonElement;
  readonly #again: HTMLButtonElement;
  readonly #switcher: Switcher;
  readonly #opinion: OpinionView;
  #answer?: Answer;
  #failureShown?: FailureNote;
  #retryShown = false;

  constructor(
    turnId: string,
    private readonly actions: TurnActions,
  ) {
    this.#copy = copyButton("Copy answer", () => this.#answer?.text ?? "");
    this.#again = iconButton("again", "Answer again", () => actions.regenerate());
    this.#switcher = new Switcher((index) => actions.show(turnId, index));
    this.#opinion = new OpinionView((answer, opinion) => actions.opine(turnId, answer.id, opinion));
    const tools = h("div", { class: "tools" }, this.#switcher.element, this.#copy, this.#again);
    tools.append(...this.#opinion.buttons);
    const foot = h("div", { class: "foot" }, tools, this.#readout);
    const heading = h("h2", { class: "unseen" }, "Parley answered");
    const parts = [this.#waiting, this.#prose.element, this.#failure, foot, this.#opinion.panel];
    const body = h("div", { class: "body" }, ...parts);
    this.element = h("div", { class: "answer" }, heading, mark(), body);
  }

  update(turn: Turn, answer: Answer, standing: Standing): void {
    this.#answer = answer;
    this.element.dataset.state = answer.state;
    this.#waiting.hidden = answer.state !== "waiting";
    this.#prose.show(answer.text, !isOpen(answer));
    this.#showFailure(answer.failure, standing.last);
    const open = isOpen(answer);
    this.#copy.hidden = open || !answer.text;
    this.#again.hidden = !standing.last || standing.busy || answer.state === "failed";
    this.#switcher.update(turn, standing.busy);
    this.#opinion.update(answer, !open && Boolean(answer.text && answer.responseId));
    this.#readout.hidden = open;
    if (!open) this.#readout.replaceChildren(...readoutItems(answer));
  }

  /** Draws it once, so that a reader's place and the countdown are kept. */
  #showFailure(note: FailureNote | undefined, retry: boolean): void {
    if (note === this.#failureShown && retry === this.#retryShown) return;
    this.#failureShown = note;
    this.#retryShown = retry;
    this.#failure.hidden = !note;
    this.#failure.replaceChildren();
    if (!note) return;
    this.#failure.append(h("p", {}, h("strong", {}, note.title), " ", note.advice));
    if (retry) this.#failure.append(remedy(note, () => this.actions.regenerate()));
    if (!note.requestId) return;
    const id = h("code", {}, note.requestId);
    this.#failure.append(h("p", { class: "request" }, "Request ", id));
  }
}

function remedy(note: FailureNote, press: () => void): HTMLElement {
  const button = h("button", { type: "button", class: "button", click: press }, "Try again");
  const wait = h("span", { class: "wait" });
  countDown(note.retryAt_ms ?? 0, button, wait);
  return h("div", { class: "remedy" }, button, wait);
}

/** Keeps the button off until a repeat may succeed, and says how long that is. */
function countDown(retryAt_ms: number, button: HTMLButtonElement, wait: HTMLElement): void {
  const left_s = Math.ceil((retryAt_ms - Date.now()) / 1000);
  button.disabled = left_s > 0;
  wait.textContent = left_s > 0 ? `You can try again in ${left_s} s` : "";
  if (left_s <= 0) return;
  window.setTimeout(() => {
    if (wait.isConnected) countDown(retryAt_ms, button, wait);
  }, 1000);
}

function readoutItems(answer: Answer): HTMLElement[] {
  const version = answer.readout?.modelVersion;
  const model = version ? `${answer.model} ${version}` : answer.model;
  const shown = answer.readout ? figures(answer.readout) : [];
  const items = shown.map(({ text, meaning }) => h("li", { title: meaning }, text));
  return [h("li", { class: "model", title: "Model" }, model), ...items];
}

/** "2 / 3" between two arrows; there only when there is a choice. */
class Switcher {
  readonly element: HTMLElement;
  readonly #place = h("span", { class: "place" });
  readonly #back: HTMLButtonElement;
  readonly #forth: HTMLButtonElement;
  #index = 0;

  constructor(show: (index: number) => void) {
    this.#back = iconButton("back", "Previous answer", () => show(this.#index - 1));
    this.#forth = iconButton("forth", "Next answer", () => show(this.#index + 1));
    const attributes = { class: "switcher", role: "group", "aria-label": "Other answers" };
    this.element = h("div", attributes, this.#back, this.#place, this.#forth);
  }

  update(turn: Turn, busy: boolean): void {
    const count = turn.answers.length;
    this.#index = turn.shown;
    this.element.hidden = count < 2;
    this.#place.textContent = `${turn.shown + 1} / ${count}`;
    setOff(this.#back, busy || turn.shown === 0);
    setOff(this.#forth, busy || turn.shown === count - 1);
  }
}

/** Off, but still focusable, so that a keyboard does not lose its place at either end. */
function setOff(button: HTMLButtonElement, off: boolean): void {
  button.setAttribute("aria-disabled", String(off));
}
