/** Places the labels of horizontal lines where they cover no curve. */

/** A polyline in pixels with increasing x. */
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

/** The first box that no polyline crosses, or else the box that contains the fewest points. */
export function leastCoveredBox(
  boxes: readonly Box[],
  polylines: readonly Polyline[],
): Box | undefined {
  const crossings = boxes.map((box) =>
    sum(polylines.map((polyline) => pointsInside(polyline, box))),
  );
  const fewest = crossings.reduce((least, count) => Math.min(least, count), Infinity);
  return boxes[crossings.indexOf(fewest)];
}

function pointsInside({ xs, ys }: Polyline, { left, right, top, bottom }: Box): number {
  let inside = 0;
  for (let i = 0; i < xs.length; i++) {
    const x = xs[i] ?? NaN;
    const y = ys[i] ?? NaN;
    // A segment may cross the box although both of its ends are outside.
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
