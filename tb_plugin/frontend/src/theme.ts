/** Whether TensorBoard, or else the system, is in dark mode. */

const DARK = "dark-mode";

/** The font of what is drawn on canvases. */
export const FONT = "Roboto, system-ui, sans-serif";

const COLOURS = [
  "surface",
  "text",
  "text-quiet",
  "line",
  "grid",
  "accent",
  "cursor",
  "good",
  "partial",
  "bad",
] as const;

/** The colours of the page that drawings use, named as in its style sheet. */
export type Colours = Record<(typeof COLOURS)[number], string>;

/** Those that hold at an element now. */
export function cssColours(element: Element): Colours {
  const style = getComputedStyle(element);
  const entries = COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]);
  return Object.fromEntries(entries) as Colours;
}

/** The page that shows this frame; null where it may not be read, as in some notebooks. */
function hostBody(): HTMLElement | null {
  try {
    return window.parent === window ? null : window.parent.document.body;
  } catch {
    return null;
  }
}

/** Call `listener` now and whenever the mode changes. */
export function watchDarkMode(listener: (dark: boolean) => void): void {
  const host = hostBody();
  const media = window.matchMedia("(prefers-color-scheme: dark)");
  const tell = () => listener(host ? host.classList.contains(DARK) : media.matches);
  if (host) {
    new MutationObserver(tell).observe(host, { attributes: true, attributeFilter: ["class"] });
  } else {
    media.addEventListener("change", tell);
  }
  tell();
}
