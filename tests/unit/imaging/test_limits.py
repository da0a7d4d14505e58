"""Tests of the limits on memory, time and crashes of a decoder."""

import os
import signal
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reconcile.errors import ReconcileError
from reconcile.images import UnreadableImage, load_image, thumbnail
from reconcile.imaging import worker_pool
from reconcile.imaging.limits import MAX_DECODED_BYTES
from reconcile.imaging.picture_size import PictureSize
from reconcile.imaging.worker_pool import DecodeRequest, DecodeWorkers
from reconcile.imaging.worker_protocol import SQUARE
from tests.unit.imaging.pictures import encoded, png, textured, tiff, webp_that_claims, with_many_scans

PNG = encoded(textured(), "PNG")


@pytest.fixture
def pool():
    """Return a pool whose processes end with the test."""
    pool = DecodeWorkers(1)
    yield pool
    for worker in pool._idle:
        worker.end()


def ask(pool, data=PNG, byte_count=2**24):
    return pool.decode(DecodeRequest(SQUARE, 64, byte_count, data))


@pytest.mark.parametrize("count", [load_image, thumbnail])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (png(1, 100_000_000, 1, 0, b""), "1x100000000 pixels, and a side may have at most 65,535"),
        (png(100_000_000, 1, 1, 0, b""), "100000000x1 pixels, and a side may have at most 65,535"),
        (png(10_000, 9_999, 8, 6, b""), "need about .* MB of memory"),
        (webp_that_claims(10_000), "need about .* MB of memory"),
        (with_many_scans(200), "more than 100 scans"),
        (with_many_scans(30_000), "more than 100 scans"),
    ],
    ids=["tall", "wide", "RGBA", "WebP", "scans", "many scans"],
)
def test_bomb_is_refused_before_it_is_decoded(data, reason, count):
    started = time.process_time()
    with pytest.raises(UnreadableImage, match=reason):
        count(data, 64)
    assert time.process_time() - started < 5


def test_repeated_baseline_scans_are_refused():
    jpeg = encoded(Image.new("L", (64, 64)), "JPEG")
    scan = jpeg[jpeg.rfind(b"\xff\xda") : -2]
    with pytest.raises(UnreadableImage, match="more than 100 scans"):
        load_image(jpeg[:-2] + scan * 200 + b"\xff\xd9", 64)


def test_progressive_jpeg_of_usual_scans_is_decoded_here(monkeypatch):
    monkeypatch.setattr(worker_pool, "_Worker", None)
    assert load_image(encoded(textured(), "JPEG", progressive=True), 64).std() > 10


def test_large_picture_is_made_smaller_while_it_is_converted():
    large = textured(160, 120).resize((5000, 3000), Image.Resampling.NEAREST)
    expected = load_image(encoded(large.resize((1000, 600), Image.Resampling.BOX), "PNG"), 64).astype(int)
    for data in (encoded(large, "PNG", compress_level=1), encoded(large, "WEBP", quality=90, method=0)):
        assert np.abs(load_image(data, 64) - expected).mean() < 4
        assert len(thumbnail(data, 256)) > 100


def test_large_jpeg_2000_is_scaled_by_its_decoder():
    size = PictureSize(10_000, 10_000, 21, levels=5)
    assert size.halvings(160) == 4
    assert size.decoded_bytes(160) < MAX_DECODED_BYTES
    large = textured(400, 300).resize((5000, 3000))
    data = encoded(large, "JPEG2000", quality_mode="rates", quality_layers=[20])
    expected = load_image(encoded(large.resize((1000, 600), Image.Resampling.BOX), "PNG"), 64).astype(int)
    assert np.abs(load_image(data, 64) - expected).mean() < 6


def test_turn_of_a_large_picture_is_undone():
    exif = Image.Exif()
    exif[0x0112] = 6
    large = Image.linear_gradient("L").resize((5000, 3000))
    pixels = load_image(encoded(large, "PNG", exif=exif, compress_level=1), 64)
    assert pixels[32, 0, 0] > 240
    assert pixels[32, -1, 0] < 15


def test_header_that_understates_its_memory_ends_with_a_reason():
    # The header of the GIF claims 8 x 8 pixels, and its frame has 20,000 x 4,000.
    gif = b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0, 0, 0) + b","
    gif += struct.pack("<HHHHB", 0, 0, 20_000, 4_000, 0) + b"\x08" + b"\x02\x01\x00" + b"\x00;"
    with pytest.raises(UnreadableImage, match=r"too much memory|damaged"):
        load_image(gif, 64)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux limits the memory of a process")
