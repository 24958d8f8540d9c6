"""Ensemble by cross-validation. Each member is trained without one part of the patients, and validated on it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SettingsError
from ..inference.weights import read_state, save_halved
from ..system.atomic import replacing
from .card import Card, ensemble_text
from .datalist import load, patient_of
from .plan import SETTINGS, check_same, plan
from .progress import PICTURE
from .run import rewrite, train
from .score import fitted_score, write_score


def train_folds(
    run: Path,
    datalist: Path | None,
    folds: int,
    *,
    settings: Mapping[str, Any],
    **chosen: Any,
) -> Path:
    """Train the members of an ensemble and combine them in one bundle; return its folder, ``run/bundle``.

    The training and validation cases of the datalist are pooled and then divided by patient. The runs of the
    members are in ``run/fold-0``, ``run/fold-1`` and so on. A finished member is not trained again. An interrupted
    member is continued.

    The bundle's score of doubt is fitted on each member's segmentations of its held-out cases. It is fitted only if
    at least 5 cases have an HD95 above 5 mm and at least 5 have not; cases without a found gland do not count.

    Parameters
    ----------
    run
        Folder of the whole run.
    datalist
        Path of the datalist.
    folds
        Number of members.
    settings, chosen
        Arguments of :func:`.run.plan` for each member. The seed of a member is its number, unless the settings have
        one.

    Raises
    ------
    SettingsError
        There is no datalist, there are fewer patients than folds, or a member was started with other cases or
        settings.
    """
    if datalist is None:
        raise SettingsError("--folds parts the patients of a datalist; give --data.")
    parts = _parts(datalist, folds)
    places = []
    for number, part in enumerate(parts):
        place = run / f"fold-{number}"
        places.append(place / "bundle")
        own = place / "datalist.json"
        if own.is_file():
            check_same(own, part)
        else:
            place.mkdir(parents=True, exist_ok=True)
            with replacing(own) as temporary:
                temporary.write_text(json.dumps(part, indent=1) + "\n", encoding="utf-8")
        planned = plan(place, datalist=own, settings={"seed": number} | dict(settings), **chosen)
        if not places[-1].is_dir():
            train(planned, score=False)
    extra = chosen.get("extra")
    folder = _together(run, places, extra.command if extra else "")
    score = fitted_score([(place, part["validation"]) for place, part in zip(places, parts, strict=True)])
    if score is not None:
        write_score(score, folder)
    return folder


def _parts(datalist: Path, folds: int) -> list[dict[str, Any]]:
    sections = load(datalist)
    cases = [*sections["training"], *sections["validation"]]
    patients = sorted({patient_of(case, datalist) for case in cases})
    if not 2 <= folds <= len(patients):
        raise SettingsError(f"--folds is 2 to the number of patients ({len(patients)}), got {folds}.")
    fold_of = {
        patient: n % folds for n, patient in enumerate(np.random.default_rng(0).permutation(patients).tolist())
    }
    held = [fold_of[patient_of(case, datalist)] for case in cases]
    return [
        {
            "training": [case for case, fold in zip(cases, held, strict=True) if fold != number],
            "validation": [case for case, fold in zip(cases, held, strict=True) if fold == number],
        }
        for number in range(folds)
    ]


def _together(run: Path, members: list[Path], command: str) -> Path:
    folder, partial = run / "bundle", run / ".bundle.partial"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(members[0], partial)
    states = [read_state(member / "models" / "model.pt") for member in members]
    together = {
        f"members.{number}.{name}": value for number, state in enumerate(states) for name, value in state.items()
    }
    save_halved(together, partial / "models" / "model.pt")
    config = json.loads((partial / "configs" / "inference.json").read_text(encoding="utf-8"))
    ensemble = {"_target_": "prostate_seg.network.Ensemble", "member": config["network_def"], "count": len(members)}
    rewrite(partial / "configs" / "inference.json", {"network_def": ensemble})
    records = [json.loads((member.parent / SETTINGS).read_text(encoding="utf-8")) for member in members]
    cards = [
        Card.of(member.parent, Path(record["bundle_root"]), record, command)
        for member, record in zip(members, records, strict=True)
    ]
    name = f"{Card.of(run, Path(records[0]['bundle_root']), records[0]).name}_ensemble_of_{len(members)}"
    rewrite(partial / "configs" / "metadata.json", {"name": name, "eval_metrics": {}})
    (partial / "docs" / "README.md").write_text(ensemble_text(name, cards), encoding="utf-8")
    (partial / "docs" / PICTURE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return folder
