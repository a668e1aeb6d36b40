/** Elements made by hand: no HTML strings, so Trusted Types has nothing to object to. */

type Child = Node | string | null | undefined | false;
type Attributes = Record<string, string | boolean | ((event: Event) => void)>;

/**
 * Makes an element. A function is a listener, `true` an empty attribute, `false` none at all.
 */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child instanceof Node || Boolean(child)) as Node[]);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** Makes an SVG of one or more paths; purely decorative, so hidden from assistive technology. */
export function svg(viewBox: string, name: string, paths: readonly string[]): SVGSVGElement {
  const root = document.createElementNS(SVG, "svg");
  root.setAttribute("viewBox", viewBox);
  root.setAttribute("class", name);
  root.setAttribute("aria-hidden", "true");
  for (const d of paths) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    root.append(path);
  }
  return root;
}
