"""The VAE of the README (784-400-20-400-784, ReLU, Bernoulli, Adam 1e-3) in PyTorch on the CPU, written to be fast.

    python bench/peers/torch_vae.py step --batch 128 512 --mode eager --threads 2 --seconds 3
    python bench/peers/torch_vae.py step --mode compile --serve   # requests "batch seconds" on stdin, a line each
    python bench/peers/torch_vae.py learn --data DIR --epochs 20 --seeds 0 1 2 --out FILE.json

Choices, each measured on two Zen 4 cores: Adam(fused=True) beats foreach and a compiled foreach step, index_select
beats indexing, comparing uniforms beats torch.bernoulli. torch.compile sees the forward pass and the loss, and so the
backward pass.
"""
import argparse
import gzip
import json
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.pop("OPENBLAS_CORETYPE", None)  # a kernel choice for some other program
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no pool of compiler processes beside the measurement

import torch
import torch.nn as nn
import torch.nn.functional as F

DATA_DIM, HIDDEN, LATENT, RATE = 784, 400, 20, 1e-3


class Vae(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder1, self.encoder2 = nn.Linear(DATA_DIM, HIDDEN), nn.Linear(HIDDEN, 2 * LATENT)
        self.decoder1, self.decoder2 = nn.Linear(LATENT, HIDDEN), nn.Linear(HIDDEN, DATA_DIM)
        for layer in self.children():
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        """-> -E_q log p(x|z) and KL(q || p), sums over the batch in nats."""
        mu, logvar = self.encoder2(F.relu(self.encoder1(x))).chunk(2, dim=-1)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        logits = self.decoder2(F.relu(self.decoder1(z)))
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        return reconstruction, -0.5 * torch.sum(1 + logvar - mu.square() - logvar.exp())


def gather(pixels, rows):
    """Dynamically binarized rows of the u8 pixels."""
    x = pixels.index_select(0, rows).float().div_(255)
    return (torch.rand_like(x) < x).float()


class Training:
    def __init__(self, pixels, mode):
        self.pixels = pixels
        self.model = Vae()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=RATE, fused=True)
        # dynamic=False: each batch size gets code of its own.
        self.forward = torch.compile(self.model, dynamic=False) if mode == "compile" else self.model

    def step(self, rows):
        reconstruction, kl = self.forward(gather(self.pixels, rows))
        loss = (reconstruction + kl) / len(rows)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss

    def batches(self, batch):
        """One epoch of shuffled row numbers; the remainder is left out."""
        order = torch.randperm(len(self.pixels))
        return order[:len(order) // batch * batch].view(-1, batch)


# --- step: how long one training step takes --------------------------------------------------------------------------

def time_steps(training, mode, batch, seconds):
    """Times step by step for `seconds`, after three steps (and a compilation) that do not count."""
    def forever():
        while True:
            yield from training.batches(batch)

    rows = forever()
    for _ in range(3):
        training.step(next(rows))
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        training.step(next(rows))
        times.append(time.perf_counter() - start)
    return {"framework": "pytorch", "version": torch.__version__, "mode": mode, "threads": torch.get_num_threads(),
            "batch": batch, "median_ms": 1e3 * statistics.median(times), "min_ms": 1e3 * min(times),
            "steps": len(times)}


def run_step(args):
    pixels = torch.randint(0, 256, (args.rows, DATA_DIM), dtype=torch.uint8)
    pixels *= torch.rand_like(pixels, dtype=torch.float32) < 0.2  # four in five are blank, as in pictures of digits
    training = Training(pixels, args.mode)
    if args.serve:
        requests = (line.split() for line in iter(sys.stdin.readline, ""))
    else:
        requests = ((batch, args.seconds) for batch in args.batch)
    for batch, seconds in requests:
        print(json.dumps(time_steps(training, args.mode, int(batch), float(seconds))), flush=True)


# --- learn: what the model reaches -----------------------------------------------------------------------------------

def read_images(folder, name):
    with gzip.open(Path(folder) / f"{name}-images-idx3-ubyte.gz") as file:
        file.read(16)
        return torch.frombuffer(bytearray(file.read()), dtype=torch.uint8).view(-1, DATA_DIM)


@torch.no_grad()
def evaluate(training, pixels, batch=1000):
    """ELBO, reconstruction and KL in nats per example, one sample each, on binarized pixels."""
    reconstruction = kl = 0.0
    for rows in torch.arange(len(pixels)).split(batch):
        r, k = training.model(gather(pixels, rows))
        reconstruction, kl = reconstruction - r.item(), kl + k.item()
    n = len(pixels)
    return {"elbo": (reconstruction - kl) / n, "reconstruction": reconstruction / n, "kl": kl / n}


def run_learn(args):
    train, test = read_images(args.data, "train"), read_images(args.data, "t10k")
    runs = []
    for seed in args.seeds:
        torch.manual_seed(seed)
        training, epoch_seconds = Training(train, args.mode), []
        for _ in range(args.epochs):
            start = time.perf_counter()
            for rows in training.batches(args.batch):
                training.step(rows)
            epoch_seconds.append(time.perf_counter() - start)
        runs.append({"seed": seed, **evaluate(training, test), "epoch_seconds": epoch_seconds})
        print(json.dumps(runs[-1]), flush=True)
    result = {"framework": "pytorch", "version": torch.__version__, "mode": args.mode,
              "threads": torch.get_num_threads(), "batch": args.batch, "epochs": args.epochs,
              "train_examples": len(train), "test_examples": len(test), "runs": runs}
    args.out.write_text(json.dumps(result, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    step = commands.add_parser("step", help="time the training step")
    step.add_argument("--batch", type=int, nargs="+", default=[128, 512, 2048, 8192])
    step.add_argument("--seconds", type=float, default=3.0)
    step.add_argument("--rows", type=int, default=60000, help="rows of random pixels to train on")
    step.add_argument("--serve", action="store_true", help='read "batch seconds" from stdin, one request a line')
    step.set_defaults(run=run_step)
    learn = commands.add_parser("learn", help="train, then evaluate on the test set")
    learn.add_argument("--data", required=True, help="folder with the four gzipped IDX files")
    learn.add_argument("--epochs", type=int, default=20)
    learn.add_argument("--batch", type=int, default=128)
    learn.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    learn.add_argument("--out", type=Path, required=True)
    learn.set_defaults(run=run_learn)
    for command in (step, learn):
        command.add_argument("--mode", choices=["eager", "compile"], default="eager")
        command.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)  # Adam moments of blank pixels decay to denormals; cuvae flushes too
    args.run(args)


if __name__ == "__main__":
    main()
