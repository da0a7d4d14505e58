"""python -m benchmarks.pandas_baseline FOLDER json|table: join and report with a vectorised pandas script.

The script reads the listing, the counts and the records of `records_data.make_run_data`. It joins them, corrects for
label shift, computes p_wrong and ranks the bins. It writes reconciled.parquet, recount.csv, summary.json and
report.html (the first hundred bins, the tables and the charts) to FOLDER/baseline. It prints the seconds from the first
page of the listing to the last file.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import vl_convert

from benchmarks.records_data import Listing

LABELS = ["0", "1", "2", "3", "4", "5", "6+"]
LAST = 6
ERROR_RATE, DECAY = 0.03, 0.6
FAR = 0.15
SUSPECT_FROM = 0.05
CAPACITY = 100


def read(folder: Path, form: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return one row per image, and one row per bin with a record."""
    listed = listing(folder, "bin-images/").rename(columns={"key": "image_key"})
    counts = pd.read_parquet(next((folder / "out" / "counts").iterdir()))
    counts = counts.sort_values("counted_at").drop_duplicates(["image_key", "etag"], keep="last")
    images = listed.merge(counts, on=["image_key", "etag"], how="left")
    images["bin_id"] = images["image_key"].str.extract(r"([^/]+)\.[^./]*$", expand=False)
    images = images.sort_values(["modified", "image_key"], ascending=[False, True])
    images["is_older_photo"] = images.duplicated("bin_id")
    if form == "json":
        records = pd.read_parquet(folder / "out" / "records").sort_values("read_at")
        records = records.drop_duplicates("bin_id", keep="last").rename(columns={"reason": "record_reason"})
        records = records[["bin_id", "record_key", "etag", "expected_quantity", "items", "note", "record_reason"]]
        known = listing(folder, "metadata/").rename(columns={"key": "record_key"})[["record_key", "etag"]]
        return images, known.merge(records, on=["record_key", "etag"]).drop(columns="etag")
    records = pd.read_csv(folder / "records.csv", dtype=str)
    number = pd.to_numeric(records["expected_quantity"], errors="coerce")
    valid = number.notna() & (number >= 0) & (number == number.round())
    records["expected_quantity"] = number.where(valid).astype("Int64")
    records["record_reason"] = np.where(valid, None, "the expected quantity is not a number")
    return images, records.drop_duplicates("bin_id")


def listing(folder: Path, prefix: str) -> pd.DataFrame:
    """Return one row per listed object."""
    objects = [stored for page in Listing(folder).list_pages(prefix) for stored in page]
    return pd.DataFrame(objects, columns=["key", "size", "etag", "modified"])


