"""Count labelled photos and evaluate the counts."""

from __future__ import annotations

import json
from dataclasses import dataclass
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
from reconcile.images import UnreadableImage, check_size, read_photo
from reconcile.inference.counter import load_predictor
from reconcile.logs import FixedWorkload
from reconcile.metrics.classification import evaluate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from reconcile.config import Settings
    from reconcile.evaluation.planted.results import PlantedEvaluation
    from reconcile.inference.counter import CountPredictor
    from reconcile.logs import RunLog
    from reconcile.metrics.classification import Evaluation


@dataclass(frozen=True)
class EvaluationRequest:
    """The photos to evaluate, the settings of the benchmark, and the output folder."""

    data: Path
    """A folder of labelled photos, in any layout of `labelled.read_labelled`."""
    fold: int | None = None
    """The fold to count; None for all photos."""
    out: Path | None = None
    """The folder for evaluation.txt, evaluation.json and evaluation.html. None writes no file."""
    seed: int = 1
    """The seed of the bootstrap, and of the first repetition of the benchmark."""
    error_rate: float | None = None
    """The fraction of records to alter for the benchmark of the recount queue. None skips the benchmark."""


def run_evaluation(request: EvaluationRequest, settings: Settings, log: RunLog) -> str:
    """Count the labelled photos of a folder and evaluate the counts.

    Args:
        request: the photos, the benchmark and the output folder.
        settings: model, device and batch size.
        log: receives a warning for each photo left out, and the progress.

    Returns:
        the report as plain text.

    Raises:
        UsageError: the folder does not exist, or has no photo in the fold.
        ReconcileError: no photo has a label or can be read, the model cannot be loaded, or the output cannot be
            written. Or there are too few photos to alter one record.
    """
    if not request.data.is_dir():
        raise UsageError(f"--data: there is no folder {request.data}")
    if request.out is not None:
        _make_folder(request.out)
    predictor = load_predictor(settings.model, settings.device, log.warn, settings.batch_size)
    left_out: list[str] = []

    def leave_out(line: str) -> None:
        left_out.append(line)
        log.warn(line)

    images = _of_fold(read_labelled(request.data, leave_out), request.fold, request.data)
    if request.error_rate is not None:
        # Checked before the photos are counted, which takes long. Unreadable photos may still leave too few.
        covered = predictor.card.labels.indices_of(image.count for image in images) >= 0
        number_to_inject(request.error_rate, int(covered.sum()))
    with log.progress("counting", FixedWorkload(len(images))) as advance:
        probabilities, unreadable, notes = count_labelled(images, predictor, advance)
    for index, note in notes.items():
        log.warn(f"{images[index].path}: {note}")
    for index, reason in unreadable.items():
        leave_out(f"left out {images[index].path}: {reason}")
    if len(unreadable) == len(images):
        raise ReconcileError(f"none of the {len(images):,} photos of {request.data} can be read")
    readable = [index for index in range(len(images)) if index not in unreadable]
    evaluation, planted = _evaluate([images[index] for index in readable], probabilities[readable], predictor, request)
    run = EvaluationRun(
        reconcile_version=__version__,
        model_file=predictor.path.name,
        model_id=predictor.model_id,
        provider=predictor.device,
        data=str(request.data),
        fold=request.fold,
        data_fingerprint=fingerprint(images),
        unreadable=len(unreadable),
        left_out=tuple(left_out),
        evaluation=evaluation,
        planted=planted,
    )
    text = evaluation_text(run)
    if request.out is not None:
        _write_files(request.out, run, text)
        log.info(f"wrote evaluation.txt, evaluation.json and evaluation.html to {request.out}")
    return text


