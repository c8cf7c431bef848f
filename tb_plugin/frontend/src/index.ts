/** Entry point: TensorBoard imports this module into the iframe of the tab and calls `render`. */

import uPlotStyles from "uplot/dist/uPlot.min.css";
import chartStyles from "./charts/charts.css";
import "./charts/chart.ts";
import frameStyles from "./frames/frames.css";
import "./frames/tile.ts";
import pageStyles from "./page/page.css";
import "./page/page.ts";
import sidebarStyles from "./page/sidebar.css";
import "./page/sidebar.ts";
import "./path/block.ts";
import "./path/charts.ts";
import "./path/legend.ts";
import "./path/magnifier.ts";
import pathStyles from "./path/path.css";
import "./path/scrubber.ts";
import "./path/strip.ts";
import "./rows/block.ts";
import "./rows/row.ts";
import rowStyles from "./rows/rows.css";
import "./save/copy_link.ts";
import "./save/menu.ts";
import saveStyles from "./save/save.css";
import "./targets/block.ts";
import targetStyles from "./targets/targets.css";
import baseStyles from "./theme/base.css";
import "./training/block.ts";
import trainingStyles from "./training/training.css";

const STYLES = [
  uPlotStyles,
  baseStyles,
  saveStyles,
  chartStyles,
  frameStyles,
  pathStyles,
  targetStyles,
  rowStyles,
  trainingStyles,
  pageStyles,
  sidebarStyles,
];

export function render(): void {
  const style = document.createElement("style");
  style.textContent = STYLES.join("\n");
  document.head.append(style);
  document.title = "LEAF";
  document.documentElement.lang = "en";
  document.body.replaceChildren(document.createElement("leaf-page"));
}
