/**
 * Whether it is in the clipboard now.
 *
 * By the old way alone: pages without HTTPS have no other, and in the frame of a notebook browsers
 * complain of whoever tries `navigator.clipboard`.
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
