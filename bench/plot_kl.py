"""Draws the figure of docs/kl.md: two directions of the KL, and three answers to one integral.

    python bench/plot_kl.py [--out docs/kl.png]

Needs numpy and matplotlib. Everything follows from the constants below and one seed. It prints the figure's numbers.
"""
import argparse

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

BLUE, RED, GREEN, BLACK = "#0072B2", "#D55E00", "#009E73", "#000000"
plt.rcParams.update({"font.size": 10, "legend.fontsize": 8.5, "savefig.bbox": "tight", "lines.linewidth": 1.5})

WEIGHTS, MEANS, DEVIATIONS = (0.6, 0.4), (-2.0, 2.0), (0.6, 0.8)  # of the target of the first panel
X, NOISE = 4.0, 0.05  # of the second: z ~ N(0, I) in two dimensions, x ~ N(z_1 + z_2, NOISE^2)
REPEATS = 400


def log_normal(z, mean, deviation):
    return -0.5 * ((z - mean) / deviation) ** 2 - np.log(deviation) - 0.5 * np.log(2 * np.pi)


def target(z):
    return np.logaddexp.reduce([np.log(w) + log_normal(z, m, s) for w, m, s in zip(WEIGHTS, MEANS, DEVIATIONS)], axis=0)


GRID = np.linspace(-12, 12, 20001)
STEP = GRID[1] - GRID[0]


def kl(log_a, log_b):
    """KL(a || b) by the trapezoidal rule, in nats. Both densities vanish at the ends of the grid."""
    return float(np.sum(np.exp(log_a) * (log_a - log_b)) * STEP)


def forward_fit():
    """The Gaussian with the smallest KL(p || q): it has the mean and the variance of p."""
    p = np.exp(target(GRID))
    mean = np.sum(p * GRID) * STEP
    return mean, np.sqrt(np.sum(p * (GRID - mean) ** 2) * STEP)


def reverse_fit(mean):
    """A Gaussian with a locally smallest KL(q || p), by gradient descent on (mean, log deviation) from here."""
    at = np.array([mean, 0.0])

    def value(v):
        return kl(log_normal(GRID, v[0], np.exp(v[1])), target(GRID))

    for _ in range(400):
        slope = [(value(at + h) - value(at - h)) / 2e-4 for h in 1e-4 * np.eye(2)]
        at -= 0.2 * np.array(slope)
    return at[0], np.exp(at[1])


def draw_directions(ax):
    ax.fill_between(GRID, np.exp(target(GRID)), color="0.85", label="target p")
    fits = {"smallest KL(p || q)": (forward_fit(), BLUE, "-"), "smallest KL(q || p)": (reverse_fit(-1.0), RED, "-"),
            "the same, from the right": (reverse_fit(3.0), RED, ":")}
    for name, ((mean, deviation), colour, line) in fits.items():
        log_q = log_normal(GRID, mean, deviation)
        ax.plot(GRID, np.exp(log_q), color=colour, linestyle=line, label=name)
        print(f"{name}: mean {mean:.3f}, deviation {deviation:.3f}, KL(p||q) {kl(target(GRID), log_q):.3f}, "
              f"KL(q||p) {kl(log_q, target(GRID)):.3f}")
    ax.set(xlim=(-6, 6), ylim=(0, 0.95), xlabel="z", ylabel="density", title="Two directions of the KL")
    ax.legend(loc="upper left", frameon=False)


# The posterior of z is N(MEAN, inverse of PRECISION).
PRECISION = np.eye(2) + np.ones((2, 2)) / NOISE**2
COVARIANCE = np.linalg.inv(PRECISION)
MEAN = COVARIANCE @ np.full(2, X) / NOISE**2
EXACT = float(log_normal(X, 0.0, np.sqrt(2 + NOISE**2)))
# The factorized Gaussians with the smallest KL(q || posterior) and KL(posterior || q): Bishop 2006, section 10.1.2.
REVERSE, FORWARD = np.sqrt(1 / np.diag(PRECISION)), np.sqrt(np.diag(COVARIANCE))
GAP = float(0.5 * (np.log(np.diag(PRECISION)).sum() - np.linalg.slogdet(PRECISION)[1]))  # KL(q || posterior) of REVERSE


