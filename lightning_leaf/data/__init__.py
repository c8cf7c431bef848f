"""From data sets and data loaders to labelled inputs."""
