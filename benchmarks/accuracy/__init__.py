"""Comparison of networks on patient folds, with equal training time on the same machine."""
