"""The training step of cuvae beside PyTorch's, eager and compiled, in one interleaved run.

    python bench/compare_step.py --cuvae PATH/TO/cuvae-bench --out bench/results/step

All programs are started once and wait on stdin; requests "batch seconds" go to one after another, round after round, so
that a change of the machine's speed meets all of them. The table gives medians over the rounds, and medians of the
ratios within a round. Writes OUT.json (every answer, the machine, versions, commit, command) and OUT.md. Needs only the
standard library (PyTorch runs in --python).
"""
import argparse
import datetime
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TORCH_SCRIPT = ROOT / "bench" / "peers" / "torch_vae.py"


def run_text(*command):
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine():
    fields = dict(line.split(":", 1) for line in run_text("lscpu").splitlines() if ":" in line)
    flags = [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_tile") if f in fields.get("Flags", "").split()]
    return {"cpu": fields.get("Model name", platform.processor()).strip(), "cores": os.cpu_count(), "flags": flags,
            "system": platform.platform(), "load_at_start": os.getloadavg()}


def provenance():
    """What a reader needs to run the same again."""
    return {"machine": machine(), "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "commit": run_text("git", "rev-parse", "HEAD"), "modified": bool(run_text("git", "status", "--porcelain")),
            "command": shlex.join(["python", *sys.argv])}


def child_environment(threads):
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    # A waiting program must sleep: an active wait policy would burn the cores of the one being measured.
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OPENBLAS_CORETYPE"):
        environment.pop(name, None)
    return environment


class Server:
    def __init__(self, name, command, environment):
        self.name, self.command = name, command
        self.process = subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def ask(self, batch, seconds):
        try:
            print(batch, seconds, file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            sys.exit(f"{self.name} ended with code {self.process.wait()}: {shlex.join(self.command)}")
        return json.loads(answer)

    def close(self):
        self.process.communicate()  # closes its stdin and waits; does not mind if it has ended


def measure(servers, batches, rounds, seconds):
    """batch -> name -> answers, one for each round."""
    answers = {}
    for batch in batches:
        for server in servers:
            server.ask(batch, 0.0)  # compiles, allocates, warms the caches
        answers[batch] = {server.name: [] for server in servers}
        for _ in range(rounds):
            for server in servers:
                answers[batch][server.name].append(server.ask(batch, seconds))
        print(f"batch {batch}: {rounds} rounds done", file=sys.stderr)
    return answers


def spread(values, digits=2):
    """Median, with the smallest and the largest."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table(answers):
    names = list(next(iter(answers.values())))
    peers = names[1:]
    head = ["batch", *(f"{name}, ms" for name in names), "cuvae / its matrix products",
            *(f"{name} / cuvae" for name in peers)]
    lines = [head, ["---:"] * len(head)]
    for batch, by_name in answers.items():
        ms = {name: [a["median_ms"] for a in by_name[name]] for name in names}
        products = [a["median_ms"] / a["gemm_ms"] for a in by_name["cuvae"]]
        lines.append([str(batch), *(f"{statistics.median(ms[name]):.3g}" for name in names), spread(products),
                      *(spread([t / c for t, c in zip(ms[name], ms["cuvae"])]) for name in peers)])
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuvae", required=True, help="the program cuvae-bench")
    parser.add_argument("--python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--batch", type=int, nargs="+", default=[128, 512, 2048, 8192])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, required=True, help="OUT.json and OUT.md are written")
    args = parser.parse_args()

    commands = {"cuvae": [args.cuvae, "step", "--serve", "--threads", str(args.threads)]}
    for mode in ("eager", "compile"):
        commands[f"torch {mode}"] = [args.python, str(TORCH_SCRIPT), "step", "--serve", "--mode", mode, "--threads",
                                     str(args.threads)]
    started = provenance()
    environment = child_environment(args.threads)
    servers = [Server(name, command, environment) for name, command in commands.items()]
    try:
        answers = measure(servers, args.batch, args.rounds, args.seconds)
    finally:
        for server in servers:
            server.close()

    result = {**started, "threads": args.threads, "seconds": args.seconds, "answers": answers}
    first = answers[args.batch[0]]
    result["versions"] = {name: a[0].get("version", result["commit"]) for name, a in first.items()}
    text = (f"{result['machine']['cpu']}, {args.threads} threads, PyTorch {result['versions']['torch eager']}, "
            f"{result['date'][:10]}. Medians over {args.rounds} rounds; ratios are medians within a round (smallest to "
            f"largest).\n\n{table(answers)}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    args.out.with_suffix(".md").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
