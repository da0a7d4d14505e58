"""New images and records of a listing, and how much of a listing is read."""

from tests.unit.reconciliation.rows import count_row, stored


def test_changed_and_unfetched_photos_are_new(reconciler_of):
    counts = [
        count_row("i/old.jpg", 1, etag="before"),
        count_row("i/kept.jpg", 1),
        count_row("i/lost.jpg", None, reason="no answer", try_again=True),
        count_row("i/broken.jpg", None, reason="damaged"),
    ]
    reconciler = reconciler_of([], counts, [])
    page = [stored(f"i/{name}.jpg") for name in ("broken", "kept", "lost", "new", "old")]
    new = [image.key for images in reconciler.new_images([page], None) for image in images]
    assert new == ["i/lost.jpg", "i/new.jpg", "i/old.jpg"]


def test_limit_includes_images_that_are_known(reconciler_of):
    reconciler = reconciler_of([], [count_row("i/1.jpg", 1)], [])
    pages = [[stored("i/1.jpg"), stored("i/2.jpg")], [stored("i/3.jpg"), stored("i/4.jpg")], [stored("i/5.jpg")]]
    new = [image.key for images in reconciler.new_images(pages, 3) for image in images]
    assert new == ["i/2.jpg", "i/3.jpg"]
    assert reconciler.image_count == 3


def test_listing_of_wanted_records_stops_when_all_are_listed(reconciler_of):
    reconciler = reconciler_of([stored("i/1.jpg"), stored("i/2.jpg")], [], [])
    asked = []

    def pages():
        for number in range(1, 9):
            asked.append(number)
            yield [stored(f"r/{number}.json")]

    wanted = [record.key for page in reconciler.new_records(pages(), only_of_images=True) for record in page]
    assert (wanted, asked) == (["r/1.json", "r/2.json"], [1, 2])
