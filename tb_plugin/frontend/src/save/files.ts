/** Names and downloads of saved files. */

export interface SavedFile {
  /** The entry in the menu. */
  label: string;
  name: string;
  content: () => Blob | Promise<Blob>;
}

const MAX_PART_LENGTH = 48;
const MAX_BYTES = 200;

/** "leaf_digits-sgd_step-3000_4-to-9.csv". The parts may contain any characters. */
export function fileName(parts: readonly string[], extension: string): string {
  let stem = ["leaf", ...parts].map(sanitised).filter(Boolean).join("_");
  while (new TextEncoder().encode(stem).length > MAX_BYTES) stem = [...stem].slice(0, -1).join("");
  return `${stem}.${extension}`;
}

/** Keep letters and digits of any script, "." and "_"; replace other characters by "-". */
function sanitised(text: string): string {
  const named = text.normalize("NFC").replaceAll("→", "to");
  const dashed = named.replace(/[^\p{L}\p{M}\p{N}._]+/gu, "-");
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
  // The browser may not have started to read the file.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
