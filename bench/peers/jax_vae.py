"""The VAE of the README (784-400-20-400-784, ReLU, Bernoulli, Adam 1e-3) in JAX, written to be fast.

    python bench/peers/jax_vae.py --batch 128 512 --seconds 3
    python bench/peers/jax_vae.py --device cuda --precision tf32 --serve   # requests "batch seconds" on stdin

One compiled program runs --scan steps. Each step gathers and binarizes its rows of the data on the device, and updates
the donated state. Random bits come from XLA's own generator (rbg), which on a GPU is faster than JAX's default.
"""
import argparse
import functools
import json
import os
import statistics
import sys
import time

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # other programs measure on the same device

import jax
import jax.numpy as jnp

DATA_DIM, HIDDEN, LATENT, RATE, BETA1, BETA2, EPSILON = 784, 400, 20, 1e-3, 0.9, 0.999, 1e-8
LAYERS = {"encoder1": (DATA_DIM, HIDDEN), "encoder2": (HIDDEN, 2 * LATENT),
          "decoder1": (LATENT, HIDDEN), "decoder2": (HIDDEN, DATA_DIM)}


def make_parameters(key):
    glorot = jax.nn.initializers.glorot_uniform()
    return {name: (glorot(k, shape), jnp.zeros(shape[1])) for k, (name, shape) in
            zip(jax.random.split(key, len(LAYERS)), LAYERS.items())}


def linear(x, layer, dtype):
    weight, bias = layer
    return x.astype(dtype) @ weight.astype(dtype) + bias.astype(dtype)


def loss_of(parameters, x, key, dtype):
    """-ELBO in nats per example, one sample each."""
    hidden = jax.nn.relu(linear(x, parameters["encoder1"], dtype))
    mu, logvar = jnp.split(linear(hidden, parameters["encoder2"], dtype).astype(jnp.float32), 2, axis=-1)
    z = mu + jnp.exp(0.5 * logvar) * jax.random.normal(key, mu.shape)
    hidden = jax.nn.relu(linear(z, parameters["decoder1"], dtype))
    logits = linear(hidden, parameters["decoder2"], dtype).astype(jnp.float32)
    reconstruction = jnp.sum(jax.nn.softplus(logits) - x * logits)
    kl = -0.5 * jnp.sum(1 + logvar - mu**2 - jnp.exp(logvar))
    return (reconstruction + kl) / len(x)


def gather(pixels, rows, key):
    """Dynamically binarized rows of the u8 pixels."""
    x = pixels[rows].astype(jnp.float32) / 255
    return (jax.random.uniform(key, x.shape) < x).astype(jnp.float32)


def adam(state, grads):
    t = state["t"] + 1
    rate = RATE * jnp.sqrt(1 - BETA2**t) / (1 - BETA1**t)
    epsilon = EPSILON * jnp.sqrt(1 - BETA2**t)
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, state["m"], grads)
    v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, state["v"], grads)
    parameters = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) + epsilon), state["parameters"], m, v)
    return {**state, "t": t, "parameters": parameters, "m": m, "v": v}


@functools.partial(jax.jit, static_argnames=("steps", "dtype"), donate_argnames=("state",))
def train(state, pixels, order, steps, dtype):
    """Runs `steps` steps. order [steps per epoch, batch] has row numbers; a call continues where the last one ended."""
    def step(state, _):
        rows = order[state["t"] % len(order)]
        pixel_key, latent_key = jax.random.split(jax.random.fold_in(state["key"], state["t"]))
        loss, grads = jax.value_and_grad(loss_of)(state["parameters"], gather(pixels, rows, pixel_key), latent_key,
                                                  dtype)
        return adam(state, grads), loss

    return jax.lax.scan(step, state, length=steps)


@functools.partial(jax.jit, static_argnames=("rows", "batch"))
def shuffled(key, rows, batch):
    """One epoch of shuffled row numbers; the remainder is left out."""
    return jax.random.permutation(key, rows)[:rows // batch * batch].reshape(-1, batch)


class Training:
    def __init__(self, rows, scan, precision):
        self.scan, self.dtype = scan, jnp.bfloat16 if precision == "bf16" else jnp.float32
        key = jax.random.key(0, impl="rbg")
        bytes_key, blank_key, self.shuffle_key, parameter_key = jax.random.split(key, 4)
        pixels = jax.random.randint(bytes_key, (rows, DATA_DIM), 0, 256).astype(jnp.uint8)
        # Four pixels in five are blank, as in pictures of digits.
        self.pixels = jnp.where(jax.random.uniform(blank_key, pixels.shape) < 0.2, pixels, jnp.uint8(0))
        parameters = make_parameters(parameter_key)
        zeros = lambda: jax.tree.map(jnp.zeros_like, parameters)
        self.state = {"t": jnp.zeros((), jnp.int32), "key": key, "parameters": parameters, "m": zeros(), "v": zeros()}
        self.epoch = 0

    def batches(self, batch):
        self.epoch += 1
        return shuffled(jax.random.fold_in(self.shuffle_key, self.epoch), len(self.pixels), batch)

    def time_steps(self, batch, seconds):
        """Times calls of --scan steps for `seconds`. Two calls before that, and the compilation, do not count."""
        calls_an_epoch = max(1, len(self.pixels) // batch // self.scan)
        times, calls, end = [], 0, float("inf")
        while len(times) < 5 or time.perf_counter() < end:
            if calls % calls_an_epoch == 0:
                order = self.batches(batch).block_until_ready()
            start = time.perf_counter()
            self.state, losses = train(self.state, self.pixels, order, self.scan, self.dtype)
            losses.block_until_ready()
            calls += 1
            if calls == 2:
                end = time.perf_counter() + seconds
            elif calls > 2:
                times.append((time.perf_counter() - start) / self.scan)
        if not bool(jnp.isfinite(losses).all()):
            sys.exit("jax_vae.py: the loss is not finite")
        return {"batch": batch, "median_ms": 1e3 * statistics.median(times), "min_ms": 1e3 * min(times),
                "steps": len(times) * self.scan, "loss": float(losses[-1])}


def find_device(name):
    """The device; ends the program with one line when there is none."""
    try:
        platform, _, ordinal = name.partition(":")
        return jax.devices(platform)[int(ordinal or 0)]
    except (RuntimeError, IndexError, ValueError) as error:
        sys.exit(f"jax_vae.py: this JAX finds no device {name}: {str(error).splitlines()[0]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, nargs="+", default=[128, 512, 2048, 8192])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rows", type=int, default=60000, help="rows of random pixels to train on")
    parser.add_argument("--scan", type=int, default=64, help="steps in one compiled call")
    parser.add_argument("--serve", action="store_true", help='read "batch seconds" from stdin, one request a line')
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--precision", choices=["fp32", "tf32", "bf16"], default="fp32", help="of matrix products")
    args = parser.parse_args()
    jax.config.update("jax_default_device", find_device(args.device))
    # Not the default: on a GPU that is tf32 for float32 arrays, too.
    jax.config.update("jax_default_matmul_precision", {"fp32": "float32", "tf32": "tensorfloat32"}.get(args.precision))
    training = Training(args.rows, args.scan, args.precision)
    if args.serve:
        requests = (line.split() for line in iter(sys.stdin.readline, ""))
    else:
        requests = ((batch, args.seconds) for batch in args.batch)
    about = {"framework": "jax", "version": jax.__version__, "mode": f"scan of {args.scan}", "device": args.device,
             "precision": args.precision}
    for batch, seconds in requests:
        print(json.dumps({**about, **training.time_steps(int(batch), float(seconds))}), flush=True)


if __name__ == "__main__":
    main()
