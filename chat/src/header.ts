/** The top of the page: whose page it is, which model answers, and the page's own controls. */
import { iconButton, redraw } from "./controls.ts";
import { h } from "./dom.ts";
import { icon, mark, wordmark } from "./icons.ts";
import { keepTheme, nextTheme, showTheme, storedTheme, type Theme } from "./theme.ts";

export interface HeaderActions {
  choose(model: string): void;
  fresh(): void;
  settings(): void;
  jobs(): void;
  help(): void;
}

export class Header {
  readonly element: HTMLElement;
  readonly #select = h("select", { id: "model", "aria-label": "Model" });
  readonly #picker = h("div", { class: "picker", hidden: true }, this.#select, icon("open"));
  readonly #controls: HTMLElement;
  #shown = "";

  constructor(actions: HeaderActions) {
    this.#select.addEventListener("change", () => actions.choose(this.#select.value));
    const fresh = iconButton("fresh", "New chat", actions.fresh);
    fresh.classList.add("wordy");
    fresh.append(h("span", {}, "New chat"));
    const settings = iconButton("settings", "Settings of this chat", actions.settings);
    const jobs = iconButton("jobs", "Jobs", actions.jobs);
    this.#controls = h("div", { class: "controls" }, fresh, settings, jobs);
    const page = h("div", { class: "controls" }, themeButton());
    page.append(iconButton("help", "Keys (?)", actions.help));
    const brand = h("h1", { class: "brand", "aria-label": "Parley" }, mark(), wordmark());
    this.element = h("header", { class: "top" }, brand, this.#picker, this.#controls, page);
  }

  /** Shows the models that can be asked. With none, as when signed out, the controls go too. */
  update(models: readonly string[], chosen: string): void {
    const shown = JSON.stringify([models, chosen]);
    // Drawing the same again would close the list under the person's hand.
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#picker.hidden = models.length === 0;
    this.#controls.hidden = models.length === 0;
    const options = models.map((id) => h("option", { value: id, selected: id === chosen }, id));
    this.#select.replaceChildren(...options);
  }
}

function themeButton(): HTMLButtonElement {
  const label = (theme: Theme) => `Theme: ${theme}. Change to ${nextTheme(theme)}`;
  let theme = storedTheme();
  const button = iconButton(theme, label(theme), () => {
    theme = nextTheme(theme);
    showTheme(theme);
    keepTheme(theme);
    redraw(button, theme, label(theme));
  });
  return button;
}
