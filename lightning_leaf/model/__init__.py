"""Any model as a classifier, and measuring it without leaving a trace."""
