/** The drawer with this chat's system prompt and sampling. Empty means: the server's own. */
import type { Preferences } from "./chat.ts";
import { iconButton } from "./controls.ts";
import { h } from "./dom.ts";

/** Bounds of the OpenAI wire for temperature, and of this page for the length of an answer. */
const TEMPERATURE_MAX = 2;
const ANSWER_TOKENS_MAX = 32_768;

export type Sampling = Pick<Preferences, "systemPrompt" | "temperature" | "maxTokens">;

export class Settings {
  readonly element: HTMLDialogElement;
  readonly #prompt = h("textarea", { id: "system-prompt", rows: "5", maxlength: "20000" });
  readonly #temperature = number("temperature", TEMPERATURE_MAX, "0.1", "0");
  readonly #tokens = number("max-tokens", ANSWER_TOKENS_MAX, "1", "1");

  constructor(private readonly changed: (sampling: Sampling) => void) {
    const close = iconButton("close", "Close", () => this.element.close());
    const title = h("h2", { id: "settings-title" }, "This chat");
    const form = h(
      "form",
      { method: "dialog" },
      h("header", {}, title, close),
      field("system-prompt", "System prompt", "What the model should know first.", this.#prompt),
      field("temperature", "Temperature", "0 is steady, 2 is wild.", this.#temperature),
      field("max-tokens", "Longest answer", "In tokens.", this.#tokens),
      h("button", { class: "button primary" }, "Done"),
    );
    const attributes = { class: "drawer", "aria-labelledby": "settings-title" };
    this.element = h("dialog", attributes, form);
    this.element.addEventListener("input", () => this.#report());
    this.element.addEventListener("click", (event) => {
      if (event.target === this.element) this.element.close();
    });
  }

  open(sampling: Sampling): void {
    this.#prompt.value = sampling.systemPrompt;
    this.#temperature.value = sampling.temperature?.toString() ?? "";
    this.#tokens.value = sampling.maxTokens?.toString() ?? "";
    this.element.showModal();
  }

  /** Values out of range are not taken over; the browser says so when the form is sent. */
  #report(): void {
    this.changed({
      systemPrompt: this.#prompt.value,
      temperature: valueOf(this.#temperature),
      maxTokens: valueOf(this.#tokens),
    });
  }
}

function number(id: string, max: number, step: string, min: string): HTMLInputElement {
  const attributes = { id, type: "number", min, max: String(max), step, inputmode: "decimal" };
  return h("input", { ...attributes, placeholder: "Default" });
}

function field(id: string, label: string, hint: string, control: HTMLElement): HTMLElement {
  control.setAttribute("aria-describedby", `${id}-hint`);
  const words = h("p", { id: `${id}-hint`, class: "hint" }, hint);
  return h("div", { class: "field" }, h("label", { for: id }, label), words, control);
}

function valueOf(input: HTMLInputElement): number | undefined {
  return input.value !== "" && input.checkValidity() ? input.valueAsNumber : undefined;
}
