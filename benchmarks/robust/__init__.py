"""Ensembles, uncertainty and the shape model on patient folds."""
