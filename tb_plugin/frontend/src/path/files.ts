/** The files that a path can be saved to. */

import type { Cursor } from "../cursor/cursor.ts";
import type { LoadedPath } from "../data/path_store.ts";
import { fileName, type SavedFile, textFile } from "../save/files.ts";
import { listName } from "../text/labels.ts";
import type { Colours } from "../theme/colours.ts";
import type { Opened } from "../view/view.ts";
import { pathAnimation } from "./animation.ts";
import { stripPicture } from "./strip_picture.ts";
import { pathCsv, pathJson } from "./tables.ts";

/** The name of a file: run, name of the snapshot, step, source and destination, content. */
export function pathFileName(
  { key, snapshot, path }: Opened,
  content: string,
  type: string,
): string {
  const { name, step } = snapshot;
  return fileName([key.run, name, `step-${step}`, listName(path), content].filter(Boolean), type);
}

/** Pictures show the zoomed range; tables contain the whole path. */
export function pathFiles(
  opened: Opened,
  loaded: LoadedPath,
  cursor: Cursor,
  colours: () => Colours,
  dark: boolean,
): SavedFile[] {
  return [
    {
      label: "Strip as PNG",
      name: pathFileName(opened, "strip", "png"),
      content: () => keeping(loaded, () => stripPicture(opened, loaded, cursor, colours(), dark)),
    },
    {
      label: "Animation as GIF",
      name: pathFileName(opened, "", "gif"),
      content: () => keeping(loaded, () => pathAnimation(opened, loaded, cursor, colours())),
    },
    curvesFile(opened, loaded),
    {
      label: "Curves as JSON",
      name: pathFileName(opened, "curves", "json"),
      content: () => textFile(pathJson(opened, loaded.path), "application/json"),
    },
  ];
}

/** Keep the images of a path until they are drawn, also if another path is opened meanwhile. */
async function keeping({ sheet }: LoadedPath, draw: () => Promise<Blob>): Promise<Blob> {
  sheet?.retain();
  try {
    return await draw();
  } finally {
    sheet?.release();
  }
}

export function curvesFile(opened: Opened, { path }: LoadedPath): SavedFile {
  return {
    label: "Curves as CSV",
    name: pathFileName(opened, "curves", "csv"),
    content: () => textFile(pathCsv(path, opened.snapshot.kind), "text/csv"),
  };
}
