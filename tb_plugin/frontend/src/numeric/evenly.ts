/** At most `limit` whole numbers from `first` to `last`: all, or else evenly spaced with both ends. */
export function evenly(first: number, last: number, limit: number): number[] {
  const count = Math.max(last - first + 1, 0);
  if (count <= limit) return Array.from({ length: count }, (_, i) => first + i);
  return Array.from({ length: limit }, (_, i) =>
    Math.round(first + (i * (count - 1)) / Math.max(limit - 1, 1)),
  );
}
