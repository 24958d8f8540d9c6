"""Benchmarks of ensembles, uncertainty and the shape model on patient folds."""
