#!/usr/bin/env python3
"""Kills a small training N times at random moments and resumes it each time.

Every run must end with the bytes of an uninterrupted run: checkpoints, settings, pictures, and metrics except times. A run
starts in a new folder, or replaces an older run with --overwrite; the older run must then stay complete until the new one
is. Prints the counts. At the first difference, exits with code 1 and keeps the folder.
"""
import argparse
import json
import pathlib
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

CLOCK = ("seconds", "examples_per_second")
TEMPORARY = (".cuvae.", ".new-run")


def write_data(folder, seed):
    """250 training and 50 test images of 8 x 8 pixels, as IDX files."""
    folder.mkdir()
    pixels = random.Random(seed)
    for name, count in (("train-images-idx3-ubyte", 250), ("t10k-images-idx3-ubyte", 50)):
        header = struct.pack(">4I", 2051, count, 8, 8)
        (folder / name).write_bytes(header + pixels.randbytes(count * 64))


def contents(run):
    """The bytes of every file by its name. For metrics.jsonl, its objects without the values that a clock measured."""
    found = {}
    for file in run.iterdir():
        if file.name == "metrics.jsonl":
            lines = [json.loads(line) for line in file.read_text().splitlines()]
            found[file.name] = [{k: v for k, v in line.items() if k not in CLOCK} for line in lines]
        elif file.is_file():
            found[file.name] = file.read_bytes()
        else:
            found[file.name] = "a folder"
    return found


class Campaign:
    def __init__(self, cuvae, work, seed):
        self.cuvae, self.work, self.random = cuvae, work, random.Random(seed)
        self.data, self.run = work / "data", work / "run"
        self.kills = self.runs = self.replaced = self.early = self.amid = 0
        write_data(self.data, seed)
        start = time.monotonic()
        self.reference = self.complete(work / "reference", 1)
        self.seconds = time.monotonic() - start
        self.older = self.complete(work / "older", 2)

    def train(self, out, seed, *more):
        settings = "--epochs 12 --batch 20 --hidden 24 --latent 2 --threads 1 --validation 0.2 --ema 0.9 --log-every 3"
        return [self.cuvae, "train", "--quiet", "--data", self.data, "--out", out, "--seed", str(seed),
                *settings.split(), *more]

    def complete(self, out, seed):
        subprocess.run(self.train(out, seed), check=True)
        return contents(out)

    def differs(self, wanted, what):
        found = contents(self.run)
        names = sorted(n for n in found.keys() | wanted.keys() if found.get(n) != wanted.get(n))
        if names:
            sys.exit(f"after {self.kills} kills {what} differs in {', '.join(names)}: see {self.run}")

    def next_command(self, replacing):
        """The command that continues after a kill: resume if the new run exists, else the same start again."""
        standing = (self.run / ".new-run" / "last.safetensors").exists()
        if replacing and not standing:
            config = (self.run / "config.json").read_bytes()
            if config == self.older["config.json"]:  # the older run must be complete
                subprocess.run([self.cuvae, "info", self.run], check=True, stdout=subprocess.DEVNULL)
                kept = {n: b for n, b in contents(self.run).items() if not n.startswith(TEMPORARY)}
                if kept != self.older:
                    sys.exit(f"after {self.kills} kills the older run is not complete: see {self.run}")
                return self.train(self.run, 1, "--overwrite")
        if not replacing and not (self.run / "config.json").exists():
            self.early += 1
            return self.train(self.run, 1)
        self.amid += replacing and standing
        return [self.cuvae, "resume", "--quiet", self.run]

    def one_run(self, kills):
        """Runs one training to its end. Kills it at random moments, until there were `kills` kills in all."""
        replacing = self.random.random() < 0.5
        shutil.rmtree(self.run, ignore_errors=True)
        if replacing:
            shutil.copytree(self.work / "older", self.run)
        command = self.train(self.run, 1, *(["--overwrite"] if replacing else []))
        while True:
            process = subprocess.Popen(command, stderr=subprocess.PIPE)
            if self.kills < kills:
                # Starts and replacements are short, so half of the kills are early.
                time.sleep(self.random.uniform(0, self.seconds * self.random.choice((0.15, 1.5))))
                process.send_signal(signal.SIGKILL)
            message = process.communicate()[1].decode(errors="replace")
            if process.returncode == 0:
                self.seconds *= 0.8  # the machine may be faster now than at the measurement
                break
            if process.returncode != -signal.SIGKILL:
                sys.exit(f"after {self.kills} kills, exit code {process.returncode}: {message.strip()}: see {self.run}")
            self.kills += 1
            self.seconds *= 1.03
            command = self.next_command(replacing)
        self.differs(self.reference, "the run")
        self.runs += 1
        self.replaced += replacing


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kills", type=int, metavar="N")
    parser.add_argument("--cuvae", default="build/release/cuvae", help="the program (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the data (default: 0)")
    arguments = parser.parse_args()
    cuvae = str(pathlib.Path(arguments.cuvae).resolve())
    work = pathlib.Path(tempfile.mkdtemp(prefix="cuvae-kills-"))
    campaign = Campaign(cuvae, work, arguments.seed)
    start = time.monotonic()
    while campaign.kills < arguments.kills:
        campaign.one_run(arguments.kills)
        print(f"{campaign.kills} of {arguments.kills} kills, {campaign.runs} runs", file=sys.stderr)
    shutil.rmtree(work)
    print(f"{campaign.kills} kills of {campaign.runs} runs in {time.monotonic() - start:.0f} s, {campaign.replaced} of them "
          f"in the place of an older run ({campaign.early} kills before there was a run, {campaign.amid} while it took "
          f"its place): every run ended with the bytes of the uninterrupted one")


if __name__ == "__main__":
    main()
