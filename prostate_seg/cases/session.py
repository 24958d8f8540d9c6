"""A session: a volume is segmented once, and every hint is answered from what the network said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from scipy.special import expit, logit

from ..assessment.assessor import Assessment
from ..assessment.rays import cast_rays, sphere
from ..correction.kriging import NOTHING_KNOWN, Known
from ..correction.maps import hint_maps
from ..correction.moved import Gland, Places, moved
from ..correction.obeyed import obey
from ..correction.placed import Placed, placed
from ..correction.places import places_of
from ..correction.suggest import Suggestion, best_ray
from ..errors import SettingsError
from ..evaluation.metrics.surface import surface_distances
from ..geometry.extent import bounding_box
from ..geometry.hints import Hint, Hints
from ..geometry.slices import transverse_of
from ..geometry.volume import Array, Segmentation, Volume, reindexed
from ..inference.hint_network import HintNetwork
from ..inference.predictor import Predictor
from ..inference.resampling import resample_axes
from ..inference.transforms import seen_in

NOTHING = 1e-4  # probability of a voxel that is not resampled
CERTAIN = 1e-4  # least probability that hints can change
MOST_GAP_MM = 3.0  # distance of slices beyond which planes only cut: known to a slice, they say too little
MEASURED_MM = 0.5
UNSCORED = "the score is fitted for masks without hints"
UNKNOWN = "spread, disagreement and repair are those of the mask without hints"


@dataclass(frozen=True, eq=False)
class Corrected:
    """A segmentation that obeys hints.

    Attributes
    ----------
    segmentation
        Mask and probability on the volume's grid.
    probability
        Probability (I', J', K') on the network's grid, before the last voxels obeyed.
    known
        Directions in which the hints say where the boundary is.
    answered
        Whether the network of hints was asked.
    """

    segmentation: Segmentation
    probability: Array
    known: Known
    answered: bool = False


class Session:
    """Correction of one volume by hints.

    The CTV's network runs once. If the bundle has a network of hints, it says how points, scribbles and planes
    change the probability; kriging then moves the boundary to the points. An answer takes less than a second.

    Parameters
    ----------
    volume
        Volume to segment.
    predictor
        Predictor of :func:`prostate_seg.load_bundle`, with a shape model.
    hints
        First hints.

    Attributes
    ----------
    network
        The bundle's network of hints; None if it has none.

    Raises
    ------
    GeometryError
        The hints do not fit the volume, or two contradict each other.
    SettingsError
        The predictor has no shape model.
    """

    def __init__(self, volume: Volume, predictor: Predictor, hints: Hints | None = None) -> None:
        if predictor.assessor is None:
            raise SettingsError("A session needs a predictor with a shape model; use prostate_seg.load_bundle().")
        self.volume, self.predictor = volume, predictor
        self.model = predictor.assessor.model
        self._log_odds: Array | None = None  # of that network without hints
        self.prediction = predictor.predict(volume)
        self.network = predictor.hint_network
        if self.network is not None and not self.network.fits(self.prediction.spacing_mm):
            self.network = None
        self._gland = Gland.of(self.prediction.probability, self.prediction.spacing_mm)
        self.hints = Hints(image_sha256=volume.source.sha256)
        self.current = self._uncorrected
        if hints is not None:
            self._set(replace(hints, image_sha256=hints.image_sha256 or volume.source.sha256))

    @property
    def segmentation(self) -> Segmentation:
        """The mask that obeys all hints; without hints exactly that of ``segment``."""
        return self.current.segmentation

    def add(self, *hints: Hint) -> Segmentation:
        """Add hints and return the new segmentation. If GeometryError is raised, nothing has changed."""
        return self._set(self.hints.added(hints))

    def undo(self) -> Segmentation:
        """Remove the last hint and return the segmentation without it."""
        return self._set(self.hints.undone())

    def clear(self) -> Segmentation:
        """Remove all hints and return the segmentation without them."""
        return self._set(replace(self.hints, items=()))

    def restart(self, hints: Hints) -> Segmentation:
        """Replace all hints and return the segmentation that obeys them."""
        return self._set(hints)

    def finished(self) -> Segmentation:
        """Return the segmentation with its further structures and things found anew inside the corrected mask."""
        further, image = self.predictor.further, self.prediction.image
        if further is None or not self.hints.items:
            return self.segmentation
        bare = replace(self.segmentation, structures={}, things=(), phantom_trained=(), meanings={})
        batch = image.as_tensor()[None].to(self.predictor.device)  # (1, 1, I', J', K')
        return further(bare, batch, image, self.volume)

    def _set(self, hints: Hints) -> Segmentation:
        self.current = self._corrected(placed(hints, self.volume)) if hints.items else self._uncorrected
        self.hints = hints
        return self.segmentation

    @cached_property
    def _uncorrected(self) -> Corrected:
        found = self.prediction
        return Corrected(found.segmentation, found.probability, NOTHING_KNOWN)

    def _corrected(self, on_grid: Placed) -> Corrected:
        found, affine = self.prediction, np.asarray(self.volume.affine)
        grid_affine = np.asarray(found.image.affine)
        places = places_of(on_grid, affine, grid_affine)
        gland = self._gland
        bare = replace(on_grid, contours={})  # a contour must not change slices far from it
        if places.gap_mm > MOST_GAP_MM:
            bare, places = replace(bare, ends={}), replace(places, below=None, above=None)
        answered = self.network is not None and bare.any()
        if self.network is not None and answered:
            asked = places_of(bare, affine, grid_affine)
            gland = Gland.of(self._answered(self.network, asked), found.spacing_mm) or gland
            if bare.ends:
                places = replace(places, below=None, above=None)  # kriging would move the ends once more
        gland = gland or self._guessed([*places.boundary, *places.inside])
        field, known = moved(gland, places) if gland else (found.probability, NOTHING_KNOWN)
        field = np.where(seen_in(found.image), field, np.minimum(field, found.probability))
        probability = obey(_on_grid(field, grid_affine, self.volume), on_grid, self.volume.spacing_mm)
        labels = (probability >= 0.5).astype(np.uint8)
        mask = replace(found.segmentation, labels=labels, probability=probability)
        return Corrected(mask, field, known, answered)

    def _answered(self, network: HintNetwork, places: Places) -> Array:
        """Return the probability on the network's grid as the network of hints changes it."""
        found = self.prediction
        shape, spacing = found.probability.shape, found.spacing_mm
        if self._log_odds is None:
            self._log_odds = network.log_odds(found.image, hint_maps(Places(), shape, spacing))
        change = network.log_odds(found.image, hint_maps(places, shape, spacing)) - self._log_odds
        return np.asarray(expit(logit(found.probability.clip(CERTAIN, 1 - CERTAIN)) + change), np.float32)

    def _guessed(self, points: Sequence[Array]) -> Gland | None:
        """Return a mean gland around the hints if the network found none."""
        if not points:
            return None
        shape, spacing = self.prediction.probability.shape, self.prediction.spacing_mm
        return Gland.guessed(shape, spacing, self.model, np.mean(points, axis=0))

    def suggest(self) -> Suggestion | None:
        """Return where a point on the boundary would help most; None if no boundary lies inside the image."""
        spacing, affine = self.prediction.spacing_mm, np.asarray(self.prediction.image.affine)
        rays = cast_rays(self.current.probability, spacing, seen=seen_in(self.prediction.image))
        if rays is None or not rays.inside.any():
            return None
        ray, gain = best_ray(rays, self.current.known)
        at = (rays.centre_mm + sphere()[ray] * rays.radii_mm[ray]) / spacing
        place = affine[:3, :3] @ at + affine[:3, 3]
        slices = transverse_of(self.volume.array.shape, self.volume.affine, self.volume.orientation)
        inverse = np.linalg.inv(self.volume.affine)
        k = float((inverse[:3, :3] @ place + inverse[:3, 3])[slices.axis])
        x, y, z = map(float, place)
        return Suggestion((x, y, z), slices.number(int(np.clip(np.rint(k), 0, slices.count - 1))), gain)

    @property
    def moved_mm(self) -> tuple[float, float]:
        """How far the hints moved the surface of the mask, in mm: mean and largest.

        It is measured on voxels of about half a millimetre, or larger ones of the image. An empty mask counts as
        the voxel in the middle of the other one.
        """
        steps = [max(1, int(MEASURED_MM / mm)) for mm in self.volume.spacing_mm]
        thin = tuple(slice(None, None, step) for step in steps)
        before, after = self.prediction.segmentation.mask()[thin], self.segmentation.mask()[thin]
        if before.any() != after.any():
            before, after = before | after, _middle_of(before | after)
        spacing_mm = [mm * step for mm, step in zip(self.volume.spacing_mm, steps, strict=True)]
        apart = surface_distances(before, after, spacing_mm)
        return apart.assd_mm, apart.hd_mm

    def assessment(self) -> Assessment | None:
        """Return the assessment of the corrected mask.

        It has no score, which is fitted for masks without hints, and no spread, disagreement or repair.
        """
        if not self.hints.items or self.predictor.assessor is None:
            return self._first_assessment
        found, probability = self.prediction, self.segmentation.probability
        affine, shape = np.asarray(found.image.affine), found.probability.shape
        final = resample_axes(torch.as_tensor(probability), np.asarray(self.volume.affine), affine, shape).numpy()
        unscored = replace(self.predictor.assessor, score=None, unscored=UNSCORED)
        first = self._first_assessment
        assessed = unscored.assess(
            final,
            found.passes,
            found.spacing_mm,
            unrepaired=final,
            kinds=first.kinds if first else None,
            seen=seen_in(found.image),
        )
        return assessed.without_passes(UNKNOWN)

    @cached_property
    def _first_assessment(self) -> Assessment | None:
        return self.predictor.assessment_of(self.volume, self.prediction)


def _middle_of(mask: Array) -> Array:
    """Return a mask (I, J, K) of the voxel in the middle of another one."""
    middle = np.zeros_like(mask)
    middle[tuple(np.rint(np.argwhere(mask).mean(axis=0)).astype(int))] = True
    return middle


def _on_grid(field: Array, affine: Array, volume: Volume) -> Array:
    """Resample a probability on the network's grid to a volume's grid. Only where it is not 0 it takes time."""
    result = np.zeros(volume.array.shape, np.float32)
    box = np.array([(part.start - 1, part.stop) for part in bounding_box(field > NOTHING)])  # (3, 2)
    corners = np.array(np.meshgrid(*box, indexing="ij")).reshape(3, -1)
    index = np.linalg.inv(volume.affine) @ affine
    there = index[:3, :3] @ corners + index[:3, 3:]
    low = np.clip(np.floor(there.min(axis=1)), 0, None).astype(int)
    high = np.clip(np.ceil(there.max(axis=1)) + 1, None, result.shape).astype(int)
    if (high <= low).any():
        return result
    part = resample_axes(
        torch.as_tensor(field), affine, reindexed(volume.affine, shift=low), tuple((high - low).tolist())
    )
    result[tuple(map(slice, low, high))] = part.numpy()
    return result
