"""The state, the processes and the strategy of a trainer."""
