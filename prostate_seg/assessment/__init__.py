"""Trust in a mask, and the shape model.

The package estimates how far a segmentation can be trusted. Its statistical shape model repairs implausible masks.
"""
