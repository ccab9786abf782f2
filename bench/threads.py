"""Times the training step on one thread and on several, on a quiet machine and while other programs use all cores.

    python bench/threads.py --bench PATH/TO/cuvae-bench --out bench/results/threads
    python bench/threads.py --bench NEW/cuvae-bench --before OLD/cuvae-bench --out bench/results/threads

Programs take turns within a round, so that a ratio compares measurements that follow each other. The table gives
medians, and the median, the smallest and the largest ratio of the rounds. Needs Python's standard library only.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys


class Server:
    """`cuvae-bench step --serve`: answers "batch seconds" with one JSON object."""

    def __init__(self, program, threads):
        command = [program, "step", "--serve", "--threads", str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def milliseconds(self, batch, seconds):
        self.process.stdin.write(f"{batch} {seconds}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit("threads.py: the benchmark ended early")
        return json.loads(answer)["median_ms"]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def busy_loops(count):
    return [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]


def processor():
    try:
        with open("/proc/cpuinfo") as info:
            return next(line.split(": ")[1].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def measure(programs, batches, rounds, seconds, load):
    """A dict from batch to program to the milliseconds of every round."""
    hogs = busy_loops(os.cpu_count()) if load else []
    times = {batch: {name: [] for name in programs} for batch in batches}
    try:
        for batch in batches:
            for _ in range(rounds):
                for name, server in programs.items():
                    times[batch][name].append(server.milliseconds(batch, seconds))
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    return times


def ratio(above, below):
    values = [a / b for a, b in zip(above, below)]
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def table(times, names, base):
    head = ["batch"] + [f"{name}, ms" for name in names] + [f"{name} / {base}" for name in names if name != base]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---:"] * len(head)) + " |"]
    for batch, by_name in times.items():
        cells = [str(batch)] + [f"{statistics.median(by_name[name]):.3g}" for name in names]
        cells += [ratio(by_name[name], by_name[base]) for name in names if name != base]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True, help="cuvae-bench")
    parser.add_argument("--before", help="another build of cuvae-bench, also measured on several threads")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="the larger number of threads")
    parser.add_argument("--batch", type=int, nargs="+", default=[20, 128, 512, 2048])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--out", required=True, help="path without extension: writes .json and .md")
    options = parser.parse_args()

    several = f"{options.threads} threads"
    programs = {"1 thread": Server(options.bench, 1), several: Server(options.bench, options.threads)}
    if options.before:
        programs[f"{several} before"] = Server(options.before, options.threads)
    load_at_start = os.getloadavg()[0]
    quiet, busy = (measure(programs, options.batch, options.rounds, options.seconds, load) for load in (False, True))
    for server in programs.values():
        server.close()

    names = list(programs)
    text = (f"{processor()}, {os.cpu_count()} cores; load at the start {load_at_start:.2f}. Step of 784-400-20-400-784.\n"
            f"`python bench/threads.py --rounds {options.rounds} --seconds {options.seconds}`\n\n"
            f"Quiet machine:\n\n{table(quiet, names, '1 thread')}\n\n"
            f"With {os.cpu_count()} busy loops of other programs:\n\n{table(busy, names, '1 thread')}\n")
    with open(options.out + ".md", "w") as file:
        file.write(text)
    with open(options.out + ".json", "w") as file:
        json.dump({"processor": processor(), "cores": os.cpu_count(), "load_at_start": load_at_start,
                   "quiet_ms": quiet, "busy_ms": busy}, file, indent=1)
        file.write("\n")
    print(text)


if __name__ == "__main__":
    main()
