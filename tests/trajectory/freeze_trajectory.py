"""Ten training steps in PyTorch float64, frozen to hold the library's trajectory against.

    python tests/trajectory/freeze_trajectory.py            # writes frozen.json next to this file
    python tests/trajectory/freeze_trajectory.py --float32  # how far the same steps in float32 end from frozen.json

Needs torch and numpy. It shares no code with the library: noise, initial parameters, batches and schedules are computed
here from their definitions, gradients come from autograd, updates from torch.optim.

frozen.json holds, for each configuration, its settings (named as in VaeConfig and TrainConfig), for each step the loss,
the reconstruction E_q log p(x|z), the KL without beta or free bits, the gradient norm before clipping, and for each
parameter its norm, sum, how far it moved from its start (the norm of the change), and values at up to 16 positions
(row-major) after steps 1 and 10; with averaged weights, theirs too. Differences are best judged against `moved`.
"""
import argparse
import copy
import gzip
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

HERE = Path(__file__).resolve().parent
INITIALIZATION, SHUFFLE, BINARIZE, LATENT, LATENT_2 = 0, 1, 2, 3, 256  # stream numbers
ROWS, STEPS, SNAPSHOTS = 64, 10, (1, 10)

# 64 rows in batches of 16: four steps an epoch, the tenth step is the second of the third epoch.
BASE = dict(
    data_dim=784, latent=8, encoder_hidden=[32], decoder_hidden=[32], activation="relu", likelihood="bernoulli",
    scale=1.0, initialization="glorot", seed=1, batch=16, samples=1, epochs=3, binarize="stochastic", beta=1.0,
    kl_warmup_epochs=0.0, free_bits=0.0, optimizer="adam", schedule="constant", rate=1e-3, final_rate=0.0,
    warmup_epochs=0.0, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0, clip_norm=0.0, ema_decay=0.0)

CONFIGURATIONS = {
    "bernoulli_relu_adam": {},
    "two_layers_tanh_three_samples_adamw_clip_ema": dict(
        encoder_hidden=[40, 24], decoder_hidden=[24, 40], activation="tanh", seed=0x123456789ABCDEF, samples=3,
        kl_warmup_epochs=1.5, optimizer="adamw", weight_decay=0.01, clip_norm=1.0, ema_decay=0.9),
    "gaussian_learned_per_dim_silu_sgd_free_bits": dict(
        activation="silu", likelihood="gaussian_learned_per_dim", seed=3, binarize="none",
        free_bits=0.04, optimizer="sgd", rate=1e-4),  # some latent dimensions lie above it and some below
    "gaussian_gelu_he_cosine": dict(
        activation="gelu", likelihood="gaussian", scale=0.5, initialization="he", seed=4, schedule="cosine",
        warmup_epochs=0.75),
    # The two-layer model of Burda et al. 2015, smaller: the ELBO with the KL from the samples.
    "two_latent_layers_tanh": dict(
        latent=10, encoder_hidden=[32, 32], decoder_hidden=[32, 32], activation="tanh", seed=5, samples=2,
        estimator="total", above=[dict(latent=5, encoder_hidden=[16, 16], decoder_hidden=[16, 16])]),
}

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh, "silu": F.silu, "gelu": F.gelu}


# --- Noise: a function of seed, stream, step and index ---------------------------------------------------------------

def philox4x32(counter, key):
    """Philox4x32-10, Salmon et al. 2011: four counter words (arrays of one shape) and two key words to four words."""
    low = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    c = [np.asarray(w, dtype=np.uint64) for w in counter]
    k0, k1 = key
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(b >> shift) ^ c[1] ^ np.uint64(k0), b & low, (a >> shift) ^ c[3] ^ np.uint64(k1), a & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, axis=-1)


def words(seed, stream, step, start, count):
    """Words number start .. start + count: word index % 4 of counter (index / 4, step, stream)."""
    first, last = start // 4, (start + count + 3) // 4
    w = np.arange(first, last, dtype=np.uint64)
    zero = np.zeros_like(w)
    out = philox4x32((w & np.uint64(0xFFFFFFFF), w >> np.uint64(32), zero + np.uint64(step), zero + np.uint64(stream)),
                     (seed & 0xFFFFFFFF, seed >> 32))
    return out.reshape(-1)[start - 4 * first:][:count]


def uniforms(seed, stream, step, start, count):
    return words(seed, stream, step, start, count) * 2.0**-32 + 2.0**-33


