"""A few drawings and a model trained on them, to test that training runs."""

import pytest

from reconcile.inference.precision import Precision
from tests.conftest import reconcile
from tests.integration.training.recipes import RECIPE


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Return a folder with labels.csv and forty drawings, one of which is broken."""
    from reconcile.training.dataset import Drawing

    folder = tmp_path_factory.mktemp("labelled")
    (folder / "bin-images").mkdir()
    lines = ["image,count,fold"]
    for number in range(40):
        drawing = Drawing(number + 5, number % 5)
        (folder / "bin-images" / f"{number}.jpg").write_bytes(drawing.as_jpeg() if number else b"broken")
        lines.append(f"{number}.jpg,{drawing.count},{number % 2}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="session")
def trained(photos, tmp_path_factory):
    """Return the folder of a finished training, and the process."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "recipe.toml").write_text(RECIPE.format(first=2))
    arguments = ["train", "--data", photos, "--recipe", folder / "recipe.toml", "--out", folder / "t"]
    done = reconcile(*arguments)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture(scope="session")
def exported(trained, photos):
    """Return the files of the trained model in every precision, and the lines of the export."""
    from reconcile.training.export import ExportSource, export

    folder, _ = trained
    files = {precision: folder / f"{precision}.onnx" for precision in Precision}
    lines = []
    export(ExportSource(folder / "t" / "best.pt", photos), files, lines.append)
    return files, lines