def draw_posterior(ax):
    angle = np.linspace(0, 2 * np.pi, 200)
    circle = 2 * np.stack([np.cos(angle), np.sin(angle)])
    values, vectors = np.linalg.eigh(COVARIANCE)
    ax.fill(*(MEAN[:, None] + vectors @ (np.sqrt(values)[:, None] * circle)), color="0.75", label="posterior p(z|x)")
    ax.plot(*circle, color=BLACK, linestyle="--", label="prior p(z)")
    ax.plot(*(MEAN[:, None] + FORWARD[:, None] * circle), color=BLUE, label="q, smallest KL(p || q)")
    ax.plot(*(MEAN[:, None] + REVERSE[:, None] * circle), color=RED, label="q, smallest KL(q || p)")
    ax.set(xlim=(-2.6, 4.6), ylim=(-2.6, 6.4), aspect="equal", xlabel="z_1", ylabel="z_2",
           title="A posterior, and what is fitted to it\n(two standard deviations)")
    ax.legend(loc="upper left", frameon=False)


def estimates(random, mean, deviation, most):
    """log of the mean weight of the first n of `most` samples of a factorized Gaussian, [REPEATS, n = 1, 2, 4, ...]."""
    counts = 2 ** np.arange(int(np.log2(most)) + 1)
    values = np.empty((REPEATS, len(counts)))
    for repeat in values:
        z = mean + deviation * random.standard_normal((most, 2))
        log_w = (log_normal(X, z.sum(axis=1), NOISE) + log_normal(z, 0.0, 1.0).sum(axis=1)
                 - log_normal(z, mean, deviation).sum(axis=1))
        repeat[:] = (np.logaddexp.accumulate(log_w) - np.log(np.arange(1, most + 1)))[counts - 1]
    return counts, values


def draw_answers(ax, most=2**14):
    random = np.random.default_rng(1)
    ax.axhline(EXACT, color=BLACK, label="exact log p(x)")
    ax.axhline(EXACT - GAP, color=RED, linestyle="--", label="ELBO of the best factorized q")
    ways = {"naive: samples of the prior": (np.zeros(2), np.ones(2), GREEN),
            "importance sampling, q of smallest KL(p || q)": (MEAN, FORWARD, BLUE),
            "importance sampling, q of smallest KL(q || p)": (MEAN, REVERSE, RED)}
    print(f"exact log p(x) {EXACT:.4f}, ELBO {EXACT - GAP:.4f}")
    for name, (mean, deviation, colour) in ways.items():
        counts, values = estimates(random, mean, deviation, most)
        low, middle, high = np.quantile(values, (0.1, 0.5, 0.9), axis=0)
        ax.plot(counts, middle, color=colour, marker="o", markersize=3, label=name)
        ax.fill_between(counts, low, high, color=colour, alpha=0.15, linewidth=0)
        for n in (16, 1024, most):
            i = int(np.log2(n))
            print(f"{name}, {n} samples: median {middle[i]:.3f}, from {low[i]:.3f} to {high[i]:.3f}")
    ax.set(xscale="log", ylim=(-15, -2), xlabel="samples", ylabel="estimate of log p(x), nats",
           title="Three answers to one integral\n(median, and the middle 80% of 400 repeats)")
    ax.legend(loc="lower right", framealpha=0.9)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="docs/kl.png")
    arguments = parser.parse_args()
    figure, axes = plt.subplots(1, 3, figsize=(13.5, 4.2), layout="constrained")
    draw_directions(axes[0])
    draw_posterior(axes[1])
    draw_answers(axes[2])
    figure.savefig(arguments.out, dpi=110)
    print(arguments.out)


if __name__ == "__main__":
    main()
