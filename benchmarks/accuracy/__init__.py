"""Networks against each other on patient folds, each with the same time on the same machine."""
