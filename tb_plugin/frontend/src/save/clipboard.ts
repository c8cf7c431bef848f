/**
 * Copy text to the clipboard and return whether that succeeded.
 *
 * Uses `execCommand`, because `navigator.clipboard` is missing on pages without HTTPS, and browsers
 * log an error if it is used in the iframe of a notebook.
 */
export function copyText(text: string): boolean {
  const before = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (before instanceof HTMLElement) before.focus();
  return isCopied;
}
