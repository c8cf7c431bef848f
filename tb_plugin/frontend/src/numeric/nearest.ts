/** Index of the value nearest to `target` in an increasing list; the first one on a tie. */
export function nearest(sorted: readonly number[], target: number): number {
  let low = 0;
  let high = sorted.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? Infinity) < target) low = middle + 1;
    else high = middle;
  }
  const after = sorted[low] ?? Infinity;
  const before = sorted[low - 1];
  return before !== undefined && target - before <= after - target ? low - 1 : low;
}
