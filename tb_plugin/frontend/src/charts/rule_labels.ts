/** Where the label of a horizontal line covers no curve. */

/** A polyline in pixels: x increasing. */
export interface Polyline {
  xs: number[];
  ys: (number | null)[];
}

export interface Box {
  left: number;
  right: number;
  top: number;
  bottom: number;
}

/** Of several boxes, the first that no polyline crosses; else the one with the fewest points in it. */
export function leastCoveredBox(
  boxes: readonly Box[],
  polylines: readonly Polyline[],
): Box | undefined {
  const crossings = boxes.map((box) =>
    sum(polylines.map((polyline) => pointsInside(polyline, box))),
  );
  return boxes[crossings.indexOf(Math.min(...crossings))];
}

function pointsInside({ xs, ys }: Polyline, { left, right, top, bottom }: Box): number {
  let inside = 0;
  for (let i = 0; i < xs.length; i++) {
    const x = xs[i] ?? NaN;
    const y = ys[i] ?? NaN;
    // A line that jumps over the box from one point to the next crosses it as well.
    const nextX = xs[i + 1] ?? x;
    const nextY = ys[i + 1] ?? y;
    const overlapsX = x <= right && nextX >= left;
    const overlapsY = Math.min(y, nextY) <= bottom && Math.max(y, nextY) >= top;
    if (overlapsX && overlapsY) inside += 1;
  }
  return inside;
}

function sum(values: number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
