/** The card that asks for a token when the server does not know this browser. */
import { h } from "./dom.ts";
import { Failure } from "./failure.ts";
import { mark } from "./icons.ts";

const ANOTHER = "A token works once: run ./parley token for a new one.";

export class SignIn {
  readonly element: HTMLElement;
  readonly #token = h("input", {
    id: "token",
    name: "token",
    type: "password",
    required: true,
    autocomplete: "current-password",
    spellcheck: "false",
    maxlength: "512",
    "aria-describedby": "token-help token-problem",
  });
  readonly #problem = h("p", { id: "token-problem", class: "problem", role: "alert" });
  readonly #button = h("button", { type: "submit", class: "button primary" }, "Sign in");

  /** `submit` trades the token for a session: false when refused, Failure when not even that. */
  constructor(private readonly submit: (token: string) => Promise<boolean>) {
    const help = h("p", { id: "token-help" }, "Run ", h("code", {}, "./parley token"));
    help.append(" where Parley was started. Open the link that it prints, or paste it here.");
    const form = h(
      "form",
      { method: "post", action: "/login" },
      h("label", { for: "token" }, "Token"),
      this.#token,
      this.#problem,
      this.#button,
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#try();
    });
    const title = h("h2", {}, "Sign in");
    this.element = h("section", { class: "sign-in", "aria-label": "Sign in" }, mark(), title, help);
    this.element.append(form);
  }

  /** Says that the link which led here was of no use. */
  linkFailed(): void {
    this.#problem.textContent = `That link no longer works. ${ANOTHER}`;
  }

  focus(): void {
    this.#token.focus();
  }

  async #try(): Promise<void> {
    this.#problem.textContent = "";
    this.#button.disabled = true;
    try {
      const accepted = await this.submit(tokenOf(this.#token.value));
      if (!accepted) this.#problem.textContent = `That token was not accepted. ${ANOTHER}`;
      else this.#token.value = "";
    } catch (cause) {
      if (!(cause instanceof Failure)) throw cause;
      this.#problem.textContent = `${cause.note.title}. ${cause.note.advice}`;
    } finally {
      this.#button.disabled = false;
      this.#token.focus();
    }
  }
}

/** The token in what was pasted, be it the token itself or the whole link. */
function tokenOf(text: string): string {
  return /[?&]token=([^&\s]+)/.exec(text)?.[1] ?? text.trim();
}
