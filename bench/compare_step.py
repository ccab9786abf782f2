"""Compares the training step of cuvae with those of PyTorch and JAX, in one interleaved run.

    python bench/compare_step.py --cuvae PATH/TO/cuvae-bench --out bench/results/step
    python bench/compare_step.py --cuvae PATH/TO/cuvae-bench --device cuda --precision tf32 --out bench/results/step_gpu

All programs start once and wait for requests "batch seconds" on stdin. In each round, one program after another gets a
request, so that a change of the machine's speed affects all of them. The table gives medians over the rounds, and
medians of the ratios within a round. A peer that does not run is left out and named; the exit code is then 1. Writes
OUT.json (every answer, the machine, versions, commit, command) and OUT.md. Needs only the standard library (the peers
run in --python and --jax-python).
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
PEERS = ROOT / "bench" / "peers"


def run_text(*command):
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def gpu(device):
    """Name and driver of "cuda:N" from nvidia-smi."""
    ordinal = device.partition(":")[2] or "0"
    return run_text("nvidia-smi", f"--id={ordinal}", "--query-gpu=name,driver_version", "--format=csv,noheader")


def machine(device="cpu"):
    fields = dict(line.split(":", 1) for line in run_text("lscpu").splitlines() if ":" in line)
    flags = [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_tile") if f in fields.get("Flags", "").split()]
    gpus = {} if device == "cpu" else {"gpu": gpu(device)}
    return {**gpus, "cpu": fields.get("Model name", platform.processor()).strip(), "cores": os.cpu_count(),
            "flags": flags, "system": platform.platform(), "load_at_start": os.getloadavg()}


def provenance(device="cpu"):
    """What a reader needs to repeat the run."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"machine": machine(device), "date": now.isoformat(timespec="seconds"),
            "commit": os.environ.get("CUVAE_COMMIT") or run_text("git", "rev-parse", "HEAD"), "modified": bool(run_text("git", "status", "--porcelain")),
            "command": shlex.join(["python", *sys.argv])}


def child_environment(threads):
    environment = dict(os.environ, OMP_NUM_THREADS=str(threads))
    # Waiting programs must sleep. With an active wait policy they would use the cores of the program that is measured.
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OPENBLAS_CORETYPE"):
        environment.pop(name, None)
    return environment


class Ended(Exception):
    """A program ended instead of giving an answer."""


class Server:
    def __init__(self, name, command, environment):
        self.name, self.command = name, command
        self.process = subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)

    def send(self, batch, seconds):
        try:
            print(batch, seconds, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # receive() reports that it has ended

    def receive(self):
        answer = self.process.stdout.readline()
        if not answer:
            raise Ended(f"{self.name} ended with code {self.process.wait()}: {shlex.join(self.command)}")
        return json.loads(answer)

    def close(self):
        self.process.communicate()  # closes its stdin and waits; works also if the program has ended


def measure(servers, batches, rounds, seconds, left_out):
    """Yields, after each batch, batch -> name -> list of answers, one for each round. Removes peers that end from
    `servers` and adds their names to left_out."""
    answers = {}

    def receive(server):
        try:
            return server.receive()
        except Ended as error:
            if server is servers[0]:
                raise
            print(error, file=sys.stderr)
            left_out.append(server.name)
            servers.remove(server)

    for batch in batches:
        for server in servers:
            server.send(batch, 0.0)  # compiles, allocates, fills the caches; at the same time, as compilers are slow
        for server in list(servers):
            receive(server)
        answers[batch] = {server.name: [] for server in servers}
        for _ in range(rounds):
            for server in list(servers):
                server.send(batch, seconds)
                answers[batch][server.name].append(receive(server))
        print(f"batch {batch}: {rounds} rounds done", file=sys.stderr)
        yield {b: {server.name: by_name[server.name] for server in servers} for b, by_name in answers.items()}


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


def commands(args):
    """name -> command. The first one is cuvae."""
    where = ["--device", args.device, "--precision", args.precision]
    threads = ["--threads", str(args.threads)]
    result = {"cuvae": [args.cuvae, "step", "--serve", *where, *threads]}
    for peer in args.peers:
        framework, _, mode = peer.partition(":")
        if framework == "torch":
            result[f"torch {mode}"] = [args.python, str(PEERS / "torch_vae.py"), "step", "--serve", "--mode", mode,
                                       *where, *threads]
        else:
            result["jax"] = [args.jax_python or args.python, str(PEERS / "jax_vae.py"), "--serve", *where]
    return result


def write(args, started, answers, left_out):
    result = {**started, "device": args.device, "precision": args.precision, "threads": args.threads,
              "seconds": args.seconds, "left_out": left_out, "answers": answers}
    first = answers[args.batch[0]]
    result["versions"] = {name: a[0].get("version", result["commit"]) for name, a in first.items()}
    processor = result["machine"]["cpu"] if args.device == "cpu" else f"{result['machine']['gpu']}, {args.precision}"
    by_framework = {name.split()[0]: version for name, version in result["versions"].items() if name != "cuvae"}
    versions = "".join(f"{framework} {version}, " for framework, version in by_framework.items())
    text = (f"{processor}, {args.threads} threads, {versions}{result['date'][:10]}. Medians over {args.rounds} rounds; "
            f"ratios are medians within a round (smallest to largest).\n\n{table(answers)}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    args.out.with_suffix(".md").write_text(text)
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuvae", required=True, help="the program cuvae-bench")
    parser.add_argument("--python", default=sys.executable, help="a Python that has torch")
    parser.add_argument("--jax-python", help="a Python that has jax, if it is a different one")
    parser.add_argument("--peers", nargs="+", choices=["torch:eager", "torch:compile", "torch:reduce-overhead",
                                                       "torch:max-autotune", "torch:graph", "jax"],
                        help="default: torch:eager torch:compile on the CPU, torch:eager torch:reduce-overhead "
                             "torch:graph jax on a GPU")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--precision", choices=["fp32", "tf32", "bf16"], default="fp32", help="of matrix products")
    parser.add_argument("--batch", type=int, nargs="+", default=[128, 512, 2048, 8192])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, required=True, help="OUT.json and OUT.md are written")
    args = parser.parse_args()
    if args.peers is None:
        args.peers = (["torch:eager", "torch:compile"] if args.device == "cpu" else
                      ["torch:eager", "torch:reduce-overhead", "torch:graph", "jax"])

    started = provenance(args.device)
    environment = child_environment(args.threads)
    started_servers = [Server(name, command, environment) for name, command in commands(args).items()]
    servers, left_out = list(started_servers), []
    try:
        for answers in measure(servers, args.batch, args.rounds, args.seconds, left_out):
            text = write(args, started, answers, left_out)  # so that an interrupted run keeps its results
    except Ended as error:
        sys.exit(f"compare_step.py: {error}")
    finally:
        for server in started_servers:
            server.close()

    print(text, end="")
    if left_out:
        sys.exit(f"compare_step.py: left out, since they ended: {', '.join(left_out)}")


if __name__ == "__main__":
    main()
