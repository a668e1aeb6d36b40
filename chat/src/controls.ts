/** The buttons that every part of the page shares. */
import { h } from "./dom.ts";
import { icon, type IconName } from "./icons.ts";

/** How long a button says that it has copied, in milliseconds. */
const COPIED_MS = 1800;

/** A square button with a drawing; its name is also its tooltip. */
export function iconButton(
  name: IconName,
  label: string,
  press: () => void,
): HTMLButtonElement {
  const attributes = { type: "button", class: "icon-button", "aria-label": label, title: label };
  return h("button", { ...attributes, click: press }, icon(name));
}

/** Changes the drawing and the name of such a button, keeping the element and its focus. */
export function redraw(button: HTMLButtonElement, name: IconName, label: string): void {
  if (button.getAttribute("aria-label") === label) return;
  button.setAttribute("aria-label", label);
  button.title = label;
  button.replaceChildren(icon(name));
}

/** A button that copies what `text` returns, and says whether it could. */
export function copyButton(label: string, text: () => string): HTMLButtonElement {
  const button = iconButton("copy", label, () => {
    copy(text()).then(
      () => report("done", "Copied"),
      () => report("close", "The browser would not copy"),
    );
  });
  const report = (name: IconName, outcome: string) => {
    redraw(button, name, outcome);
    window.setTimeout(() => redraw(button, "copy", label), COPIED_MS);
  };
  return button;
}

/** `navigator.clipboard` is missing where the page is not on loopback and not on https. */
async function copy(text: string): Promise<void> {
  await navigator.clipboard.writeText(text);
}
