"""Compares the test ELBO of the same VAE on MNIST with cuvae and with PyTorch: three seeds each, in nats.

    python bench/compare_learning.py --data MNIST_FOLDER --cuvae PATH/TO/cuvae --out bench/results/learning

Both train 784-400-20-400-784 (ReLU, Bernoulli, dynamic binarization, batch 128, Adam 1e-3), each with its own random
numbers. So their results agree within the spread over seeds, but not in every digit. Writes OUT.json and OUT.md. Needs
only the standard library (PyTorch runs in --python).
"""
import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from compare_step import PEERS, child_environment, provenance

KEYS = ("elbo", "reconstruction", "kl")


def call(command, environment, **options):
    print(shlex.join(command), file=sys.stderr)
    done = subprocess.run(command, env=environment, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"ended with code {done.returncode}: {shlex.join(command)}")
    return done.stdout


def learn_cuvae(args, environment, folder):
    runs = []
    for seed in args.seeds:
        run = str(Path(folder) / f"cuvae-{seed}")
        start = time.perf_counter()
        call([args.cuvae, "train", "--data", args.data, "--out", run, "--epochs", str(args.epochs), "--seed", str(seed),
              "--hidden", "400", "--latent", "20", "--batch", "128", "--lr", "1e-3", "--binarize", "stochastic",
              "--quiet"], environment, stdout=sys.stderr)
        seconds = time.perf_counter() - start
        evaluation = json.loads(call([args.cuvae, "eval", run, "--data", args.data, "--json"], environment,
                                     stdout=subprocess.PIPE))
        runs.append({"seed": seed, **evaluation, "seconds_per_epoch": seconds / args.epochs})
    return runs


def learn_torch(args, environment, folder):
    out = Path(folder) / "torch.json"
    script = str(PEERS / "torch_vae.py")
    call([args.python, script, "learn", "--data", args.data, "--epochs", str(args.epochs), "--seeds",
          *map(str, args.seeds), "--mode", args.mode, "--threads", str(args.threads), "--out", str(out)], environment,
         stdout=sys.stderr)
    result = json.loads(out.read_text())
    runs = [{**run, "seconds_per_epoch": statistics.mean(run["epoch_seconds"])} for run in result["runs"]]
    return runs, result["version"]


def mean_and_spread(values):
    text = f"{statistics.mean(values):.2f}"
    return text + (f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else "")


def table(results):
    lines = [["", "seed", "ELBO", "reconstruction", "KL", "seconds per epoch"], ["---", *["---:"] * 5]]
    for name, runs in results.items():
        for run in runs:
            lines.append([name, str(run["seed"]), *(f"{run[k]:.2f}" for k in KEYS), f"{run['seconds_per_epoch']:.2f}"])
        lines.append([f"**{name}**", "mean ± sd", *(mean_and_spread([run[k] for run in runs]) for k in KEYS),
                      mean_and_spread([run["seconds_per_epoch"] for run in runs])])
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with the four gzipped IDX files of MNIST")
    parser.add_argument("--cuvae", required=True, help="the program")
    parser.add_argument("--python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--mode", choices=["eager", "compile"], default="eager", help="mode of PyTorch")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, required=True, help="OUT.json and OUT.md are written")
    args = parser.parse_args()

    started = provenance()
    environment = child_environment(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        results = {"cuvae": learn_cuvae(args, environment, folder)}
        results["pytorch"], version = learn_torch(args, environment, folder)

    record = {**started, "epochs": args.epochs, "threads": args.threads, "torch": version, "torch_mode": args.mode,
              "runs": results}
    text = (f"Test set, nats per example, one sample each, after {args.epochs} epochs. {record['machine']['cpu']}, "
            f"{args.threads} threads, PyTorch {version} ({args.mode}), {record['date'][:10]}. The seconds of cuvae are "
            "those of the whole command, start and checkpoints included; PyTorch's those of its epochs alone.\n\n"
            + table(results))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    args.out.with_suffix(".md").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
