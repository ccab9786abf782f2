"""The VAE of the README (784-400-20-400-784, ReLU, Bernoulli, Adam 1e-3) in PyTorch, written to be fast.

    python bench/peers/torch_vae.py step --batch 128 512 --mode eager --threads 2 --seconds 3
    python bench/peers/torch_vae.py step --mode compile --serve   # requests "batch seconds" on stdin, one in each line
    python bench/peers/torch_vae.py step --device cuda --precision tf32 --mode reduce-overhead
    python bench/peers/torch_vae.py learn --data DIR --epochs 20 --seeds 0 1 2 --out FILE.json

Each of these choices was measured on two Zen 4 cores: Adam(fused=True) is faster than foreach and a compiled foreach
step, index_select is faster than indexing, and comparing uniforms is faster than torch.bernoulli. torch.compile
compiles the forward pass and the loss, and therefore the backward pass. On a GPU it also compiles the gathering, which
its code generator can then fuse. reduce-overhead and max-autotune replay CUDA graphs of this; graph captures the
compiled step and the optimizer in one CUDA graph. The data are in the device's memory.
"""
import argparse
import gzip
import json
import os
import statistics
import sys
import time
from pathlib import Path

os.environ.pop("OPENBLAS_CORETYPE", None)  # it may be set for another program
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # no compiler processes during the measurement

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
        """Returns -E_q log p(x|z) and KL(q || p), summed over the batch, in nats."""
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
    def __init__(self, pixels, mode, precision="fp32"):
        self.pixels, self.device, self.bf16 = pixels, pixels.device, precision == "bf16"
        self.model = Vae().to(self.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=RATE, fused=True, capturable=mode == "graph")
        # dynamic=False: each batch size gets its own code.
        options = {"dynamic": False} if mode in ("compile", "graph") else {"dynamic": False, "mode": mode}
        compiled = (lambda f: f) if mode == "eager" else (lambda f: torch.compile(f, **options))
        if self.device.type == "cpu":
            forward = compiled(self.model)
            self.loss = lambda rows: self.loss_by(forward, rows)
        else:
            if mode != "eager":
                torch._dynamo.mark_static_address(pixels)  # or else a CUDA graph copies the data in every step
            self.loss = compiled(lambda rows: self.loss_by(self.model, rows))
        self.graphs = {} if mode == "graph" else None  # batch size -> (row numbers, graph)

    def loss_by(self, forward, rows):
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            reconstruction, kl = forward(gather(self.pixels, rows))
        return (reconstruction + kl) / len(rows)

    def update(self, rows):
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(rows).backward()
        self.optimizer.step()

    def step(self, rows):
        if self.graphs is None:
            return self.update(rows)
        if len(rows) not in self.graphs:
            self.graphs[len(rows)] = self.capture(rows)
        static_rows, graph = self.graphs[len(rows)]
        static_rows.copy_(rows)
        graph.replay()

    def capture(self, rows):
        """The whole step with its optimizer as a CUDA graph, as PyTorch's documentation recommends."""
        rows = rows.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.update(rows)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            self.update(rows)
        return rows, graph

    def batches(self, batch):
        """One epoch of shuffled row numbers; the remainder is left out."""
        order = torch.randperm(len(self.pixels), device=self.device)
        return order[:len(order) // batch * batch].view(-1, batch)

    def synchronize(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


# --- step: how long one training step takes --------------------------------------------------------------------------

def time_steps(training, batch, seconds):
    """Times blocks of steps for `seconds`. The first steps, and a compilation, do not count. On the CPU a block is one
    step. On a GPU it is about 20 ms of steps, because a step takes less time than the wait for its end."""
    def forever():
        while True:
            yield from training.batches(batch)

    rows = forever()

    def timed(steps):
        training.synchronize()
        start = time.perf_counter()
        for _ in range(steps):
            training.step(next(rows))
        training.synchronize()
        return (time.perf_counter() - start) / steps

    gpu = training.device.type == "cuda"
    for _ in range(10 if gpu else 3):  # the second or third step records CUDA graphs
        estimate = timed(1)
    block = max(1, int(0.02 / estimate)) if gpu else 1
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        times.append(timed(block))
    return {"batch": batch, "median_ms": 1e3 * statistics.median(times), "min_ms": 1e3 * min(times),
            "steps": len(times) * block}


def run_step(args):
    pixels = torch.randint(0, 256, (args.rows, DATA_DIM), dtype=torch.uint8)
    pixels *= torch.rand_like(pixels, dtype=torch.float32) < 0.2  # four in five are blank, as in pictures of digits
    training = Training(pixels.to(args.device), args.mode, args.precision)
    if args.serve:
        requests = (line.split() for line in iter(sys.stdin.readline, ""))
    else:
        requests = ((batch, args.seconds) for batch in args.batch)
    about = {"framework": "pytorch", "version": torch.__version__, "mode": args.mode, "device": args.device,
             "precision": args.precision, "threads": torch.get_num_threads()}
    for batch, seconds in requests:
        print(json.dumps({**about, **time_steps(training, int(batch), float(seconds))}), flush=True)


# --- learn: the ELBO of the trained model ----------------------------------------------------------------------------

def read_images(folder, name):
    with gzip.open(Path(folder) / f"{name}-images-idx3-ubyte.gz") as file:
        file.read(16)
        return torch.frombuffer(bytearray(file.read()), dtype=torch.uint8).view(-1, DATA_DIM)


@torch.no_grad()
def evaluate(training, pixels, batch=1000):
    """ELBO, reconstruction and KL in nats per example, one sample each, on binarized pixels."""
    reconstruction = kl = 0.0
    for rows in torch.arange(len(pixels), device=pixels.device).split(batch):
        r, k = training.model(gather(pixels, rows))
        reconstruction, kl = reconstruction - r.item(), kl + k.item()
    n = len(pixels)
    return {"elbo": (reconstruction - kl) / n, "reconstruction": reconstruction / n, "kl": kl / n}


def run_learn(args):
    train, test = (read_images(args.data, name).to(args.device) for name in ("train", "t10k"))
    runs = []
    for seed in args.seeds:
        torch.manual_seed(seed)
        training, epoch_seconds = Training(train, args.mode, args.precision), []
        for _ in range(args.epochs):
            start = time.perf_counter()
            for rows in training.batches(args.batch):
                training.step(rows)
            training.synchronize()
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
        command.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
        command.add_argument("--precision", choices=["fp32", "tf32", "bf16"], default="fp32",
                             help="of matrix products; bf16 is autocast")
        command.add_argument("--mode", default="eager",
                             choices=["eager", "compile", "reduce-overhead", "max-autotune", "graph"])
        command.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    if args.device != "cpu" and not torch.cuda.is_available():
        sys.exit(f"torch_vae.py: this PyTorch finds no device {args.device}")
    if args.device == "cpu" and args.mode == "graph":
        sys.exit("torch_vae.py: mode graph is for CUDA devices")
    torch.set_float32_matmul_precision("high" if args.precision == "tf32" else "highest")
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)  # Adam moments of blank pixels decay to denormals; cuvae flushes too
    args.run(args)


if __name__ == "__main__":
    main()
