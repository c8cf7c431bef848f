/** Touch input that moves across frames. */

/**
 * Release the implicit pointer capture of a touch.
 *
 * Browsers send all moves of a touch to the element where it began. After the release, they send
 * them to the element under the finger.
 */
export function releaseTouchCapture({ target, pointerId }: PointerEvent): void {
  const touched = target as Element;
  if (touched.hasPointerCapture(pointerId)) touched.releasePointerCapture(pointerId);
}
