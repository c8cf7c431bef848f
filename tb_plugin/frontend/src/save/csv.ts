/** Tables as comma-separated values (RFC 4180). */

export type Cell = string | number | null;

export function toCsv(rows: Iterable<readonly Cell[]>): string {
  return [...rows].map((row) => `${row.map(field).join(",")}\r\n`).join("");
}

function field(cell: Cell): string {
  if (typeof cell !== "string") return cell === null ? "" : String(cell);
  const text = escapeFormula(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Prefix texts that spreadsheets would evaluate as formulas with an apostrophe. */
function escapeFormula(text: string): string {
  return /^[=+\-@＝＋－＠\t\r\n]/u.test(text) ? `'${text}` : text;
}
