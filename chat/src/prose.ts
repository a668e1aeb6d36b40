/**
 * An answer's text on the page; draws only the blocks that changed since the last frame.
 *
 * Everything comes from markdown.ts as elements; this module adds frames, buttons and colours.
 */
import { copyButton } from "./controls.ts";
import { h } from "./dom.ts";
import { blocksOf, drawn, languageOf, purified, type Block } from "./markdown.ts";

interface Drawn {
  readonly key: string;
  readonly element: HTMLElement;
}

/** One answer's growing or finished text. */
export class Prose {
  readonly element = h("div", { class: "prose" });
  #text = "";
  #ended = false;
  #blocks: Drawn[] = [];

  /** Shows a text; `ended` says that no more will come, so that code may be coloured. */
  show(text: string, ended: boolean): void {
    if (text === this.#text && ended === this.#ended) return;
    const blocks = blocksOf(text);
    const settled = ended ? blocks.length : blocks.length - 1;
    const next = blocks.map((block, i) => this.#reuse(i, block) ?? draw(block));
    for (const old of this.#blocks) {
      if (!next.includes(old)) old.element.remove();
    }
    next.forEach((block, i) => this.#place(block.element, i));
    blocks.slice(0, settled).forEach((block, i) => colour(next[i]?.element, languageOf(block)));
    this.#blocks = next;
    this.#text = text;
    this.#ended = ended;
  }

  #reuse(index: number, block: Block): Drawn | undefined {
    const old = this.#blocks[index];
    return old?.key === block.key ? old : undefined;
  }

  #place(element: HTMLElement, index: number): void {
    const there = this.element.children[index] ?? null;
    if (there !== element) this.element.insertBefore(element, there);
  }
}

function draw(block: Block): Drawn {
  const element = h("div", { class: "block" }, drawn(block));
  for (const pre of element.querySelectorAll("pre")) frameCode(pre, languageOf(block));
  for (const table of element.querySelectorAll("table")) {
    const frame = h("div", { class: "table", tabindex: "0", role: "group", "aria-label": "Table" });
    table.replaceWith(frame);
    frame.append(table);
  }
  return { key: block.key, element };
}

function frameCode(pre: HTMLPreElement, language: string): void {
  const code = pre.textContent ?? "";
  const name = language || "code";
  const bar = h("div", { class: "code-bar" }, h("span", {}, name));
  bar.append(copyButton("Copy code", () => code.replace(/\n$/, "")));
  const frame = h("div", { class: "code", role: "group", "aria-label": `Code, ${name}` }, bar);
  pre.replaceWith(frame);
  pre.tabIndex = 0;
  frame.append(pre);
}

/** Colours a finished code block once; the grammars are fetched when the first one appears. */
function colour(element: HTMLElement | undefined, language: string): void {
  const code = element?.querySelector<HTMLElement>("pre > code:not([data-coloured])");
  if (!code || !language) return;
  code.dataset.coloured = "";
  import("./highlight.ts").then(
    ({ highlighted }) => {
      const html = highlighted(code.textContent ?? "", language.toLowerCase());
      if (html !== null) code.replaceChildren(purified(html));
    },
    () => {}, // Plain code reads well enough.
  );
}
