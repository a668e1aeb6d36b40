/**
 * The conversation on the page: one article per turn, drawn anew only where something changed.
 *
 * Follows the foot of the conversation while the reader is there, and lets go when they scroll up.
 */
import { AnswerView, type Standing, type TurnActions } from "./answer-view.ts";
import { inTheMaking } from "./chat.ts";
import { copyButton, iconButton } from "./controls.ts";
import { shownAnswer, type Conversation, type Turn } from "./conversation.ts";
import { h } from "./dom.ts";
import { icon } from "./icons.ts";

/** Nearer to the foot than this, in CSS pixels, counts as being there. */
const AT_FOOT_PX = 48;
/** What tells a reader's scrolling from the page's own, which must not end the following. */
const HANDS = ["wheel", "touchmove", "keydown", "pointerdown"] as const;

export class TranscriptView {
  readonly element: HTMLElement;
  readonly toFoot: HTMLButtonElement;
  readonly #column = h("div", { class: "column" });
  readonly #turns = new Map<string, TurnView>();
  #following = true;
  #byHand = false;

  constructor(private readonly actions: TurnActions) {
    const attributes = { class: "transcript", role: "log", tabindex: "0", "aria-live": "off" };
    this.element = h("div", { ...attributes, "aria-label": "Conversation" }, this.#column);
    this.element.addEventListener("scroll", () => this.#look(), { passive: true });
    for (const hand of HANDS) {
      this.element.addEventListener(hand, () => (this.#byHand = true), { passive: true });
    }
    const observer = new ResizeObserver(() => this.#follow());
    observer.observe(this.#column);
    observer.observe(this.element);
    this.toFoot = h("button", { type: "button", class: "to-foot", hidden: true }, icon("down"));
    this.toFoot.append("Latest");
    this.toFoot.addEventListener("click", () => this.goToFoot());
  }

  update(conversation: Conversation): void {
    const busy = inTheMaking(conversation);
    const ids = new Set(conversation.turns.map((turn) => turn.id));
    for (const [id, view] of this.#turns) if (!ids.has(id)) this.#drop(id, view);
    const last = conversation.turns.length - 1;
    conversation.turns.forEach((turn, i) => this.#turn(turn, { last: i === last, busy }));
    this.element.setAttribute("aria-busy", String(busy));
  }

  /** Goes to the foot and follows it from now on. */
  goToFoot(): void {
    this.#following = true;
    this.#byHand = false;
    this.#follow();
  }

  #turn(turn: Turn, standing: Standing): void {
    let view = this.#turns.get(turn.id);
    if (!view) {
      view = new TurnView(turn.id, this.actions);
      this.#turns.set(turn.id, view);
      this.#column.append(view.element);
    }
    view.update(turn, standing);
  }

  #drop(id: string, view: TurnView): void {
    view.element.remove();
    this.#turns.delete(id);
  }

  #look(): void {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    const atFoot = scrollHeight - scrollTop - clientHeight < AT_FOOT_PX;
    this.#following = atFoot || (this.#following && !this.#byHand);
    if (atFoot) this.#byHand = false;
    this.toFoot.hidden = this.#following;
  }

  #follow(): void {
    if (this.#following) this.element.scrollTop = this.element.scrollHeight;
  }
}

class TurnView {
  readonly element: HTMLElement;
  readonly #question = h("div", { class: "bubble" });
  readonly #edit: HTMLButtonElement;
  readonly #answer: AnswerView;
  #turn?: Turn;
  #standing?: Standing;

  constructor(id: string, actions: TurnActions) {
    this.#edit = iconButton("edit", "Edit message", () => actions.edit());
    const copy = copyButton("Copy message", () => this.#turn?.question ?? "");
    this.#answer = new AnswerView(id, actions);
    const heading = h("h2", { class: "unseen" }, "You said");
    const tools = h("div", { class: "tools" }, this.#edit, copy);
    const question = h("div", { class: "question" }, heading, tools, this.#question);
    this.element = h("article", { class: "turn" }, question, this.#answer.element);
  }

  update(turn: Turn, standing: Standing): void {
    const same = this.#standing?.last === standing.last && this.#standing.busy === standing.busy;
    if (turn === this.#turn && same) return;
    this.#turn = turn;
    this.#standing = standing;
    this.#question.textContent = turn.question;
    this.#edit.hidden = !standing.last || standing.busy;
    const answer = shownAnswer(turn);
    if (answer) this.#answer.update(turn, answer, standing);
  }
}