def join(images: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Return one row per image or record."""
    newest, older = images[~images["is_older_photo"]], images[images["is_older_photo"]]
    rows = newest.merge(records, on="bin_id", how="outer", indicator=True)
    rows = pd.concat([rows, older.assign(_merge="left_only")], ignore_index=True)
    rows["difference"] = rows["predicted_count"] - rows["expected_quantity"].clip(upper=LAST)
    rows["status"] = np.select(
        [
            (rows["_merge"] == "right_only") & rows["record_reason"].notna(),
            rows["_merge"] == "right_only",
            rows["reason"].notna() | rows["predicted_count"].isna(),
            rows["_merge"] == "left_only",
            rows["record_reason"].notna(),
        ],
        ["invalid_record", "no_image", "unreadable_image", "no_record", "invalid_record"],
        default="compared",
    )
    rows["reason"] = rows["reason"].fillna(rows["record_reason"])
    return rows.drop(columns=["_merge", "record_reason", "size", "try_again", "counted_at"])


def record_given_truth() -> np.ndarray:
    """Return P(record | true count): rows are true counts, columns are records."""
    counts = np.arange(LAST + 1)
    slips = DECAY ** np.abs(counts[:, None] - counts[None, :]).astype(float)
    np.fill_diagonal(slips, 0)
    chances = ERROR_RATE * slips / slips.sum(axis=1, keepdims=True)
    np.fill_diagonal(chances, 1 - ERROR_RATE)
    return chances


def class_prior_of_run(probabilities: np.ndarray, expected: np.ndarray, prior: np.ndarray) -> np.ndarray | None:
    """Estimate the distribution of counts by expectation maximisation, on a sample; None if it is near `prior`."""
    if len(expected) > 100_000:
        chosen = np.random.default_rng(0).choice(len(expected), 100_000, replace=False)
        probabilities, expected = probabilities[chosen], expected[chosen]
    ratios = probabilities / prior * record_given_truth()[:, expected].T
    class_prior = prior
    for _ in range(1000):
        posterior = ratios * class_prior
        step = (posterior / posterior.sum(axis=1, keepdims=True)).mean(axis=0)
        converged = np.abs(step - class_prior).max() < 1e-7
        class_prior = step
        if converged:
            break
    return class_prior if np.abs(class_prior - prior).sum() / 2 >= FAR else None


def score(rows: pd.DataFrame, prior: np.ndarray) -> pd.DataFrame:
    """Add p_wrong, status and rank to every bin with a count and a record."""
    compared = rows["status"] == "compared"
    probabilities = np.stack(rows.loc[compared, "probabilities"].to_list()).astype(float)
    expected = rows.loc[compared, "expected_quantity"].clip(upper=LAST).to_numpy(dtype=int)
    class_prior = class_prior_of_run(probabilities, expected, prior)
    if class_prior is not None:
        probabilities *= class_prior / prior
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    truth = probabilities * record_given_truth()[:, expected].T
    truth /= truth.sum(axis=1, keepdims=True)
    likely = truth.argmax(axis=1)
    each = np.arange(len(expected))
    others = truth.copy()
    others[each, expected] = 0
    quantities = rows.loc[compared, "expected_quantity"].to_numpy(dtype=int)
    distance = np.abs(np.arange(LAST + 1)[None, :] - quantities[:, None])
    distance[quantities >= LAST, LAST] = 0
    rows.loc[compared, "p_wrong"] = others.sum(axis=1)
    rows.loc[compared, "units_off"] = (truth * distance).sum(axis=1)
    rows.loc[compared, "likely_count"] = likely
    rows.loc[compared, "count_if_wrong"] = others.argmax(axis=1)
    rows["suspect"] = compared & (rows["p_wrong"] >= SUSPECT_FROM)
    difference = rows.loc[compared, "difference"]
    rows.loc[compared, "status"] = np.select([difference < 0, difference > 0], ["short", "over"], "match")
    rows["apart"] = rows["difference"].abs()
    queue = rows[compared].sort_values(
        ["p_wrong", "apart", "bin_id", "image_key"], ascending=[False, False, True, True]
    )
    rows.loc[queue.index, "recount_rank"] = np.arange(1, len(queue) + 1)
    return rows.drop(columns="apart").sort_values(["recount_rank", "status", "bin_id", "image_key"])


def wilson(fraction: pd.Series, n: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return the two ends of the Wilson score interval at 95 %."""
    z = 1.959964
    middle, around = fraction + z * z / (2 * n), z * np.sqrt(fraction * (1 - fraction) / n + z * z / (4 * n * n))
    return (middle - around) / (1 + z * z / n), (middle + around) / (1 + z * z / n)


def tables(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables of the report."""
    compared = rows[rows["p_wrong"].notna()].copy()
    compared["on_record"] = compared["expected_quantity"].clip(upper=LAST).astype(int)
    compared["agrees"] = compared["difference"] == 0
    compared["squared"] = compared["difference"].astype(float) ** 2
    compared["largest"] = np.stack(compared["probabilities"].to_list()).max(axis=1)
    accuracy = compared.groupby("on_record").agg(
        n=("agrees", "size"), accuracy=("agrees", "mean"), mse=("squared", "mean"), bias=("difference", "mean")
    )
    accuracy["rmse"] = np.sqrt(accuracy.pop("mse"))
    accuracy["low"], accuracy["high"] = wilson(accuracy["accuracy"], accuracy["n"])
    index = np.clip(np.ceil(compared["largest"] * 15) - 1, 0, 14)
    certain = compared.sort_values("largest", ascending=False)
    indices = (np.arange(1, 101) * len(certain) + 99) // 100
    coverage = pd.DataFrame(
        {
            "photos": indices,
            "least": certain["largest"].to_numpy()[indices - 1],
            "agreeing": certain["agrees"].cumsum().to_numpy()[indices - 1],
        }
    )
    return {
        "totals": rows["status"].value_counts().to_frame(),
        "accuracy": accuracy,
        "confusion": pd.crosstab(compared["on_record"], compared["predicted_count"]),
        "reliability": compared.groupby(index).agg(
            photos=("agrees", "size"), probability=("largest", "mean"), agreeing=("agrees", "sum")
        ),
        "coverage": coverage,
        "problems": rows[rows["p_wrong"].isna()].groupby(["status", "reason"], dropna=False).size().to_frame("bins"),
    }


def products(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the products whose bins are most often wrong."""
    items = rows.loc[rows["p_wrong"].notna(), ["p_wrong", "status", "items"]].explode("items").dropna(subset="items")
    items["asin"] = [item["asin"] for item in items["items"]]
    items["name"] = [item["name"] for item in items["items"]]
    items["quantity"] = [item["quantity"] for item in items["items"]]
    by_product = items.groupby("asin").agg(
        name=("name", "first"),
        bins=("p_wrong", "size"),
        expected_wrong=("p_wrong", "sum"),
        quantity=("quantity", "sum"),
    )
    by_product["excess"] = by_product["expected_wrong"] - by_product["bins"] * rows["p_wrong"].mean()
    return by_product.sort_values("excess", ascending=False).head(20)


def charts(data: dict[str, pd.DataFrame]) -> list[str]:
    """Draw accuracy, reliability and coverage as SVG."""
    accuracy = alt.Chart(data["accuracy"].reset_index()).encode(x="on_record:N")
    certain = data["reliability"].eval("agrees = agreeing / photos")
    surest = data["coverage"].eval("agrees = agreeing / photos")
    drawn = (
        accuracy.mark_bar().encode(y="accuracy:Q") + accuracy.mark_rule().encode(y="low:Q", y2="high:Q"),
        alt.Chart(certain).mark_line(point=True).encode(x="probability:Q", y="agrees:Q"),
        alt.Chart(surest).mark_line().encode(x="photos:Q", y="agrees:Q"),
    )
    return [vl_convert.vegalite_to_svg(chart.to_json()) for chart in drawn]


def main(folder: Path, form: str) -> None:
    """Run all steps."""
    prior = np.array(json.loads((folder / "prior.json").read_text()))
    out = folder / "baseline"
    out.mkdir(exist_ok=True)
    started = time.perf_counter()
    rows = score(join(*read(folder, form)), prior / prior.sum())
    rows.to_parquet(out / "reconciled.parquet", compression="zstd", index=False)
    queue = rows.head(CAPACITY).drop(columns=["probabilities"])
    queue.to_csv(out / "recount.csv", index=False)
    data = tables(rows)
    if form == "json":
        data["products"] = products(rows)
    p = rows["p_wrong"].dropna()
    summary = {
        "rows": len(rows),
        "totals": data["totals"]["count"].to_dict(),
        "expected_wrong": p.sum(),
        "deviation": float(np.sqrt((p * (1 - p)).sum())),
        "expected_wrong_in_queue": queue["p_wrong"].sum(),
    }
    (out / "summary.json").write_text(json.dumps(summary))
    sections = [queue.to_html(index=False), *charts(data)]
    sections += [f"<h2>{name}</h2>{table.to_html()}" for name, table in data.items()]
    (out / "report.html").write_text("<!doctype html><title>Recount</title>" + "".join(sections))
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
