/** Observes the dark mode of TensorBoard, or of the system in notebooks. */

const DARK = "dark-mode";

/** The page of the host; null if it cannot be accessed, as in some notebooks. */
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
  const notify = () => listener(host ? host.classList.contains(DARK) : media.matches);
  if (host) {
    new MutationObserver(notify).observe(host, { attributes: true, attributeFilter: ["class"] });
  } else {
    media.addEventListener("change", notify);
  }
  notify();
}
