/** What the page says while there is nothing to show. */

import { html } from "lit";

const CODE = `import lightning as L
from lightning_leaf import LocalDataMatrixMonitor, HorizontalPathSnapshot

trainer = L.Trainer(callbacks=[LocalDataMatrixMonitor(), HorizontalPathSnapshot()])
trainer.fit(model, datamodule)`;

export function emptyPage(): unknown {
  return html`<main class="notice" data-testid="empty">
    <h1>No LEAF data yet</h1>
    <p>
      This tab shows how a classifier sees its data while it trains: the trace and rank of its local
      data matrix, and paths along the data leaves. The log directory holds nothing of that kind.
    </p>
    <ol>
      <li>
        Install the callbacks:
        <pre><code>python -m pip install lightning-leaf</code></pre>
      </li>
      <li>
        Give two of them to the trainer of any Lightning classifier, and train:
        <pre><code>${CODE}</code></pre>
      </li>
      <li>
        Point TensorBoard to the logs:
        <pre><code>tensorboard --logdir lightning_logs</code></pre>
      </li>
    </ol>
    <p class="secondary">
      Training already? The page fills as soon as TensorBoard has read the first data; press its
      reload button to look again.
    </p>
  </main>`;
}

export function loadingPage(): unknown {
  return html`<main class="notice" data-testid="loading">
    <h1 class="visually-hidden">LEAF</h1>
    <p role="status">PointValues the log directory…</p>
  </main>`;
}

export function failedPage(message: string, retry: () => void): unknown {
  return html`<main class="notice" data-testid="failed">
    <h1>The LEAF tab has no answer from TensorBoard</h1>
    <p role="alert">${message}</p>
    <button type="button" @click=${retry}>Try again</button>
  </main>`;
}

/** Runs without a snapshot: there are curves of training alone. */
export function noPathsCard(): unknown {
  return html`<section class="card" data-testid="no-path">
    <div class="message">
      <p>
        No paths were taken. Add <code>HorizontalPathSnapshot()</code> or
        <code>OrthogonalWalkSnapshot()</code> to the trainer's callbacks.
      </p>
    </div>
  </section>`;
}
