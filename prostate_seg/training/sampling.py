"""Hard-example sampling: groups of similar cases with large errors are drawn more often.

The method follows Karimi et al. 2019: cases are clustered by features, and clusters with larger errors get a larger
share. The paper does not define the following details. Our features are the means of the encoder's tokens. Our
error is HD95 in mm. The weight of a case is ``(1 - share) + share · E / mean E``, with E the mean error of its
cluster. The largest weight is at most four times the smallest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from scipy.cluster.vq import kmeans2

from ..errors import SettingsError
from ..evaluation.metrics import diagonal_mm, evaluate_masks
from .data import EpochSampler, SeededDataset

CAP = 4.0
CLUSTERS = 20
COMPONENTS = 32


def clusters_of(features: np.ndarray, count: int = CLUSTERS, seed: int = 0) -> np.ndarray:
    """Return the cluster numbers (n,) of features (n, D), by k-means on their first 32 principal components.

    There are at most ``count`` clusters. Equal seeds give equal clusters.
    """
    count = min(count, len(features))
    centred = features - features.mean(axis=0)
    left, scale, _ = np.linalg.svd(centred, full_matrices=False)
    components = (left * scale)[:, :COMPONENTS]
    _, labels = kmeans2(components, count, minit="++", seed=np.random.default_rng(seed))
    return np.asarray(labels)


def sampling_weights(errors: Sequence[float] | np.ndarray, clusters: np.ndarray, share: float) -> np.ndarray:
    """Return the probabilities (n,) of drawing each case, larger for clusters with larger errors.

    The largest probability is at most 4 times the smallest.

    Parameters
    ----------
    errors
        Finite errors (n,) in mm.
    clusters
        Integers (n,), the cluster of each case.
    share
        Influence of the errors, 0 to 1. With 0 all cases have the same probability.
    """
    if not 0 <= share <= 1:
        raise SettingsError(f"The share of hard examples is between 0 and 1, got {share}.")
    errors = np.asarray(errors, float)
    _, member = np.unique(clusters, return_inverse=True)
    of_cluster = np.bincount(member, errors) / np.bincount(member)
    mean = errors.mean()
    weights = (1 - share) + share * (of_cluster[member] / mean if mean > 0 else np.ones(len(errors)))
    weights = np.maximum(weights, weights.max() / CAP)
    return np.asarray(weights / weights.sum())


class HardExampleSampler(EpochSampler):
    """Sampler that draws cases with replacement, with probabilities ``weights``.

    An epoch has as many draws as there are cases. If ``weights`` is None, this is an :class:`EpochSampler`.
    """

    def __init__(self, dataset: Sequence[Any], seed: int = 0) -> None:
        super().__init__(dataset, seed)
        self.weights: np.ndarray | None = None

    def _order(self) -> np.ndarray:
        if self.weights is None:
            return super()._order()
        return np.random.default_rng((self.seed, self.epoch)).choice(self.length, self.length, p=self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the weights, so that a run can be resumed."""
        return {"weights": None if self.weights is None else self.weights.tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the weights."""
        self.weights = None if state["weights"] is None else np.array(state["weights"])


class HardExamples:
    """Handler for a trainer that computes new weights for the sampler every ``interval`` epochs.

    The weights are computed from all training cases.

    Parameters
    ----------
    share
        Influence of the errors, 0 to 1. With 0 the handler does nothing.
    sampler
        Sampler that gets the weights.
    dataset
        Training cases.
    network
        Network for which errors and ``features`` are computed.
    inferer
        Computes the probabilities of the network.
    interval
        Number of epochs between two computations.
    """

    def __init__(
        self,
        *,
        share: float,
        sampler: HardExampleSampler,
        dataset: SeededDataset,
        network: torch.nn.Module,
        inferer: Callable[..., torch.Tensor],
        interval: int = 5,
    ) -> None:
        if not 0 <= share <= 1:
            raise SettingsError(f"The share of hard examples is between 0 and 1, got {share}.")
        self.share, self.sampler, self.dataset, self.interval = share, sampler, dataset, interval
        self.network, self.inferer = network, inferer

    def attach(self, engine: Engine) -> None:
        """Attach the handler to a trainer."""
        if self.share > 0:
            engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self.look)

    def look(self, engine: Engine) -> None:
        """Compute new weights with the current state of the network."""
        training = self.network.training
        self.network.eval()
        cases, index = self.dataset.distinct()
        features, errors = zip(*(self._seen(case, engine.state.device) for case in cases), strict=True)
        self.network.train(training)
        clusters = clusters_of(np.stack(features))
        known = np.where(
            np.isnan(errors), np.nanmean(errors), errors
        )  # a case without a label of the CTV is average
        self.sampler.weights = sampling_weights(known[index], clusters[index], self.share)

    def _seen(self, sample: dict[Any, Any], device: torch.device) -> tuple[np.ndarray, float]:
        image = sample["image"].as_tensor()[None].to(device)
        with torch.inference_mode():
            mask = self.inferer(image, self.network)[0, 1].cpu().numpy() >= 0.5
            features = self.network.features(image)[0].float().cpu().numpy()  # type: ignore[operator]
        unlabelled = bool(sample["label"][0].min() < 0)
        return features, float("nan") if unlabelled else error_mm(mask, sample["label"])


def error_mm(mask: np.ndarray, label: Any) -> float:
    """Return the HD95 in mm of a mask (I, J, K) against a label, a MetaTensor (1, I, J, K).

    The result is the diagonal of the grid if HD95 is not finite, for example if one of the two is empty.
    """
    truth = label[0].cpu().numpy() > 0.5
    spacing = tuple(float(side) for side in label.pixdim)
    hd95 = evaluate_masks(mask, truth, spacing).hd95_mm
    return float(hd95) if np.isfinite(hd95) else diagonal_mm(truth.shape, spacing)
