"""Effect prostate-seg of the Segment Editor."""
