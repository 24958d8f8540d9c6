"""Training with a bundle: run a plan, and write a new bundle for ``segment``."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow

from ..errors import ProstateSegError, SettingsError
from ..inference import hint_network, second_look, structure_network, thing_network
from ..inference.released import weights_file
from ..inference.settings import read_json as read_object
from ..inference.weights import read_state, save_halved
from ..system.atomic import made_folder, replacing
from .card import Card
from .datalist import items, load
from .plan import EPOCHS, SETTINGS, TRAVEL, Plan, is_begun
from .progress import PICTURE
from .saved import epochs_made
from .score import fitted_score, write_score
from .start import FILE as START
from .start import write_start
from .tracking import tracking_options

LOG = logging.getLogger(__name__)


def train(planned: Plan, watch: Callable[[int, int], None] | None = None, *, score: bool = True) -> Path:
    """Run a plan. Return the folder of the new bundle, with the weights of the best validation.

    ``watch`` is called after each step with the number of steps made and the number of all steps. If ``score`` is
    true, the bundle's score of doubt is fitted on its validation cases, if they are enough.
    """
    configs = planned.bundle / "configs"
    made_folder(planned.run)
    if not is_begun(planned.run):
        with replacing(planned.run / SETTINGS) as temporary:
            temporary.write_text(json.dumps(dict(planned.record), indent=1), encoding="utf-8")
        if planned.start is not None:
            write_start(planned.start[0], planned.run / START)
    workflow = ConfigWorkflow(
        config_file=str(configs / "train.json"),
        meta_file=str(configs / "metadata.json"),
        logging_file=str(configs / "logging.conf"),
        workflow_type="train",
        **planned.overrides,
        **tracking_options(planned.tracking, planned.run),
    )
    try:
        resumed = planned.overrides.get("resume", True)
        made, ended = epochs_made(planned.run / "checkpoints") if resumed else (0, False)
        if not ended and made < workflow.parser.get_parsed_content(EPOCHS):
            workflow.initialize()
            if watch is not None:
                workflow.trainer.add_event_handler(Events.ITERATION_COMPLETED, _watched, watch)
            workflow.run()
            workflow.finalize()
        else:
            LOG.info("its %d epochs were made before; the bundle is written again", made)
    except RuntimeError as error:  # MONAI wraps errors of expressions
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, ProstateSegError):
            cause = cause.__cause__
        if cause is None:
            raise
        raise cause from None
    folder = _new_bundle(planned, workflow.parser["network_def"])
    datalist = planned.overrides.get("datalist")
    if score and datalist and planned.structures is None:
        found = fitted_score([(folder, load(datalist)["validation"])])
        if found is not None:
            write_score(found, folder)
    return folder


def _watched(engine: Engine, watch: Callable[[int, int], None]) -> None:
    watch(engine.state.iteration, (engine.state.max_epochs or 0) * (engine.state.epoch_length or 0))


def _new_bundle(planned: Plan, network: Mapping[str, Any]) -> Path:
    """Write the new bundle: the new weights, a model card, and the files of the source bundle that it needs."""
    checkpoints = planned.run / "checkpoints"
    if not (checkpoints / "model.pt").is_file():
        raise SettingsError(
            "The run ended before its first validation, so there are no best weights; give another -o, and a "
            "smaller val_interval or more --epochs."
        )
    folder, partial = planned.run / "bundle", planned.run / ".bundle.partial"
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "models").mkdir(parents=True)
    (partial / "docs").mkdir()
    shutil.copytree(planned.bundle / "configs", partial / "configs")
    for file in TRAVEL:
        shutil.copyfile(planned.bundle / file, partial / file)
    if planned.structures is None:
        _write_network(partial, checkpoints / "model.pt", network)
    else:
        shutil.copyfile(weights_file(planned.bundle, "released"), partial / "models" / "model.pt")
        datalist = planned.overrides.get("datalist")
        cases = items(datalist, "training") if datalist else []
        planned.structures.write(partial, checkpoints / "model.pt", cases)
    for kept in (thing_network, hint_network):
        _keep(partial, planned.bundle, kept.FILE, kept.WEIGHTS)
    (partial / second_look.FILE).unlink(missing_ok=True)  # it knows the masks of the released structures alone
    card = Card.of(planned.run, planned.bundle, planned.record, planned.command)
    rewrite(partial / "configs" / "metadata.json", card.metadata())
    (partial / "docs" / "README.md").write_text(card.text(), encoding="utf-8")
    if (checkpoints / PICTURE).is_file():
        shutil.copyfile(checkpoints / PICTURE, partial / "docs" / PICTURE)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return folder


def _write_network(bundle: Path, weights: Path, network: Mapping[str, Any]) -> None:
    """Write weights of the CTV's network, and its definition. Structures of another network are left out."""
    save_halved(read_state(weights), bundle / "models" / "model.pt")
    rewrite(bundle / "configs" / "inference.json", {"network_def": network})
    if read_object(bundle / "configs" / "train.json")["network_def"] != network:
        rewrite(bundle / "configs" / "train.json", {"network_def": network})
    (bundle / structure_network.FILE).unlink(missing_ok=True)


def _keep(bundle: Path, source: Path, file: str, weights: str) -> None:
    """Keep a network that does not depend on the CTV's weights, or leave out the file of one without weights."""
    if (source / weights).is_file():
        shutil.copyfile(source / weights, bundle / weights)
    else:
        (bundle / file).unlink(missing_ok=True)


def rewrite(path: Path, changes: Mapping[str, Any]) -> None:
    """Change entries of a JSON file."""
    path.write_text(json.dumps({**read_object(path), **changes}, indent=4), encoding="utf-8")
