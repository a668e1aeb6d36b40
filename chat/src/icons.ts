/** The page's drawings: icons on a grid of 24, the mark, and the wordmark. */
import { svg } from "./dom.ts";

const ICONS = {
  send: ["M12 19V5", "M6 11l6-6 6 6"],
  stop: ["M8 8h8v8H8z"],
  copy: ["M9 9h10v11H9z", "M5 15V4h10"],
  done: ["M5 12.5l4.5 4.5L19 7.5"],
  again: ["M19.5 12a7.5 7.5 0 1 1-2.2-5.3", "M19.5 3.5v4h-4"],
  edit: ["M5 19l1-4L16 5l3 3L9 18z", "M13.5 7.5l3 3"],
  fresh: ["M12 5v14", "M5 12h14"],
  settings: ["M4 7h9", "M17 7h3", "M15 5v4", "M4 17h3", "M11 17h9", "M9 15v4"],
  system: ["M4 5h16v11H4z", "M9 20h6", "M12 16v4"],
  light: [
    "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z",
    "M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2",
    "M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4",
  ],
  dark: ["M20 14.5A8.2 8.2 0 0 1 9.5 4a8.2 8.2 0 1 0 10.5 10.5z"],
  help: ["M9 9.2a3 3 0 1 1 4.2 2.8c-.8.4-1.2 1-1.2 1.9", "M12 17.5v.1"],
  back: ["M14 6l-6 6 6 6"],
  forth: ["M10 6l6 6-6 6"],
  down: ["M12 5v14", "M6 13l6 6 6-6"],
  close: ["M6 6l12 12", "M18 6L6 18"],
} as const;

export type IconName = keyof typeof ICONS;

export function icon(name: IconName): SVGSVGElement {
  return svg("0 0 24 24", "icon", ICONS[name]);
}

/** Two voices, each a corner in the other's: the same shape, turned half round. */
export function mark(): SVGSVGElement {
  return svg("0 0 32 32", "mark", [
    "M2 8a6 6 0 0 1 6-6h8a6 6 0 0 1 6 6v.6h-5.4a8 8 0 0 0-8 8V20H2z",
    "M30 24a6 6 0 0 1-6 6h-8a6 6 0 0 1-4.4-6v-7.4a6 6 0 0 1 5-5H30z",
  ]);
}

/** "Parley", drawn with one pen, so that it looks the same whatever fonts a machine has. */
export function wordmark(): SVGSVGElement {
  return svg("0 0 92 30", "wordmark", [
    "M3 22V3h6.5a5.7 5.7 0 0 1 0 11.4H3",
    "M30.5 9.5V22M30.5 15.7a5.6 6.3 0 1 1-11.2 0 5.6 6.3 0 0 1 11.2 0z",
    "M37 22V9.5M37 15c0-3.6 2.3-5.5 5.6-5.5",
    "M48 2.5V22",
    "M54.2 15.2h11.8a5.9 6.2 0 1 0-2 4.9",
    "M71 9.5l5.6 12M82.5 9.5l-7 16.3c-.7 1.6-1.8 2.2-3.7 2.2",
  ]);
}
