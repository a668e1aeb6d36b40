/** What an empty conversation shows: a greeting, and questions that the starter model knows. */
import { h } from "./dom.ts";
import { mark } from "./icons.ts";

const SUGGESTIONS = [
  "What is Parley?",
  "How do I start Parley?",
  "What is the capital of France?",
  "What is 3 plus 4?",
] as const;

export function welcome(ask: (question: string) => void): HTMLElement {
  const items = SUGGESTIONS.map((question) => {
    const button = h("button", { type: "button", click: () => ask(question) }, question);
    return h("li", {}, button);
  });
  return h(
    "section",
    { class: "welcome", "aria-label": "Welcome" },
    mark(),
    h("h2", {}, "Let\u2019s talk."),
    h("p", {}, "Ask anything, or begin with one of these."),
    h("ul", { "aria-label": "Suggestions" }, ...items),
  );
}
