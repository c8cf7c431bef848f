/** The colours and the font of the page, for drawings on canvases. */

/** The font of text on canvases. */
export const FONT = "Roboto, system-ui, sans-serif";

const COLOURS = [
  "surface",
  "text",
  "text-secondary",
  "line",
  "grid",
  "accent",
  "cursor",
  "good",
  "partial",
  "bad",
] as const;

/** The colours that drawings use, named as in the style sheet. */
export type Colours = Record<(typeof COLOURS)[number], string>;

/** Read the current colours at an element. */
export function cssColours(element: Element): Colours {
  const style = getComputedStyle(element);
  const entries = COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]);
  return Object.fromEntries(entries) as Colours;
}
