"""Any model as a classifier, measured without a change of its state."""
