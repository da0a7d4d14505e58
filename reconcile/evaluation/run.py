"""One evaluation from a folder of labelled photos to its figures: read, count, hold against the record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from reconcile import __version__
from reconcile.concurrency.channels import Channel, StageGroup
from reconcile.datasets.labelled import LabelledImage, fingerprint, read_labelled
from reconcile.errors import ReconcileError, UsageError
from reconcile.evaluation.planted.benchmark import evaluate_planted
from reconcile.evaluation.planted.injection import number_to_inject
from reconcile.evaluation.report import evaluation_page, evaluation_text
from reconcile.evaluation.results import EvaluationRun
from reconcile.images import UnreadableImage, check_size, load_image
from reconcile.inference.counter import load_predictor
from reconcile.logs import FixedWorkload
from reconcile.metrics.classification import evaluate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from reconcile.config import Settings
    from reconcile.inference.counter import CountPredictor
    from reconcile.logs import RunLog


def run_evaluation(
    data: Path,
    fold: int | None,
    out: Path | None,
    seed: int,
    settings: Settings,
    messages: RunLog,
    plant: float | None = None,
) -> str:
    """Count the labelled photos of a folder and say how good the counts are.

    Args:
        data: in any layout that `labelled.read_labelled` knows.
        fold: only the photos of this one; None for all.
        out: evaluation.txt, evaluation.json and evaluation.html go here; None writes nothing.
        seed: of the bootstrap, and of the first planting.
        settings: model, device and batch size.
        messages: told what is left out, and how far it has come.
        plant: also alter this share of the records, and see how well they are found.

    Returns:
        the plain text report.

    Raises:
        ReconcileError: no such photos, none that can be read and has a label, no model, an output that cannot be
            written, or too few photos to alter one record.
    """
    if not data.is_dir():
        raise UsageError(f"--data: there is no folder {data}")
    if out is not None:
        _make_folder(out)
    counter = load_predictor(settings.model, settings.device, messages.warn, settings.batch_size)
    labels = counter.card.labels
    left_out: list[str] = []

    def leave_out(line: str) -> None:
        left_out.append(line)
        messages.warn(line)

    images = _of_fold(read_labelled(data, leave_out), fold, data)
    if plant is not None:
        # Before the long part. Photos that cannot be read may still make it too few.
        number_to_inject(plant, int((labels.indices_of(image.count for image in images) >= 0).sum()))
    with messages.progress("counting", FixedWorkload(len(images))) as advance:
        probabilities, unreadable = count_labelled(images, counter, advance)
    for place, reason in unreadable.items():
        leave_out(f"left out {images[place].path}: {reason}")
    if len(unreadable) == len(images):
        raise ReconcileError(f"none of the {len(images):,} photos of {data} can be read")
    readable = [place for place in range(len(images)) if place not in unreadable]
    shares, counts = probabilities[readable], [images[place].count for place in readable]
    evaluation = evaluate(shares, counts, labels, [images[place].squashed for place in readable], seed)
    planted = None
    if plant is not None:
        truth = labels.indices_of(counts)
        covered = truth >= 0
        planted = evaluate_planted(shares[covered], truth[covered], labels, counter.card.class_prior, plant, seed)
    run = EvaluationRun(
        reconcile_version=__version__,
        model_file=counter.path.name,
        model_id=counter.model_id,
        provider=counter.device,
        data=str(data),
        fold=fold,
        data_fingerprint=fingerprint(images),
        unreadable=len(unreadable),
        left_out=tuple(left_out),
        evaluation=evaluation,
        planted=planted,
    )
    text = evaluation_text(run)
    if out is not None:
        _write(out, run, text)
        messages.info(f"written: evaluation.txt, evaluation.json and evaluation.html in {out}")
    return text


def count_labelled(
    images: Sequence[LabelledImage], counter: CountPredictor, progress: Callable[[int], None]
) -> tuple[NDArray[np.float32], dict[int, str]]:
    """Count photos with as many threads as the model takes; each decodes and counts batches of its own.

    Memory holds one batch a thread, and the probabilities.

    Args:
        images: what to count.
        counter: the model.
        progress: called with the number of photos just counted.

    Returns:
        probabilities, float32 [photos, labels], in the order of `images`, and by place why a photo cannot be read; its
        row is not a number.
    """
    probabilities = np.full((len(images), len(counter.card.labels.names)), np.nan, dtype=np.float32)
    reasons: dict[int, str] = {}
    starts = range(0, len(images), counter.batch_size)

    with StageGroup() as stages:
        done: Channel[int] = Channel(stages, 4 * counter.workers, counter.workers)

        def work(worker: int) -> None:
            pixels = counter.new_batch()
            for start in starts[worker :: counter.workers]:
                batch = range(start, min(start + counter.batch_size, len(images)))
                readable: list[int] = []
                for place in batch:
                    try:
                        _load(images[place].path, pixels[len(readable)])
                        readable.append(place)
                    except UnreadableImage as reason:
                        reasons[place] = str(reason)
                if readable:
                    probabilities[readable] = counter.count(pixels[: len(readable)], worker)
                done.put(len(batch))

        stages.start("count", counter.workers, work, done)
        for photos in done:
            progress(photos)
    return probabilities, dict(sorted(reasons.items()))


def _load(path: Path, out: NDArray[np.uint8]) -> None:
    try:
        check_size(path.stat().st_size)
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableImage(f"cannot be read: {error.strerror}") from None
    load_image(data, len(out), out=out)


def _of_fold(images: list[LabelledImage], fold: int | None, data: Path) -> list[LabelledImage]:
    if fold is None:
        return images
    found = [image for image in images if image.fold == fold]
    if not found:
        folds = ", ".join(str(number) for number in sorted({image.fold for image in images}))
        raise UsageError(f"--fold {fold}: {data} has no photo of that fold; it has {folds}")
    return found


def _make_folder(out: Path) -> None:
    """Before any work starts: an evaluation that cannot be kept is not made."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReconcileError(f"--out {out} is no folder that can be written: {error.strerror}") from None


def _write(out: Path, run: EvaluationRun, text: str) -> None:
    files = {
        "evaluation.txt": text + "\n",
        "evaluation.json": json.dumps(run.as_dict(), indent=1, allow_nan=False) + "\n",
        "evaluation.html": evaluation_page(run),
    }
    try:
        for name, content in files.items():
            (out / name).write_text(content, encoding="utf-8")
    except OSError as error:
        raise ReconcileError(f"--out {out} cannot be written: {error.strerror}") from None
