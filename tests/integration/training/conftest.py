"""A handful of drawings, and what was trained on them: that it runs, not that it learns."""

import pytest

from reconcile.inference.precision import Precision
from tests.conftest import reconcile
from tests.integration.training.recipes import RECIPE


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Forty labelled drawings, one of which is broken, as a folder with labels.csv."""
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
    """A finished training: its folder, and what it said."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "recipe.toml").write_text(RECIPE.format(first=2))
    arguments = ["train", "--data", photos, "--recipe", folder / "recipe.toml", "--out", folder / "t"]
    done = reconcile(*arguments)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture(scope="session")
def exported(trained, photos):
    """The trained model in every precision: files and what was said of them."""
    from reconcile.training.export import export

    folder, _ = trained
    files = {precision: folder / f"{precision}.onnx" for precision in Precision}
    said = []
    export(folder / "t" / "best.pt", photos, files, said.append)
    return files, said
