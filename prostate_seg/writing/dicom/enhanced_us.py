"""Geometry of an Enhanced US Volume: dimensions and functional groups (PS3.3 A.59, C.8.24.3)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pydicom import Dataset

from ...geometry.volume import Volume, lps_from_affine
from .values import decimal, decimals, item


def add_functional_groups(dataset: Dataset, volume: Volume, uid: Callable[[str], str], *, in_patient: bool) -> None:
    """Add the geometry of a volume to an Enhanced US Volume with its frames.

    Parameters
    ----------
    dataset
        Enhanced US Volume.
    volume
        Volume with one slice for each frame.
    uid
        Function that returns the UID for a role.
    in_patient
        Whether to add positions in the patient. Positions in the volume's own frame of reference, with the array's
        axes, are always added.
    """
    direction, spacing, origin = lps_from_affine(volume.affine)
    step = spacing[2]
    _add_frame_of_reference(dataset, uid)
    shared = item(
        PixelMeasuresSequence=[
            item(
                PixelSpacing=[decimal(spacing[1]), decimal(spacing[0])],
                SliceThickness=decimal(step),
                SpacingBetweenSlices=decimal(step),
            )
        ],
        PlaneOrientationVolumeSequence=[item(ImageOrientationVolume=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0])],
        ImageDataTypeSequence=[item(DataType="TISSUE_INTENSITY", AliasedDataType="NO")],
    )
    if in_patient:
        cosines = decimals([*direction[:, 0], *direction[:, 1]])
        shared.PlaneOrientationSequence = [item(ImageOrientationPatient=cosines)]
    dataset.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for k in range(volume.array.shape[2]):
        group = item(
            FrameContentSequence=[item(StackID="1", InStackPositionNumber=k + 1, DimensionIndexValues=[k + 1])],
            PlanePositionVolumeSequence=[item(ImagePositionVolume=[0.0, 0.0, float(k * step)])],
        )
        if in_patient:
            position = decimals(origin + k * step * direction[:, 2])
            group.PlanePositionSequence = [item(ImagePositionPatient=position)]
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = groups


def _add_frame_of_reference(dataset: Dataset, uid: Callable[[str], str]) -> None:
    identity = np.eye(4).ravel().tolist()
    dataset.UltrasoundAcquisitionGeometry, dataset.ApexPosition = "APEX", [0.0, 0.0, 0.0]
    dataset.VolumeFrameOfReferenceUID = uid("volume frame of reference")
    dataset.VolumeToTransducerMappingMatrix = identity
    dataset.PatientFrameOfReferenceSource = "TABLE"
    dataset.TableFrameOfReferenceUID, dataset.VolumeToTableMappingMatrix = uid("table"), identity
    dataset.SynchronizationFrameOfReferenceUID = uid("synchronization")
    dataset.SynchronizationTrigger, dataset.AcquisitionTimeSynchronized = "NO TRIGGER", "N"
    dataset.ContentQualification, dataset.PresentationLUTShape = "RESEARCH", "IDENTITY"
    dataset.RescaleIntercept, dataset.RescaleSlope = "0", "1"
    organization = uid("dimension organization")
    dataset.DimensionOrganizationSequence = [item(DimensionOrganizationUID=organization)]
    dataset.DimensionIndexSequence = [
        item(
            DimensionIndexPointer=0x00209301,  # Image Position (Volume)
            FunctionalGroupPointer=0x0020930E,  # Plane Position (Volume) Sequence
            DimensionOrganizationUID=organization,
        )
    ]
