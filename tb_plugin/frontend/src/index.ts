/** TensorBoard imports this module into the frame of the tab and calls `render`. */
export function render(): void {
  document.body.textContent = "Loading…";
}
