/** The keyboard map: one table, which is both what the keys do and what the help dialog shows. */
import { iconButton } from "./controls.ts";
import { h } from "./dom.ts";

const MAP: readonly (readonly [readonly string[], string])[] = [
  [["Enter"], "Send the message"],
  [["Shift", "Enter"], "New line"],
  [["Esc"], "Stop the answer, or leave editing"],
  [["Ctrl", "\u2191"], "Edit your last message"],
  [["Ctrl", "/"], "This list (? works too, outside the message)"],
];

export interface KeyActions {
  escape(): void;
  editLast(): void;
  help(): void;
}

/** Listens on the whole page; dialogs keep their own Esc. */
export function listen(actions: KeyActions): void {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || document.querySelector("dialog[open]")) return;
    const action = actionOf(event, actions);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function actionOf(event: KeyboardEvent, actions: KeyActions): (() => void) | undefined {
  const command = event.ctrlKey || event.metaKey;
  if (event.key === "Escape") return actions.escape;
  if (command && event.key === "ArrowUp") return actions.editLast;
  if (command && event.key === "/") return actions.help;
  if (event.key === "?" && !isWriting(event.target)) return actions.help;
  return undefined;
}

function isWriting(target: EventTarget | null): boolean {
  return target instanceof Element && target.matches("textarea, input, select");
}

export function helpDialog(): HTMLDialogElement {
  const rows = MAP.map(([keys, meaning]) => {
    const combination = keys.flatMap((key, i) => [i > 0 && " + ", h("kbd", {}, key)]);
    return h("div", {}, h("dt", {}, ...combination), h("dd", {}, meaning));
  });
  const title = h("h2", { id: "help-title" }, "Keys");
  const dialog = h("dialog", { class: "help", "aria-labelledby": "help-title" });
  const close = iconButton("close", "Close", () => dialog.close());
  dialog.append(h("header", {}, title, close), h("dl", {}, ...rows));
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  return dialog;
}
