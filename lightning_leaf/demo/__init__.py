"""A small training to look at: what ``lightning-leaf demo`` runs."""
