/** Files that a person takes away: their names, and how they leave the browser. */

export interface SavedFile {
  /** What it is, in a word or two. */
  label: string;
  name: string;
  content: () => Blob | Promise<Blob>;
}

const MAX_PART_LENGTH = 48;
const MAX_BYTES = 200;

/** "leaf_digits-sgd_step-3000_4-to-9.csv": of parts that may hold anything. */
export function fileName(parts: readonly string[], extension: string): string {
  let stem = ["leaf", ...parts].map(sanitised).filter(Boolean).join("_");
  while (new TextEncoder().encode(stem).length > MAX_BYTES) stem = [...stem].slice(0, -1).join("");
  return `${stem}.${extension}`;
}

/** Letters, digits, points and underscores of any script; whatever is between them is a dash. */
function sanitised(text: string): string {
  const words = text.normalize("NFC").replaceAll("→", "to");
  const dashed = words.replace(/[^\p{L}\p{M}\p{N}._]+/gu, "-");
  return [...dashed.replace(/^[-.]+/, "")]
    .slice(0, MAX_PART_LENGTH)
    .join("")
    .replace(/[-.]+$/, "");
}

export function textFile(text: string, type: string): Blob {
  return new Blob([text], { type: `${type};charset=utf-8` });
}

export async function download({ name, content }: SavedFile): Promise<void> {
  const url = URL.createObjectURL(await content());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser may not have begun to read it.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
