/** Runs before the first paint, so that a chosen theme never flashes the other one. */
import { showTheme, storedTheme } from "./theme.ts";

showTheme(storedTheme());
