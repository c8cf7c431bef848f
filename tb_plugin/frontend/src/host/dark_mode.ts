/** Whether TensorBoard, or else the system, is in dark mode. */

const DARK = "dark-mode";

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
