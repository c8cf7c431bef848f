/** Tables as comma-separated values (RFC 4180). */

export type Cell = string | number | null;

export function toCsv(rows: Iterable<readonly Cell[]>): string {
  let table = "";
  for (const row of rows) table += `${row.map(field).join(",")}\r\n`;
  return table;
}

function field(cell: Cell): string {
  if (typeof cell !== "string") return cell === null ? "" : String(cell);
  const text = escapeFormula(cell);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/**
 * Write an apostrophe before each sign with which a spreadsheet could begin a formula.
 *
 * Depending on its settings, a spreadsheet splits lines at other characters than commas, and treats
 * quotes there as letters. Any part of a text may then be the beginning of a cell.
 */
function escapeFormula(text: string): string {
  // The sign is optional: a pattern that could fail after the spaces would take quadratic time.
  const escaped = text.replace(
    /((?:^|[,;|\t\r\n])[,;|\s"']*)([=+\-@＝＋－＠]?)/gu,
    (_, before, sign) => (sign ? `${before}'${sign}` : before),
  );
  return /^[\t\r\n]/.test(text) ? `'${escaped}` : escaped;
}
