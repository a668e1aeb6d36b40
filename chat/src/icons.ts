/** The page's drawings: icons on a grid of 24, the mark, and the wordmark. */
import { svg } from "./dom.ts";

const ICONS = {
  send: ["M12 19V5", "M6 11l6-6 6 6"],
  stop: ["M7.5 7.5h9v9h-9z"],
  copy: ["M9 9h10v11H9z", "M5 15V4h10"],
  done: ["M5 12.5l4.5 4.5L19 7.5"],
  again: ["M19.5 12a7.5 7.5 0 1 1-2.2-5.3", "M19.5 3.5v4h-4"],
  good: [
    "M7 10.5V20H4v-9.5z",
    "M7 10.5l4-7a2.3 2.3 0 0 1 2.4 2.7L13 9.5h5.6a2 2 0 0 1 2 2.4l-1.3 6.5a2 2 0 0 1-2 1.6H7",
  ],
  bad: [
    "M17 13.5V4h3v9.5z",
    "M17 13.5l-4 7a2.3 2.3 0 0 1-2.4-2.7l.4-3.3H5.4a2 2 0 0 1-2-2.4l1.3-6.5a2 2 0 0 1 2-1.6H17",
  ],
  jobs: ["M4 19V5", "M4 19h16", "M7.5 8c1.5 5 4 7 12 7.5"],
  edit: ["M5 19l1-4L16 5l3 3L9 18z", "M13.5 7.5l3 3"],
  fresh: ["M12 5v14", "M5 12h14"],
  settings: [
    "M4 7.5h7.5M16.5 7.5H20M4 16.5h3.5M12.5 16.5H20",
    "M14 5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
    "M10 14a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z",
  ],
  system: ["M4 5h16v11H4z", "M9 20h6", "M12 16v4"],
  light: [
    "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z",
    "M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2",
    "M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4",
  ],
  dark: ["M20 14.5A8.2 8.2 0 0 1 9.5 4a8.2 8.2 0 1 0 10.5 10.5z"],
  help: [
    "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17z",
    "M9.8 9.8a2.3 2.3 0 1 1 3.3 2.1c-.7.3-1.1.8-1.1 1.6",
    "M12 16.3v.1",
  ],
  back: ["M14 6l-6 6 6 6"],
  forth: ["M10 6l6 6-6 6"],
  open: ["M7 10l5 5 5-5"],
  down: ["M12 5v14", "M6 13l6 6 6-6"],
  close: ["M6 6l12 12", "M18 6L6 18"],
} as const;

export type IconName = keyof typeof ICONS;

export function icon(name: IconName): SVGSVGElement {
  return svg("0 0 24 24", "icon", ICONS[name]);
}

/** Two voices and the ground that they share: one shape, turned half round, and the overlap. */
export function mark(): SVGSVGElement {
  return svg("0 0 32 32", "mark", [
    "M2 20V8a6 6 0 0 1 6-6h6a6 6 0 0 1 6 6v6a6 6 0 0 1-6 6z",
    "M30 12v12a6 6 0 0 1-6 6h-6a6 6 0 0 1-6-6v-6a6 6 0 0 1 6-6z",
    "M12 20v-2a6 6 0 0 1 6-6h2v2a6 6 0 0 1-6 6z",
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
