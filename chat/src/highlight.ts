/** Colours code. Loaded only once an answer holds some, and never for code of a great length. */
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import protobuf from "highlight.js/lib/languages/protobuf";
import python from "highlight.js/lib/languages/python";
import sql from "highlight.js/lib/languages/sql";
import typescript from "highlight.js/lib/languages/typescript";
import yaml from "highlight.js/lib/languages/yaml";

/** Beyond this many characters the colours would cost a frame or more. */
const CODE_CHARS_MAX = 20_000;

const LANGUAGES = { bash, javascript, json, protobuf, python, sql, typescript, yaml };
for (const [name, grammar] of Object.entries(LANGUAGES)) hljs.registerLanguage(name, grammar);

/** The code as HTML with classes, or null when the language is unknown or the code too long. */
export function highlighted(code: string, language: string): string | null {
  if (code.length > CODE_CHARS_MAX || !hljs.getLanguage(language)) return null;
  return hljs.highlight(code, { language, ignoreIllegals: true }).value;
}
