/** Events of TensorBoard: data was reloaded, the tab was shown. */

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
 * The host receives a `MessagePort`. Both sides send JSON on it and reply to each message.
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

/** Whether the tab is shown. TensorBoard keeps the iframe of a hidden tab with height 0. */
export function isShown(): boolean {
  return window.innerHeight > 0 && document.visibilityState === "visible";
}

/** Call `listener` whenever the tab, or the tab of the browser, becomes visible. */
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
