/**
 * A growing answer, cut into what a screen reader should say: whole sentences, code only by name.
 *
 * Pure; the announcer puts the sentences into the page.
 */

/** Hands out each finished sentence once; one speech serves one answer. */
export class Speech {
  #spoken = 0;

  /** The sentences that have been completed since the last call; all that is left at the end. */
  next(text: string, ended: boolean): string[] {
    const open = text.slice(this.#spoken);
    const length = ended ? open.length : completeLength(open);
    this.#spoken += length;
    return sentences(plain(open.slice(0, length)));
  }
}

/** Length of the part that ends with a sentence or a line, outside of unfinished code. */
function completeLength(text: string): number {
  // A fence counts once its line is whole, so that a closing one is not taken for an opening one.
  const fences = [...text.matchAll(/^```.*\n/gm)];
  const last = fences.length % 2 === 1 ? fences.at(-1) : undefined;
  const limit = last ? last.index : text.length;
  const ends = [...text.slice(0, limit).matchAll(/[.!?]["')\]]*(?=\s)|\n/g)];
  const end = ends.at(-1);
  return end ? end.index + end[0].length : 0;
}

function plain(text: string): string {
  return text
    .replace(/^```(\S*)[^\n]*\n[\s\S]*?(?:^```\s*$|$(?![\s\S]))/gm, (_, language: string) =>
      language ? `Code in ${language}.\n` : "Code.\n",
    )
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/^\s*(?:[#>*+-]+|\|?[\s:|-]+\|)\s*/gm, "")
    .replace(/[*_`|]/g, "");
}

function sentences(text: string): string[] {
  return text
    .split(/(?<=[.!?]["')\]]*)\s+|\n+/)
    .map((sentence) => sentence.trim())
    .filter((sentence) => /[\p{L}\p{N}]/u.test(sentence));
}
