/** The colour theme: what the person chose, kept in this browser, and put on the root element. */

export type Theme = "system" | "light" | "dark";

const KEY = "parley.theme.1";
const ORDER: readonly Theme[] = ["system", "light", "dark"];

/** The stored choice; "system" when there is none or the browser withholds its storage. */
export function storedTheme(): Theme {
  try {
    const stored = localStorage.getItem(KEY);
    return ORDER.find((theme) => theme === stored) ?? "system";
  } catch {
    return "system";
  }
}

/** Shows a theme; the style sheet follows the system where the attribute is "system". */
export function showTheme(theme: Theme): void {
  document.documentElement.dataset.theme = theme;
}

export function keepTheme(theme: Theme): void {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // The choice then lasts as long as the page, which is all that can be had.
  }
}

export function nextTheme(theme: Theme): Theme {
  return ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length] ?? "system";
}
