/** Thumbs under an answer, and the words that may go with them. Nothing is sent before "Send". */
import type { Answer } from "./conversation.ts";
import { iconButton } from "./controls.ts";
import { h } from "./dom.ts";
import { Failure } from "./failure.ts";
import type { Opinion } from "./opinion.ts";

/** Longest correction and reason, in characters; the server counts bytes, up to four each. */
const CORRECTION_CHARS_MAX = 16_000;
const REASON_CHARS_MAX = 1000;

const RATINGS = ["good", "bad"] as const;
type Rating = Opinion["rating"];

const LABELS: Record<Rating, string> = { good: "Good answer", bad: "Bad answer" };
const SENDS =
  "Sending gives this conversation, up to this answer, to whoever runs this Parley. " +
  "They can read it, and train models on it.";

let count = 0;

export class OpinionView {
  readonly buttons: readonly HTMLButtonElement[];
  readonly panel: HTMLFormElement;
  readonly #byRating: Record<Rating, HTMLButtonElement>;
  readonly #correction: HTMLTextAreaElement;
  readonly #reason: HTMLInputElement;
  readonly #title = h("h3", {});
  readonly #problem = h("p", { class: "problem", role: "alert" });
  readonly #send = h("button", { type: "submit", class: "button primary" }, "Send");
  #answer?: Answer;
  #rating: Rating = "good";

  constructor(private readonly submit: (answer: Answer, opinion: Opinion) => Promise<void>) {
    const id = `opinion-${count++}`;
    this.#correction = h("textarea", { id: `${id}-correction`, rows: "3" });
    this.#correction.maxLength = CORRECTION_CHARS_MAX;
    this.#reason = h("input", { id: `${id}-reason`, type: "text", autocomplete: "off" });
    this.#reason.maxLength = REASON_CHARS_MAX;
    this.#byRating = { good: this.#thumb("good", id), bad: this.#thumb("bad", id) };
    this.buttons = RATINGS.map((rating) => this.#byRating[rating]);
    this.panel = this.#form(id);
  }

  /** Shows the thumbs where there is something to judge; another answer closes the panel. */
  update(answer: Answer, judgeable: boolean): void {
    if (answer.id !== this.#answer?.id) this.#close(false);
    this.#answer = answer;
    for (const rating of RATINGS) {
      const button = this.#byRating[rating];
      const given = answer.opinion?.rating === rating;
      button.hidden = !judgeable;
      button.setAttribute("aria-pressed", String(given));
      button.title = given ? `${LABELS[rating]}: sent. Press to change it` : LABELS[rating];
    }
    if (!judgeable) this.#close(false);
  }

  #thumb(rating: Rating, id: string): HTMLButtonElement {
    const button = iconButton(rating, LABELS[rating], () => this.#open(rating));
    button.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-controls", id);
    return button;
  }

  #form(id: string): HTMLFormElement {
    const cancel = h("button", { type: "button", class: "button" }, "Cancel");
    cancel.addEventListener("click", () => this.#close(true));
    const correction = label(this.#correction.id, "A better answer", "Optional.");
    const reason = label(this.#reason.id, "Why", "Optional.");
    const form = h(
      "form",
      { id, class: "opinion", hidden: true },
      this.#title,
      h("div", { class: "field" }, correction, this.#correction),
      h("div", { class: "field" }, reason, this.#reason),
      h("p", { id: `${id}-sends`, class: "sends" }, SENDS),
      this.#problem,
      h("div", { class: "remedy" }, this.#send, cancel),
    );
    this.#title.id = `${id}-title`;
    form.setAttribute("aria-labelledby", this.#title.id);
    this.#send.setAttribute("aria-describedby", `${id}-sends`);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#try();
    });
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.isComposing) return;
      // The page's own Esc would stop an answer in the making.
      event.stopPropagation();
      this.#close(true);
    });
    return form;
  }

  #open(rating: Rating): void {
    if (!this.panel.hidden && rating === this.#rating) return this.#close(true);
    if (this.panel.hidden) {
      this.#correction.value = this.#answer?.opinion?.correction ?? "";
      this.#reason.value = this.#answer?.opinion?.reason ?? "";
    }
    this.#rating = rating;
    this.#title.textContent = LABELS[rating];
    this.#problem.textContent = "";
    this.panel.hidden = false;
    this.#expanded();
    this.#correction.focus();
    this.panel.scrollIntoView({ block: "nearest" });
  }

  #close(focus: boolean): void {
    if (this.panel.hidden) return;
    this.panel.hidden = true;
    this.#expanded();
    if (focus) this.#byRating[this.#rating].focus();
  }

  #expanded(): void {
    for (const rating of RATINGS) {
      const open = !this.panel.hidden && rating === this.#rating;
      this.#byRating[rating].setAttribute("aria-expanded", String(open));
    }
  }

  async #try(): Promise<void> {
    const answer = this.#answer;
    if (!answer || this.#send.disabled) return;
    this.#problem.textContent = "";
    this.#send.disabled = true;
    try {
      await this.submit(answer, this.#opinion());
      if (answer.id === this.#answer?.id) this.#close(true);
    } catch (cause) {
      if (!(cause instanceof Failure)) throw cause;
      this.#problem.textContent = `It was not sent. ${cause.note.title}: ${cause.note.advice}`;
    } finally {
      this.#send.disabled = false;
    }
  }

  #opinion(): Opinion {
    const correction = this.#correction.value.trim();
    return { rating: this.#rating, correction, reason: this.#reason.value.trim() };
  }
}

function label(id: string, text: string, hint: string): HTMLElement {
  return h("label", { for: id }, text, " ", h("span", { class: "hint" }, hint));
}
