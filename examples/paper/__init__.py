"""The experiments of Grementieri & Fioresi, "Model-centric data manifold", one module each."""