def count_labelled(
    images: Sequence[LabelledImage], predictor: CountPredictor, advance: Callable[[int], None]
) -> tuple[NDArray[np.float32], dict[int, str], dict[int, str]]:
    """Count photos with one thread per worker of the model. Each thread decodes and counts its own batches.

    Memory holds one batch per thread, and the probabilities.

    Args:
        images: the photos to count.
        predictor: the model.
        advance: called with the number of photos that were just counted.

    Returns:
        the probabilities in the order of `images`, float32 [photos, labels], with NaN for unreadable photos. Then the
        reason for each unreadable photo, and the note of each odd one, by index.
    """
    probabilities = np.full((len(images), len(predictor.card.labels.names)), np.nan, dtype=np.float32)
    reasons: dict[int, str] = {}
    notes: dict[int, str] = {}
    starts = range(0, len(images), predictor.batch_size)

    with StageGroup() as stages:
        done: Channel[int] = Channel(stages, 4 * predictor.workers, predictor.workers)

        def count_batches(worker: int) -> None:
            pixels = predictor.new_batch()
            for start in starts[worker :: predictor.workers]:
                batch = range(start, min(start + predictor.batch_size, len(images)))
                readable: list[int] = []
                for index in batch:
                    try:
                        note = _load(images[index].path, pixels[len(readable)])
                        if note is not None:
                            notes[index] = note
                        readable.append(index)
                    except UnreadableImage as reason:
                        reasons[index] = str(reason)
                if readable:
                    probabilities[readable] = predictor.count(pixels[: len(readable)], worker)
                done.put(len(batch))

        stages.start("count", predictor.workers, count_batches, done)
        for photos in done:
            advance(photos)
    return probabilities, dict(sorted(reasons.items())), dict(sorted(notes.items()))


def _load(path: Path, out: NDArray[np.uint8]) -> str | None:
    """Decode a photo into `out`, and return its note."""
    try:
        check_size(path.stat().st_size)
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableImage(f"cannot be read: {error.strerror}") from None
    return read_photo(data, len(out), out=out).facts.note


def _of_fold(images: list[LabelledImage], fold: int | None, data: Path) -> list[LabelledImage]:
    if fold is None:
        return images
    of_fold = [image for image in images if image.fold == fold]
    if not of_fold:
        folds = ", ".join(str(number) for number in sorted({image.fold for image in images}))
        raise UsageError(f"--fold {fold}: {data} has no photo in this fold; its folds are {folds}")
    return of_fold


def _evaluate(
    images: Sequence[LabelledImage],
    probabilities: NDArray[np.float32],
    predictor: CountPredictor,
    request: EvaluationRequest,
) -> tuple[Evaluation, PlantedEvaluation | None]:
    """Evaluate the counts, and the recount queue if that was requested.

    Args:
        images: the readable photos.
        probabilities: their probabilities, float32 [photos, labels].
        predictor: the model.
        request: the seed and the rate of altered records.
    """
    labels, counts = predictor.card.labels, [image.count for image in images]
    evaluation = evaluate(probabilities, counts, labels, [image.squashed for image in images], request.seed)
    if request.error_rate is None:
        return evaluation, None
    truth = labels.indices_of(counts)
    covered = truth >= 0
    prior, rate = predictor.card.class_prior, request.error_rate
    return evaluation, evaluate_planted(probabilities[covered], truth[covered], labels, prior, rate, request.seed)


def _make_folder(out: Path) -> None:
    """Create the output folder before the photos are counted, because the result must be kept."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ReconcileError(f"--out {out} is not a folder that can be written to: {error.strerror}") from None


def _write_files(out: Path, run: EvaluationRun, text: str) -> None:
    files = {
        "evaluation.txt": text + "\n",
        "evaluation.json": json.dumps(run.as_dict(), indent=1, allow_nan=False) + "\n",
        "evaluation.html": evaluation_page(run),
    }
    try:
        for name, content in files.items():
            (out / name).write_text(content, encoding="utf-8")
    except OSError as error:
        raise ReconcileError(f"--out {out} cannot be written to: {error.strerror}") from None
