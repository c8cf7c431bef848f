/**
 * Stores the view in the URL of TensorBoard, so that it survives a reload and can be linked to.
 *
 * TensorBoard does not change URL parameters named `p.<plugin>.<key>`. If the page of the host
 * cannot be accessed, as in some notebooks, the view is stored in the URL of this iframe.
 */

const PREFIX = "p.leaf.";
const PLUGIN = "leaf";
const MAX_LETTERS = 1_000_000;

/** The stored fragment; empty on the first visit. */
export function readFragment(): string {
  const host = hostWindow();
  return host ? fromHostHash(host.location.hash) : location.hash.replace(/^#/, "");
}

/** Store `fragment`, either as a new entry of the history or in the current entry. */
export function writeFragment(fragment: string, isNewEntry: boolean): void {
  // Another tab of TensorBoard may own the URL now. Browsers reject long URLs.
  if (!isActiveTab() || fragment.length > MAX_LETTERS) return;
  const { history, url } = target(fragment);
  if (isNewEntry) history.pushState(history.state, "", url);
  else history.replaceState(history.state, "", url);
}

/** A link to the view of `fragment`. */
export function linkTo(fragment: string): string {
  return target(fragment).url;
}

/** Call `listener` whenever the browser has gone back or forward to another view. */
export function onHistoryNavigation(listener: () => void): void {
  const navigated = () => {
    if (isActiveTab()) listener();
  };
  const at = hostWindow() ?? window;
  at.addEventListener("popstate", navigated);
  // The host may outlive this iframe. A persisted page is restored with its listeners.
  window.addEventListener("pagehide", ({ persisted }) => {
    if (!persisted) at.removeEventListener("popstate", navigated);
  });
}

/** "run=a&tag=b" → "leaf&p.leaf.run=a&p.leaf.tag=b". */
export function toHostHash(fragment: string): string {
  const parts = fragment.split("&").filter(Boolean);
  return [PLUGIN, ...parts.map((part) => PREFIX + part)].join("&");
}

/** "#leaf&p.leaf.run=a&p.leaf.tag=b" → "run=a&tag=b". */
export function fromHostHash(hash: string): string {
  const parts = hash.replace(/^#/, "").split("&");
  return parts
    .filter((part) => part.startsWith(PREFIX))
    .map((part) => part.slice(PREFIX.length))
    .join("&");
}

function target(fragment: string): { history: History; url: string } {
  const host = hostWindow();
  const { history, location } = host ?? window;
  const url = new URL(location.href);
  url.hash = host ? toHostHash(fragment) : fragment;
  return { history, url: url.href };
}

function isActiveTab(): boolean {
  const host = hostWindow();
  return !host || host.location.hash.replace(/^#/, "").split("&")[0] === PLUGIN;
}

function hostWindow(): Window | null {
  try {
    // Access throws if the host has another origin.
    return window.parent !== window && window.parent.location.hash !== undefined
      ? window.parent
      : null;
  } catch {
    return null;
  }
}
