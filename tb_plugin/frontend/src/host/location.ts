/**
 * Keeps the view in the address of TensorBoard, where a reload and a link find it again.
 *
 * TensorBoard leaves alone what is named `p.<plugin>.<key>` there. Where the host's page may not be
 * touched, as in some notebooks, the view stays in the address of this frame.
 */

const PREFIX = "p.leaf.";
const PLUGIN = "leaf";

/** The fragment written last; empty at the first visit. */
export function readFragment(): string {
  const host = hostWindow();
  return host ? fromHostHash(host.location.hash) : location.hash.replace(/^#/, "");
}

/** Write `fragment`, with or without a step in the browser's history. */
export function writeFragment(fragment: string, isStep: boolean): void {
  // Another tab of TensorBoard may have taken over the address meanwhile.
  if (!isActiveTab()) return;
  const { history, url } = target(fragment);
  if (isStep) history.pushState(history.state, "", url);
  else history.replaceState(history.state, "", url);
}

/** The address that a person can give away. */
export function linkTo(fragment: string): string {
  return target(fragment).url;
}

/** Call `listener` whenever the browser has gone back or forth to another view. */
export function onHistoryNavigation(listener: () => void): void {
  const revisited = () => {
    if (isActiveTab()) listener();
  };
  const at = hostWindow() ?? window;
  at.addEventListener("popstate", revisited);
  // The host may outlive this frame. A persisted page comes back as it was.
  window.addEventListener("pagehide", ({ persisted }) => {
    if (!persisted) at.removeEventListener("popstate", revisited);
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
    // PointValues it throws if the host is of another origin.
    return window.parent !== window && window.parent.location.hash !== undefined
      ? window.parent
      : null;
  } catch {
    return null;
  }
}
