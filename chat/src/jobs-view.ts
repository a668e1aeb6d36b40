/** The drawer of jobs: what is being worked on, live, and what came of it. */
import { atWork, Board } from "./board.ts";
import { iconButton } from "./controls.ts";
import { h } from "./dom.ts";
import type { FailureNote } from "./failure.ts";
import { hasEnded, points, type Card } from "./jobs.ts";

const LINE_WIDTH = 200;
const LINE_HEIGHT = 32;
const SVG = "http://www.w3.org/2000/svg";

export class JobsView {
  readonly element: HTMLDialogElement;
  readonly #summary = h("p", { class: "hint", role: "status" });
  readonly #list = h("ul", { class: "jobs", "aria-label": "Jobs" });
  readonly #views = new Map<string, CardView>();
  readonly #board = new Board((cards, problem) => this.#update(cards, problem));

  constructor() {
    const title = h("h2", { id: "jobs-title" }, "Jobs");
    const close = iconButton("close", "Close", () => this.element.close());
    const attributes = { class: "drawer wide", "aria-labelledby": "jobs-title" };
    const head = h("header", {}, title, close);
    this.element = h("dialog", attributes, head, this.#summary, this.#list);
    this.element.addEventListener("close", () => this.#board.close());
    this.element.addEventListener("click", (event) => {
      if (event.target === this.element) this.element.close();
    });
  }

  open(): void {
    this.#summary.textContent = "Looking";
    this.element.showModal();
    this.#board.open();
  }

  #update(cards: readonly Card[], problem?: FailureNote): void {
    const words = problem ? `${problem.title}. ${problem.advice}` : summary(cards);
    if (this.#summary.textContent !== words) this.#summary.textContent = words;
    const ids = new Set(cards.map((card) => card.id));
    for (const [id, view] of this.#views) {
      if (ids.has(id)) continue;
      view.element.remove();
      this.#views.delete(id);
    }
    cards.forEach((card, i) => this.#card(card, i));
  }

  #card(card: Card, index: number): void {
    let view = this.#views.get(card.id);
    if (!view) {
      view = new CardView();
      this.#views.set(card.id, view);
    }
    const there = this.#list.children[index];
    if (there !== view.element) this.#list.insertBefore(view.element, there ?? null);
    view.update(card);
  }
}

class CardView {
  readonly element: HTMLElement;
  readonly #title = h("h3", {});
  readonly #state = h("span", { class: "state" });
  readonly #about = h("p", { class: "about" });
  readonly #progress = h("progress", { max: "100", "aria-label": "Share of the job that is done" });
  readonly #doing = h("p", { class: "doing" });
  readonly #loss = h("figure", { hidden: true });
  readonly #outcome = h("p", { class: "outcome" });
  #card?: Card;

  constructor() {
    const head = h("div", { class: "head" }, this.#title, this.#state);
    const parts = [head, this.#about, this.#progress, this.#doing, this.#loss, this.#outcome];
    this.element = h("li", {}, ...parts);
  }

  update(card: Card): void {
    if (card === this.#card) return;
    const ended = hasEnded(card);
    this.element.dataset.state = card.state;
    this.#title.textContent = card.model || card.kind;
    this.#state.textContent = ended ? card.state : stateWords(card);
    this.#about.textContent = about(card);
    this.#progress.hidden = ended || card.state === "queued";
    this.#progress.value = card.percent;
    this.#doing.hidden = ended || !(card.task || card.message);
    this.#doing.textContent = [card.task, card.message].filter(Boolean).join(": ");
    this.#outcome.hidden = !card.outcome;
    this.#outcome.textContent = card.outcome;
    if (card.losses !== this.#card?.losses) this.#showLoss(card);
    this.#card = card;
  }

  #showLoss({ losses, tokensPerSecond }: Card): void {
    const [first, last] = [losses[0], losses.at(-1)];
    this.#loss.hidden = first === undefined || last === undefined;
    if (first === undefined || last === undefined) return;
    const speed = tokensPerSecond ? `, ${Math.round(tokensPerSecond)} tokens/s` : "";
    const words = `Loss ${figure(last)}, from ${figure(first)}${speed}`;
    this.#loss.replaceChildren(line(losses), h("figcaption", {}, words));
  }
}

/** The loss as a line; its figures are in the words beside it. */
function line(values: readonly number[]): SVGSVGElement {
  const root = document.createElementNS(SVG, "svg");
  root.setAttribute("viewBox", `0 -2 ${LINE_WIDTH} ${LINE_HEIGHT + 4}`);
  root.setAttribute("preserveAspectRatio", "none");
  root.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "polyline");
  path.setAttribute("points", points(values, LINE_WIDTH, LINE_HEIGHT));
  root.append(path);
  return root;
}

function summary(cards: readonly Card[]): string {
  if (cards.length === 0) return "There is no job yet. Begin with ./parley train FILE";
  const running = atWork(cards);
  return running === 0 ? "Nothing is at work." : `${running} at work.`;
}

function stateWords(card: Card): string {
  return card.state === "running" ? `${Math.floor(card.percent)} %` : card.state;
}

function about(card: Card): string {
  const when = card.submitted_ms ? new Date(card.submitted_ms).toLocaleString() : "";
  return [card.kind, card.by && `by ${card.by}`, when].filter(Boolean).join(" \u00b7 ");
}

function figure(value: number): string {
  return value.toPrecision(3);
}
