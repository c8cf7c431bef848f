/** Fingers that are dragged over frames. */

/** A browser tells the element that a finger first touched of all its moves; tell those under it. */
export function releaseTouchCapture({ target, pointerId }: PointerEvent): void {
  const touched = target as Element;
  if (touched.hasPointerCapture(pointerId)) touched.releasePointerCapture(pointerId);
}
