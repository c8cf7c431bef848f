/** TensorBoard's side of the page: when it has read its logs again, and whether the tab is shown. */

interface Message {
  type: string;
  id: number;
  payload: unknown;
  error: string | null;
  isReply: boolean;
}

/**
 * Call `listener` whenever TensorBoard has reloaded its data.
 *
 * The host takes a `MessagePort`, on which both sides send JSON and answer each message.
 */
export function onDataReloaded(listener: () => void): void {
  const { port1, port2 } = new MessageChannel();
  port1.addEventListener("message", (event: MessageEvent<string>) => {
    const message = JSON.parse(event.data) as Message;
    if (message.isReply) return;
    if (message.type === "experimental.DataReloaded") listener();
    const reply: Message = { ...message, payload: null, error: null, isReply: true };
    port1.postMessage(JSON.stringify(reply));
  });
  port1.start();
  window.parent.postMessage("experimental.bootstrap", "*", [port2]);
}

/** A tab that is not shown keeps its frame, at height 0. */
export function isShown(): boolean {
  return window.innerHeight > 0 && document.visibilityState === "visible";
}

/** Call `listener` each time that the tab, or the browser's, comes into view. */
export function onShown(listener: () => void): void {
  let shown = isShown();
  const check = () => {
    const before = shown;
    shown = isShown();
    if (shown && !before) listener();
  };
  window.addEventListener("resize", check);
  document.addEventListener("visibilitychange", check);
}
