/**
 * Keeps the view in the address of TensorBoard, where a reload and a link find it again.
 *
 * TensorBoard leaves alone what is named `p.<plugin>.<key>` there. Where the host's page may not be
 * touched, as in some notebooks, the view stays in the address of this frame.
 */

const PREFIX = "p.leaf.";
const PLUGIN = "leaf";

/** The fragment written last; empty at the first visit. */
export function readPlace(): string {
  const own = location.hash.replace(/^#/, "");
  return own || ofHost(hostWindow()?.location.hash ?? "");
}

/** Write `fragment`, without a step in the browser's history. */
export function writePlace(fragment: string): void {
  history.replaceState(history.state, "", `#${fragment}`);
  const host = hostWindow();
  // Another tab of TensorBoard may have taken over the address meanwhile.
  if (!host || tabOf(host.location.hash) !== PLUGIN) return;
  host.history.replaceState(host.history.state, "", `#${forHost(fragment)}`);
}

/** "run=a&tag=b" → "leaf&p.leaf.run=a&p.leaf.tag=b". */
export function forHost(fragment: string): string {
  const parts = fragment.split("&").filter(Boolean);
  return [PLUGIN, ...parts.map((part) => PREFIX + part)].join("&");
}

/** "#leaf&p.leaf.run=a&p.leaf.tag=b" → "run=a&tag=b". */
export function ofHost(hash: string): string {
  const parts = hash.replace(/^#/, "").split("&");
  return parts
    .filter((part) => part.startsWith(PREFIX))
    .map((part) => part.slice(PREFIX.length))
    .join("&");
}

function tabOf(hash: string): string {
  return hash.replace(/^#/, "").split("&")[0] ?? "";
}

function hostWindow(): Window | null {
  try {
    // Reading it throws if the host is of another origin.
    return window.parent !== window && window.parent.location.hash !== undefined
      ? window.parent
      : null;
  } catch {
    return null;
  }
}