def normals(seed, stream, step, count):
    u = uniforms(seed, stream, step, 0, (count + 1) // 2 * 2).reshape(-1, 2)
    r, turn = np.sqrt(-2.0 * np.log(u[:, 0])), 2.0 * np.pi * u[:, 1]
    return np.stack([r * np.sin(turn), r * np.cos(turn)], axis=1).reshape(-1)[:count]


def epoch_order(seed, epoch, rows):
    """Fisher-Yates from the unshuffled rows."""
    order = list(range(rows))
    w = words(seed, SHUFFLE, epoch, 0, rows)
    for i in range(rows - 1, 0, -1):
        j = (int(w[i]) * (i + 1)) >> 32
        order[i], order[j] = order[j], order[i]
    return order


# --- The model -------------------------------------------------------------------------------------------------------

def initial_parameters(c):
    """Name -> (offset in the arena, float32 values). Each parameter starts at a multiple of 16 floats."""
    def networks(number, below, layer, out):
        for name, widths in (("encoder", [below, *layer["encoder_hidden"], 2 * layer["latent"]]),
                             ("decoder", [layer["latent"], *layer["decoder_hidden"], out])):
            yield from ((f"{name}{number}.{i}", *sizes) for i, sizes in enumerate(zip(widths, widths[1:])))

    params, offset = {}, 0

    def add(name, values):
        nonlocal offset
        params[name] = (offset, values.astype(np.float32))
        offset += -(-values.size // 16) * 16

    def add_layers(layers):
        for name, n_in, n_out in layers:
            bound = math.sqrt(6.0 / (n_in if c["initialization"] == "he" else n_in + n_out))
            u = uniforms(c["seed"], INITIALIZATION, 0, offset, n_in * n_out)
            add(name + ".weight", ((2.0 * u - 1.0) * bound).reshape(n_out, n_in))
            add(name + ".bias", np.zeros((1, n_out)))

    add_layers(networks("", c["data_dim"], c, c["data_dim"]))
    if c["likelihood"].startswith("gaussian_learned"):
        width = c["data_dim"] if c["likelihood"].endswith("per_dim") else 1
        add("log_scale", np.full((1, width), math.log(c["scale"])))
    below = c["latent"]
    for number, layer in enumerate(c.get("above", []), start=2):
        add_layers(networks(number, below, layer, 2 * below))
        below = layer["latent"]
    return params


def batch(c, pixels, step):
    """x [B, D] of this step, float32 values."""
    per_epoch = ROWS // c["batch"]
    first = step % per_epoch * c["batch"]
    rows = epoch_order(c["seed"], step // per_epoch, ROWS)[first:first + c["batch"]]
    x = pixels[rows].astype(np.float32) / np.float32(255)
    if c["binarize"] == "stochastic":
        u = uniforms(c["seed"], BINARIZE, step, 0, x.size).reshape(x.shape)
        # Otherwise the library's float32 uniform could be on the other side of the pixel.
        assert np.abs(u - x).min() > 2.0**-23, "a uniform too close to its pixel: choose another seed"
        x = (u <= x).astype(np.float32)
    return x


def mlp(x, params, name, activation):
    layers = sum(key.startswith(name + ".") and key.endswith("weight") for key in params)
    for i in range(layers):
        x = x @ params[f"{name}.{i}.weight"].T + params[f"{name}.{i}.bias"]
        if i + 1 < layers:
            x = activation(x)
    return x


def losses(c, params, x, step):
    """loss, mean log p(x|z), mean KL. Kingma and Welling 2013, eq. 10 and appendix B; of several layers from samples."""
    B, K, L = x.shape[0], c["samples"], c["latent"]
    activation = ACTIVATIONS[c["activation"]]
    stats = mlp(x, params, "encoder", activation)
    mu, logvar = stats[:, :L], stats[:, L:].clamp(-15.0, 15.0)
    eps = torch.from_numpy(normals(c["seed"], LATENT, step, B * K * L)).to(x.dtype).reshape(B, K, L)
    z = mu[:, None, :] + torch.exp(0.5 * logvar)[:, None, :] * eps
    out = mlp(z.reshape(B * K, L), params, "decoder", activation).reshape(B, K, -1)
    target = x[:, None, :].expand_as(out)
    if c["likelihood"] == "bernoulli":
        log_p = -F.binary_cross_entropy_with_logits(out, target, reduction="none").sum(-1)
    else:
        fixed = torch.full((1, 1), math.log(c["scale"]), dtype=x.dtype)
        log_scale = params.get("log_scale", fixed).clamp(-7.0, 7.0)
        log_p = torch.distributions.Normal(out, torch.exp(log_scale)).log_prob(target).sum(-1)
    if "above" in c:
        kl = kl_from_samples(c, params, z.reshape(B * K, L), mu, logvar, step).mean()
        return kl - log_p.mean(), log_p.mean(), kl
    kl_dims = 0.5 * (mu**2 + torch.exp(logvar) - logvar - 1.0).mean(0)
    counted = torch.clamp(kl_dims, min=c["free_bits"]).sum() if c["free_bits"] > 0 else kl_dims.sum()
    assert (kl_dims - c["free_bits"]).abs().min() > 1e-5, "a KL too close to the free bits: choose another seed"
    warmup = round(c["kl_warmup_epochs"] * (ROWS // c["batch"]))
    beta = c["beta"] * (min(1.0, step / warmup) if warmup else 1.0)
    return beta * counted - log_p.mean(), log_p.mean(), kl_dims.sum()


def kl_from_samples(c, params, z, mu, logvar, step):
    """log q(z_1, z_2, ...|x) - log p(z_1, z_2, ...) of each sample row."""
    activation = ACTIVATIONS[c["activation"]]

    def log_normal(value, mean, log_variance):
        return torch.distributions.Normal(mean, torch.exp(0.5 * log_variance)).log_prob(value).sum(-1)

    def halves(stats):
        mean, log_variance = stats.chunk(2, dim=1)
        return mean, log_variance.clamp(-15.0, 15.0)

    log_q = log_normal(z, mu.repeat_interleave(c["samples"], 0), logvar.repeat_interleave(c["samples"], 0))
    log_p = 0.0
    for number, layer in enumerate(c["above"], start=2):
        mean, log_variance = halves(mlp(z, params, f"encoder{number}", activation))
        eps = normals(c["seed"], LATENT_2 + number - 2, step, mean.numel())
        above = mean + torch.exp(0.5 * log_variance) * torch.from_numpy(eps).to(z.dtype).reshape(mean.shape)
        log_q = log_q + log_normal(above, mean, log_variance)
        log_p = log_p + log_normal(z, *halves(mlp(above, params, f"decoder{number}", activation)))
        z = above
    return log_q - log_p - log_normal(z, torch.zeros_like(z), torch.zeros_like(z))


def learning_rate(c, step):
    if c["schedule"] == "constant":
        return c["rate"]
    per_epoch = ROWS // c["batch"]
    warmup, total = round(c["warmup_epochs"] * per_epoch), c["epochs"] * per_epoch
    if step < warmup:
        return c["rate"] * (step + 1) / warmup
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return c["final_rate"] + (c["rate"] - c["final_rate"]) * 0.5 * (1.0 + math.cos(math.pi * done))


def make_optimizer(c, tensors):
    if c["optimizer"] == "sgd":
        return torch.optim.SGD(tensors, lr=c["rate"], momentum=c["beta1"], weight_decay=c["weight_decay"])
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[c["optimizer"]]
    return kind(tensors, lr=c["rate"], betas=(c["beta1"], c["beta2"]), eps=c["epsilon"], weight_decay=c["weight_decay"])


def train(c, pixels, dtype):
    """Per-step values, and the parameters (and averaged weights) at step 0 and after each of SNAPSHOTS."""
    params = {k: torch.from_numpy(v.copy()).to(dtype).requires_grad_() for k, (_, v) in initial_parameters(c).items()}
    ema = {k: p.detach().clone() for k, p in params.items()}
    optimizer = make_optimizer(c, list(params.values()))
    curves = {"loss": [], "reconstruction": [], "kl": [], "gradient_norm": []}
    snapshots = {0: copy.deepcopy(ema)}, {}
    for step in range(STEPS):
        x = torch.from_numpy(batch(c, pixels, step)).to(dtype)
        loss, reconstruction, kl = losses(c, params, x, step)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(params.values(), c["clip_norm"] if c["clip_norm"] > 0 else math.inf)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(c, step)
        optimizer.step()
        for name, p in params.items():
            ema[name].mul_(c["ema_decay"]).add_(p.detach(), alpha=1.0 - c["ema_decay"])
        for key, value in zip(curves, (loss, reconstruction, kl, norm)):
            curves[key].append(value.item())
        if step + 1 in SNAPSHOTS:
            snapshots[0][step + 1] = {k: p.detach().clone() for k, p in params.items()}
            snapshots[1][step + 1] = copy.deepcopy(ema)
    return curves, snapshots[0], snapshots[1]


# --- The file --------------------------------------------------------------------------------------------------------

def spread_positions(moved, count=16):
    """Positions among those that training moved (the pixels of a picture's rim are always zero, their weights stay)."""
    candidates = torch.nonzero(moved.reshape(-1)).reshape(-1)
    if len(candidates) == 0:
        candidates = torch.arange(moved.numel())
    golden = 0.6180339887498949
    picks = {int(candidates[int((i + 0.5) * golden % 1.0 * len(candidates))]) for i in range(count)}
    return sorted(picks)


def summary(tensor, start, positions):
    flat = tensor.reshape(-1)
    return {"norm": flat.norm().item(), "sum": flat.sum().item(), "moved": (tensor - start).norm().item(),
            "values": flat[positions].tolist()}


def freeze(settings, pixels, dtype=torch.float64, frozen_positions=None):
    c = {**BASE, **settings}
    curves, params, ema = train(c, pixels, dtype)
    frozen = []
    for name, (offset, initial) in initial_parameters(c).items():
        moved = params[SNAPSHOTS[-1]][name] != params[0][name]
        positions = frozen_positions[name] if frozen_positions else spread_positions(moved)
        entry = {"name": name, "rows": initial.shape[0], "cols": initial.shape[1], "offset": offset,
                 "positions": positions}
        for step in SNAPSHOTS:
            entry[f"after_{step}"] = summary(params[step][name], params[0][name], positions)
            if c["ema_decay"] > 0:
                entry[f"ema_after_{step}"] = summary(ema[step][name], params[0][name], positions)
        frozen.append(entry)
    return {"settings": c, **curves, "parameters": frozen}


def compare(frozen, other):
    """Prints the largest differences: curves and norms relative to themselves, values and sums to the root mean
    square of the parameter's change."""
    for name, a in frozen.items():
        b = other[name]
        worst = {k: max(abs(u - v) / abs(u) for u, v in zip(a[k], b[k]))
                 for k in ("loss", "reconstruction", "kl", "gradient_norm")}
        for p, q in zip(a["parameters"], b["parameters"]):
            size = p["rows"] * p["cols"]
            for snapshot in (key for key in p if "after" in key):
                f, g = p[snapshot], q[snapshot]
                change = f["moved"] / math.sqrt(size)
                for key, value in {"norm": abs(f["norm"] - g["norm"]) / f["norm"],
                                   "moved": abs(f["moved"] - g["moved"]) / f["moved"],
                                   "sum": abs(f["sum"] - g["sum"]) / (change * size),
                                   "values": max(abs(u - v) for u, v in zip(f["values"], g["values"])) / change,
                                   }.items():
                    worst[f"{snapshot} {key}"] = max(worst.get(f"{snapshot} {key}", 0.0), value)
        print(name, *(f"  {k}: {v:.1e}" for k, v in worst.items()), sep="\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "data" / "mnist-10k")
    parser.add_argument("--out", type=Path, default=HERE / "frozen.json")
    parser.add_argument("--float32", action="store_true", help="run in float32 and print the distance from --out")
    args = parser.parse_args()

    torch.set_num_threads(1)  # one order of summation
    # Random123, kat_vectors: "philox4x32 10" with counter and key zero.
    known = philox4x32([np.zeros(1)] * 4, (0, 0))[0]
    assert [int(w) for w in known] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]

    with gzip.open(args.data / "train-images-idx3-ubyte.gz") as file:
        file.read(16)
        pixels = np.frombuffer(file.read(ROWS * 784), dtype=np.uint8).reshape(ROWS, 784)
    if args.float32:
        frozen = json.loads(args.out.read_text())["configurations"]
        other = {}
        for name, c in CONFIGURATIONS.items():
            positions = {p["name"]: p["positions"] for p in frozen[name]["parameters"]}
            other[name] = freeze(c, pixels, torch.float32, positions)
        compare(frozen, other)
        return
    result = {"source": "freeze_trajectory.py, torch " + torch.__version__.split("+")[0] + ", float64",
              "rows": ROWS, "steps": STEPS, "pixel_sum": int(pixels.sum()),
              "configurations": {name: freeze(c, pixels) for name, c in CONFIGURATIONS.items()}}
    args.out.write_text(dump(result) + "\n")


def dump(result):
    """JSON with one line for each setting, curve and parameter; repr keeps every bit of a double."""
    lines = []
    for name, c in result["configurations"].items():
        body = [f'   "settings": {json.dumps(c["settings"])}']
        body += [f'   "{k}": {json.dumps(c[k])}' for k in c if k not in ("settings", "parameters")]
        body += ['   "parameters": [\n' + ",\n".join("    " + json.dumps(p) for p in c["parameters"]) + "]"]
        lines.append(f'  "{name}": {{\n' + ",\n".join(body) + "}")
    head = [f' "{k}": {json.dumps(v)}' for k, v in result.items() if k != "configurations"]
    return "{\n" + ",\n".join(head + [' "configurations": {\n' + ",\n".join(lines) + "}"]) + "}"


if __name__ == "__main__":
    main()
