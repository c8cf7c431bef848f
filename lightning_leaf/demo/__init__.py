"""A small training with the LEAF callbacks, which ``lightning-leaf demo`` runs."""
