/** Rows with fewer or more frames than others are stretched to the same columns. */
export function frameInColumn(column: number, columns: number, frames: number): number {
  return columns > 1 ? Math.round((column * (frames - 1)) / (columns - 1)) : 0;
}
