/** Notices that are shown instead of data. */

import { html } from "lit";

const CODE = `import lightning as L
from lightning_leaf import LocalDataMatrixMonitor, PredictionPathSnapshot

trainer = L.Trainer(callbacks=[LocalDataMatrixMonitor(), PredictionPathSnapshot()])
trainer.fit(model, datamodule)`;

export function emptyPage(): unknown {
  return html`<main class="notice" data-testid="empty">
    <h1>No LEAF data yet</h1>
    <p>
      This tab shows the trace and the effective rank of the local data matrix of a classifier
      during training, and paths along its leaves. The log directory contains no such data.
    </p>
    <ol>
      <li>
        Install the callbacks:
        <pre><code>python -m pip install lightning-leaf</code></pre>
      </li>
      <li>
        Add two callbacks to the trainer of any Lightning classifier, and train:
        <pre><code>${CODE}</code></pre>
      </li>
      <li>
        Start TensorBoard on the logs:
        <pre><code>tensorboard --logdir lightning_logs</code></pre>
      </li>
    </ol>
    <p class="secondary">
      Is training already running? The page shows data as soon as TensorBoard has read the first
      of it. Press TensorBoard's reload button to check again.
    </p>
  </main>`;
}

export function loadingPage(): unknown {
  return html`<main class="notice" data-testid="loading">
    <h1 class="visually-hidden">LEAF</h1>
    <p role="status">Loading the log directory…</p>
  </main>`;
}

export function failedPage(message: string, retry: () => void): unknown {
  return html`<main class="notice" data-testid="failed">
    <h1>The data cannot be loaded</h1>
    <p role="alert">${message}</p>
    <button type="button" @click=${retry}>Try again</button>
  </main>`;
}

/** Shown for runs that have training curves but no snapshots. */
export function noPathsCard(): unknown {
  return html`<section class="card" data-testid="no-path">
    <div class="message">
      <p>
        No paths were logged. Add <code>PredictionPathSnapshot()</code>,
        <code>HorizontalPathSnapshot()</code> or <code>OrthogonalWalkSnapshot()</code> to the
        callbacks of the trainer.
      </p>
    </div>
  </section>`;
}
