/** Return the frame to show in a column, so that rows with different frame counts are aligned. */
export function frameInColumn(column: number, columns: number, frames: number): number {
  return columns > 1 ? Math.round((column * (frames - 1)) / (columns - 1)) : 0;
}
