/** TensorBoard imports this module into the frame of the tab and calls `render`. */

import uPlotStyles from "uplot/dist/uPlot.min.css";
import "./chart.ts";
import "./copy_link.ts";
import "./legend.ts";
import "./looking_glass.ts";
import "./page.ts";
import "./path_block.ts";
import "./path_charts.ts";
import "./row_strip.ts";
import "./rows_block.ts";
import "./save_menu.ts";
import "./scrubber.ts";
import "./sidebar.ts";
import "./story_block.ts";
import "./strip.ts";
import "./tile.ts";
import styles from "./styles.css";

export function render(): void {
  const style = document.createElement("style");
  style.textContent = uPlotStyles + styles;
  document.head.append(style);
  document.title = "LEAF";
  document.documentElement.lang = "en";
  document.body.replaceChildren(document.createElement("leaf-page"));
}
