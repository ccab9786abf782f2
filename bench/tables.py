"""Makes Markdown tables from the output of the programs.

    python bench/tables.py kernels FILE.jsonl    # of cuvae-bench kernels --json
    python bench/tables.py step FILE.jsonl       # of cuvae-bench step --device cuda --json
    python bench/tables.py tests FILE.json ...   # of test programs with --gtest_output=json:FILE.json
    python bench/tables.py estimators results.json [POINT]    # of cuvae-bench estimators; with POINT only of that point
"""
import json
import sys
from pathlib import Path


def table(head, rows):
    return "".join("| " + " | ".join(line) + " |\n" for line in [head, ["---"] + ["---:"] * (len(head) - 1), *rows])


def lines(path):
    records = [json.loads(line) for line in Path(path).read_text().splitlines()]
    if not records:
        sys.exit(f"tables.py: {path} has no records")
    return records


def kernels(path):
    records = lines(path)
    rows = [[r["operation"], r["shape"], f"{r['median_us']:.2f}", f"{r['min_us']:.2f} to {r['max_us']:.2f}",
             f"{r['gb_per_s']:.0f}", f"{100 * r['share_of_copy']:.0f}" if "share_of_copy" in r else "",
             f"{r['tflop_per_s']:.2f}" if "tflop_per_s" in r else "", "cold" if r["cold"] else "warm"] for r in records]
    return f"{records[0]['device']}\n\n" + table(
        ["operation", "shape", "us", "least to most", "GB/s", "% of copy", "TFLOP/s", "cache"], rows)


def step(path):
    records = lines(path)
    rows = [[r["precision"], str(r["batch"]), f"{r['median_ms']:.4f}", f"{r['eager_ms']:.4f}", f"{r['gemm_ms']:.4f}",
             f"{r['step_over_gemm']:.2f}", str(r["launches"]), f"{r['examples_per_second']:.3g}"] for r in records]
    return f"{records[0]['device']}\n\n" + table(
        ["precision", "batch", "replayed, ms", "eager, ms", "products alone, ms", "replayed / products", "launches",
         "examples/s"], rows)


def tests(*paths):
    rows, bad = [], 0
    for path in paths:
        r = json.loads(Path(path).read_text())
        skipped = sum(t.get("result") == "SKIPPED" for suite in r["testsuites"] for t in suite["testsuite"])
        failed = r["failures"] + r["errors"]
        bad += failed + skipped
        rows.append([Path(path).stem, str(r["tests"]), str(failed), str(skipped), r["time"]])
    return table(["program", "tests", "failed", "skipped", "time"], rows), bad


def interval(row, name):
    if name not in row:
        return ""
    return f"{row[name]:.3g} ({row[name + '_low']:.3g} to {row[name + '_high']:.3g})"


def point(r):
    width = "units" if r["suite"] == "discrete" else "latent"
    return (f"{r['stage']}, {r['layers']} hidden, {width} {r['latent']}, K = {r['samples']}, batch {r['batch']}")


def discrete_table(rows):
    return table(["estimator", "variance, nats²", "exact", "signal to noise", "bias", "time / rloo", "variance / base",
                  "variance x time / base"],
                 [[r["estimator"], interval(r, "variance"),
                   f"{r['exact_variance']:.4g}" if "exact_variance" in r else "", interval(r, "snr"),
                   f"{r['bias']:.2g} ± {r['bias_error']:.2g}" if "bias" in r else "",
                   f"{r['time_ratio']:.3g}" if "time_ratio" in r else "", interval(r, "variance_ratio"),
                   interval(r, "variance_time_ratio")] for r in rows])


def vae_table(rows):
    return table(["estimator", "variance, nats²", "signal to noise", "bias", "draws", "time / pathwise",
                  "variance / base", "variance x time / base"],
                 [[r["estimator"], interval(r, "variance"), interval(r, "snr"),
                   f"{r['bias']:.2g} ± {r['bias_error']:.2g}" if "bias" in r else "", str(r["draws"]),
                   f"{r['time_ratio']:.3g}" if "time_ratio" in r else "", interval(r, "variance_ratio"),
                   interval(r, "variance_time_ratio")] for r in rows])


def cost_table(rows):
    return table(["K", "estimator", "gradient, ms", "/ pathwise, quartiles", "backward pass, ms", "/ pathwise, 95%"],
                 [[str(r["samples"]), r["estimator"], f"{r['gradient_ms']:.1f}", interval(r, "time_ratio"),
                   f"{r['backward_ms']:.1f}", interval(r, "backward_ratio")] for r in rows])


def curves_table(rows):
    runs = {}
    for r in rows:
        runs.setdefault((r["estimator"], r["samples"]), []).append(r)
    lines = []
    for (name, samples), here in runs.items():
        last = [r["last_loss"] for r in here if isinstance(r["last_loss"], (int, float))]
        lines.append([name, str(samples), str(min(r["steps"][-1] for r in here)),
                      f"{sum(r['seconds'][-1] for r in here) / len(here):.3g}",
                      f"{sum(last) / len(last):.2f} ({min(last):.2f} to {max(last):.2f})" if last else "diverged"])
    return table(["estimator", "K", "steps", "seconds", "-ELBO, nats: mean and range of the seeds"], lines)


def snr_table(rows):
    ks = sorted({r["samples"] for r in rows})
    by = {}
    for r in rows:
        by.setdefault(r["estimator"], {})[r["samples"]] = r
    return table(["signal to noise"] + [f"K = {k}" for k in ks],
                 [[name] + [f"{here[k]['snr']:.3g}" if k in here else "" for k in ks] for name, here in by.items()])


def estimators(path, only=None):
    rows = json.loads(Path(path).read_text())
    commits = ", ".join(dict.fromkeys(r["commit"][:7] for r in rows))
    suites = {s: [r for r in rows if r["suite"] == s] for s in ("toy", "vae", "discrete", "cost", "curves", "snr")}
    points = {}
    for r in suites["vae"] + suites["discrete"]:
        if "variance" in r:
            points.setdefault(point(r), []).append(r)

    def draws_table(here):
        return (discrete_table if here[0]["suite"] == "discrete" else vae_table)(here)
    if only:
        return draws_table(points[only]) if only in points else sys.exit(f"tables.py: {only} is not one of {'; '.join(points)}")
    text = f"{rows[0]['machine']}; commit {commits}\n"
    known = [r for r in suites["toy"] if "exact_variance" in r and r["variance"] > 1e-9]
    if known:
        inside = sum(r["variance_low"] <= r["exact_variance"] <= r["variance_high"] for r in known)
        text += f"\n## toy\n\n{inside} of {len(known)} variances lie within their 95% interval around what was measured.\n"
    for name, here in points.items():
        text += f"\n## {here[0]['suite']}: {name}\n\n" + draws_table(here)
    for suite, make in (("cost", cost_table), ("curves", curves_table), ("snr", snr_table)):
        if suites[suite]:
            text += f"\n## {suite}\n\n" + make(suites[suite])
    return text


def main():
    kinds = {"kernels": kernels, "step": step, "tests": tests, "estimators": estimators}
    if len(sys.argv) < 3 or sys.argv[1] not in kinds:
        sys.exit(__doc__)
    result = kinds[sys.argv[1]](*sys.argv[2:])
    text, bad = result if isinstance(result, tuple) else (result, 0)
    print(text, end="")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
