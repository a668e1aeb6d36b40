/**
 * Says answers aloud through a live region: a sentence at a time, never a token at a time.
 *
 * The transcript itself is silent (aria-live off), as in technique ARIA23 a log is polite.
 */
import { inTheMaking } from "./chat.ts";
import { lastTurn, shownAnswer, type Answer, type Conversation } from "./conversation.ts";
import { h } from "./dom.ts";
import { Speech } from "./speech.ts";

/** Sentences that stay in the region; older ones have long been spoken. */
const SENTENCES_MAX = 20;

export class Announcer {
  readonly element = h("div", {
    class: "unseen",
    role: "log",
    "aria-live": "polite",
    "aria-label": "Spoken answers",
  });
  #answerId = "";
  #speech = new Speech();

  /** Speaks what is new in the last answer. Answers that were there before are not repeated. */
  update(conversation: Conversation): void {
    const turn = lastTurn(conversation);
    const answer = turn && shownAnswer(turn);
    if (!answer) return;
    const open = inTheMaking(conversation);
    if (answer.id !== this.#answerId && open) this.#begin(answer);
    if (answer.id !== this.#answerId) return;
    for (const sentence of this.#speech.next(answer.text, !open)) this.say(sentence);
    if (!open) this.#end(answer);
  }

  /** Adds one line to what is spoken. */
  say(line: string): void {
    this.element.append(h("p", {}, line));
    while (this.element.childElementCount > SENTENCES_MAX) this.element.firstChild?.remove();
  }

  #begin(answer: Answer): void {
    this.#answerId = answer.id;
    this.#speech = new Speech();
    this.element.replaceChildren();
  }

  #end(answer: Answer): void {
    if (answer.failure) this.say(`${answer.failure.title}. ${answer.failure.advice}`);
    if (answer.state === "stopped") this.say("Stopped.");
    this.#answerId = "";
  }
}