def test_process_that_needs_more_memory_than_planned_gives_a_reason(pool):
    big = encoded(Image.effect_noise((4000, 4000), 50).convert("RGB"), "PNG", compress_level=1)
    with pytest.raises(UnreadableImage, match="too much memory"):
        ask(pool, big, byte_count=2**20)
    assert ask(pool)[1], "the process goes on"


def test_photo_that_takes_too_long_is_given_up(pool, monkeypatch):
    monkeypatch.setattr(worker_pool, "_PROGRAM", program_that("while True: pass", seconds=1))
    with pytest.raises(UnreadableImage, match=r"takes more than \d+ s"):
        ask(pool)


def test_photo_without_an_answer_in_time_is_given_up(pool, monkeypatch):
    monkeypatch.setattr(worker_pool, "_PROGRAM", program_that("import time; time.sleep(60)"))
    monkeypatch.setattr(worker_pool, "_ANSWER_SECONDS", 0.5)
    with pytest.raises(UnreadableImage, match=r"takes more than \d+ s"):
        ask(pool, encoded(textured(32, 24), "PNG"))


def test_photo_that_crashes_the_decoder_costs_itself_alone(pool, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(worker_pool, "_PROGRAM", program_that("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"))
        with pytest.raises(UnreadableImage, match=r"the decoder crashed \(SIGSEGV\)"):
            ask(pool)
    assert len(ask(pool)[1]) == 64 * 64 * 3


def test_photo_whose_process_was_killed_once_is_decoded_again(pool):
    ask(pool)
    os.kill(pool._idle[0]._process.pid, signal.SIGKILL)
    assert ask(pool)[1]


def test_process_that_cannot_start_ends_the_run_with_a_reason(pool, monkeypatch):
    monkeypatch.setattr(worker_pool, "_PROGRAM", "raise SystemExit(7)")
    with pytest.raises(ReconcileError, match="ended at its start with code 7"):
        ask(pool)


def test_interrupt_does_not_reach_the_process(pool):
    ask(pool)
    worker = pool._idle[0]
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(worker._process.pid, number)
    assert ask(pool)[1]
    assert pool._idle == [worker]


def test_process_has_no_credentials(pool, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr(
        worker_pool, "_PROGRAM", "import os; raise SystemExit(40 + ('AWS_SECRET_ACCESS_KEY' in os.environ))"
    )
    with pytest.raises(ReconcileError, match="code 40"):
        ask(pool)


def test_many_threads_share_a_few_processes():
    pool = DecodeWorkers(2)
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda _: ask(pool)[1], range(40)))
    assert len(set(results)) == 1
    assert len(pool._idle) <= 2
    for worker in pool._idle:
        worker.end()


def program_that(statement: str, seconds: int = 100) -> str:
    """Return a program that starts like a worker and runs a statement at the first request."""
    return (
        "import os, resource, sys; os.write(1, b'ready\\n'); os.read(0, 1); "
        f"resource.setrlimit(resource.RLIMIT_CPU, ({seconds}, 100)); resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        + statement
    )


def test_peak_memory_of_hard_photos_stays_bounded(tmp_path):
    """All decoders of a process share one budget, so several large photos wait for one another."""
    names = []
    for number in range(4):
        large = Image.linear_gradient("L").resize((6000, 5000)).convert("RGB")
        (tmp_path / f"{number}.png").write_bytes(encoded(large, "PNG", compress_level=1))
        names.append(str(tmp_path / f"{number}.png"))
    program = (
        "import resource, sys; from concurrent.futures import ThreadPoolExecutor; from pathlib import Path\n"
        "from reconcile.images import load_image, thumbnail\n"
        "with ThreadPoolExecutor(8) as threads:\n"
        "    list(threads.map(lambda name: load_image(Path(name).read_bytes(), 160), sys.argv[1:]))\n"
        "    list(threads.map(lambda name: thumbnail(Path(name).read_bytes(), 256), sys.argv[1:]))\n"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", program, *names], capture_output=True, text=True, check=True)
    here, worker = map(int, done.stdout.split())
    assert here < 200_000, "this process holds no decoded photos"
    assert worker < 600_000


def test_tiff_of_one_giant_strip_is_bounded():
    data = tiff({256: 60_000, 257: 60_000, 258: 8, 259: 5, 262: 1, 277: 1, 278: 60_000, 279: 100}, bytes(100))
    with pytest.raises(UnreadableImage, match="3600 megapixels"):
        load_image(data, 64)
