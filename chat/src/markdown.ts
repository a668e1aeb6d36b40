/**
 * Model text to elements: the only road by which hostile text becomes markup.
 *
 * Raw HTML stays visible text, images become links, and DOMPurify judges the rest. The page has no
 * other HTML sink; under Trusted Types the policy "dompurify" is the only one that may exist.
 */
import DOMPurify from "dompurify";
import { Marked, type Token, type Tokens } from "marked";

/** One top-level piece of an answer: its source, which decides whether it must be drawn anew. */
export interface Block {
  /** Source, and whatever else decides the outcome; equal keys draw equal elements. */
  readonly key: string;
  readonly token: Token;
}

/** Answers sit below the heading of their turn, so the model's first level is shown as this. */
const HEADING_TOP = 3;
const HEADING_BOTTOM = 6;

const ESCAPES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? "");
}

const marked = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html({ text }): string {
      return escaped(text);
    },
    // A remote image would carry the conversation away in its address.
    image({ href, text }): string {
      return `<a href="${escaped(href)}">${escaped(text || "image")}</a>`;
    },
    listitem(item): string {
      return `<li${item.task ? ' class="task"' : ""}>${this.parser.parse(item.tokens)}</li>`;
    },
    checkbox({ checked }): string {
      return checked ? "\u2611 " : "\u2610 ";
    },
  },
});

const purifier = DOMPurify();
const RULES = {
  ALLOWED_TAGS: [
    ..."p br hr strong em del a code pre blockquote ul ol li".split(" "),
    ..."h3 h4 h5 h6 table thead tbody tr th td span".split(" "),
  ],
  ALLOWED_ATTR: ["href", "class", "start", "align"],
  ADD_URI_SAFE_ATTR: ["start", "align"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  // Absolute addresses only: a relative one would act on Parley itself.
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  RETURN_DOM_FRAGMENT: true as const,
};

purifier.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "A" && node.hasAttribute("href")) {
    node.setAttribute("target", "_blank");
    node.setAttribute("rel", "noopener noreferrer");
  }
  // Only these classes may be named, lest text borrow the look of the page's own controls.
  const names = [...node.classList].filter((name) => /^(?:task|(?:hljs|language)-.+)$/.test(name));
  if (names.length > 0) node.setAttribute("class", names.join(" "));
  else node.removeAttribute("class");
});

/** Splits markdown, whole or still growing, into its top-level blocks. */
export function blocksOf(text: string): Block[] {
  const tokens = marked.lexer(text);
  const links = JSON.stringify(tokens.links);
  let level = HEADING_TOP - 1;
  return tokens
    .filter((token) => token.type !== "space" && token.type !== "def")
    .map((token) => {
      if (token.type !== "heading") return { key: `${token.raw}\n${links}`, token };
      // A heading may go only one deeper than the one before it, or readers lose their way.
      level = Math.min(level + 1, token.depth + HEADING_TOP - 1, HEADING_BOTTOM);
      return { key: `${level} ${token.raw}`, token: { ...token, depth: level } };
    });
}

/** Draws one block. The outcome holds nothing that can run, load or post. */
export function drawn(block: Block): DocumentFragment {
  return purified(marked.parser([block.token]));
}

/** Turns highlighted code, which is HTML, into elements by the same rules. */
export function purified(html: string): DocumentFragment {
  return purifier.sanitize(html, RULES);
}

/** The language that a fenced block names, or an empty string. */
export function languageOf(block: Block): string {
  if (block.token.type !== "code") return "";
  return ((block.token as Tokens.Code).lang ?? "").split(/\s/)[0] ?? "";
}
