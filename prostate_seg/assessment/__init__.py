"""Doubt, and the shape model.

How far a segmentation can be trusted, and the statistical shape model that repairs implausible masks.
"""
