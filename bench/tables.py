"""Markdown tables from what the programs write.

    python bench/tables.py kernels FILE.jsonl    # of cuvae-bench kernels --json
    python bench/tables.py step FILE.jsonl       # of cuvae-bench step --device cuda --json
    python bench/tables.py tests FILE.json ...   # of test programs with --gtest_output=json:FILE.json
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


def main():
    kinds = {"kernels": kernels, "step": step, "tests": tests}
    if len(sys.argv) < 3 or sys.argv[1] not in kinds:
        sys.exit(__doc__)
    result = kinds[sys.argv[1]](*sys.argv[2:])
    text, bad = result if isinstance(result, tuple) else (result, 0)
    print(text, end="")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
