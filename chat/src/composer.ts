/** Where the person writes: grows with the text, sends on Enter, and stops the model. */
import { iconButton, redraw } from "./controls.ts";
import { h } from "./dom.ts";

/** Longest message, in characters; the server has the last word on tokens. */
const MESSAGE_CHARS_MAX = 100_000;

export interface ComposerActions {
  /** `editing`: the text replaces the last message instead of following it. */
  send(text: string, editing: boolean): void;
  stop(): void;
}

export class Composer {
  readonly element: HTMLFormElement;
  readonly #text = h("textarea", {
    id: "message",
    rows: "1",
    maxlength: String(MESSAGE_CHARS_MAX),
    placeholder: "Write a message",
    "aria-label": "Message",
    autocomplete: "off",
    enterkeyhint: "send",
  });
  readonly #button: HTMLButtonElement;
  readonly #editing: HTMLElement;
  #draft = "";
  #busy = false;
  #ready = false;

  constructor(private readonly actions: ComposerActions) {
    this.#button = iconButton("send", "Send", () => this.#press());
    this.#button.classList.add("send");
    const cancel = h("button", { type: "button", class: "link", click: () => this.cancelEdit() });
    cancel.append("Cancel");
    this.#editing = h("p", { class: "editing", hidden: true }, "Editing your last message", cancel);
    const row = h("div", { class: "row" }, this.#text, this.#button);
    this.element = h("form", { class: "composer", "aria-label": "Write" }, this.#editing, row);
    this.element.addEventListener("submit", (event) => event.preventDefault());
    this.#text.addEventListener("input", () => this.#refresh());
    this.#text.addEventListener("keydown", (event) => this.#key(event));
  }

  focus(): void {
    this.#text.focus();
  }

  /** `busy`: the model is at work, so the button stops it; `ready`: there is a model to ask. */
  update(busy: boolean, ready: boolean): void {
    this.#busy = busy;
    this.#ready = ready;
    this.#refresh();
  }

  /** Takes a message back for editing; the draft that was there returns on cancel. */
  edit(question: string): void {
    if (this.#editing.hidden) this.#draft = this.#text.value;
    this.#editing.hidden = false;
    this.#set(question);
    this.focus();
  }

  /** Leaves editing, if that is what goes on; true when it was. */
  cancelEdit(): boolean {
    if (this.#editing.hidden) return false;
    this.#editing.hidden = true;
    this.#set(this.#draft);
    this.focus();
    return true;
  }

  #key(event: KeyboardEvent): void {
    // While an input method composes, Enter chooses a word and must not send.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (!this.#busy) this.#send();
  }

  #press(): void {
    if (this.#busy) this.actions.stop();
    else this.#send();
    this.focus();
  }

  #send(): void {
    const text = this.#text.value.trim();
    if (!text || !this.#ready) return;
    const editing = !this.#editing.hidden;
    this.#editing.hidden = true;
    this.#set(editing ? this.#draft : "");
    this.#draft = "";
    this.actions.send(text, editing);
  }

  #set(text: string): void {
    this.#text.value = text;
    this.#refresh();
  }

  #refresh(): void {
    this.#text.style.height = "auto";
    this.#text.style.height = `${this.#text.scrollHeight}px`;
    const idle = !this.#text.value.trim() || !this.#ready;
    redraw(this.#button, this.#busy ? "stop" : "send", this.#busy ? "Stop (Esc)" : "Send (Enter)");
    this.#button.setAttribute("aria-disabled", String(!this.#busy && idle));
    this.#button.classList.toggle("stopping", this.#busy);
  }
}
