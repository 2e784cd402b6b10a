"""A row of results: a mean, and how far it may be trusted."""
import numpy as np


def over_seeds(values) -> tuple[float, float, float, str]:
    """Mean, smallest and largest of a few runs that differ in their seed."""
    return (float(np.mean(values)), min(values), max(values),
            f"min–max over {len(values)} seeds")


def over_images(values) -> tuple[float, float, float, str]:
    """Mean, and the band of means that other draws of images would give."""
    rng = np.random.default_rng(0)
    means = rng.choice(values, (10_000, len(values))).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return (float(np.mean(values)), float(low), float(high),
            "95 % bootstrap over images")


def row(method, dataset, split, metric, values, over=over_images) -> dict:
    """One row of a results file, from one value an image or a seed."""
    values = [float(value) for value in values]
    value, low, high, band = over(values)
    return {"method": method, "dataset": dataset, "split": split,
            "n": len(values), "metric": metric, "value": value,
            "low": low, "high": high, "band": band}


def rung(name, seconds, row) -> dict:
    """One rung of the ladder: a row, and the seconds that an image took."""
    return {"rung": name, "seconds_per_image": float(seconds)} | {
        key: row[key] for key in ("dataset", "metric", "value", "low",
                                  "high")}
