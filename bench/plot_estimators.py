"""Makes pictures of the results of "cuvae-bench estimators".

    python bench/plot_estimators.py DIR [--out DIR]

Reads DIR/results.json and writes PNG (300 dpi) and SVG files of the pictures for which it has rows: toy_functions,
toy_dimension, variance_samples, variance_latent, efficiency, efficiency_pairs, discrete, curves_steps, curves_seconds,
snr. Needs matplotlib.
"""
import argparse
import json
import sys
from pathlib import Path

from plotting import bars, legend_below, matplotlib, plain_ticks, plt, save, styles, unique

FAMILIES = {
    "paths, differences": ("pathwise", "total", "stl", "delta", "measure-valued", "measure-valued-independent"),
    "score function": ("score", "score-mean", "rloo", "optimal", "optimal-shared", "nvil", "nvil-scaled"),
    "bound over K samples": ("iwae", "stl-iwae", "dreg", "rws-dreg", "wake-phi", "vimco", "vimco-arithmetic"),
}


def panels(names):
    """A row of axes with one scale: one for each family that has some of the names, together with these names."""
    present = {f: [n for n in names if n.split("+")[0] in members] for f, members in FAMILIES.items()}
    present = {f: here for f, here in present.items() if here}
    figure, grid = plt.subplots(1, len(present), figsize=(3.9 * len(present), 3.8), sharey=True, squeeze=False,
                                layout="constrained")
    for ax, family in zip(grid[0], present):
        ax.set_title(family, fontsize=10)
    return figure, list(zip(grid[0], present.values()))


def per_sample(ax, here, x, style, label=None):
    """Measured variances as points and exact ones as a line. Both are multiplied by K, so that more samples alone give
    no advantage. A logarithmic axis cannot show variances that are exactly zero; they are left out."""
    K = here[0]["samples"]
    points = [r for r in here if r["variance"] > 1e-9]
    if not points:
        return
    ax.errorbar([r[x] for r in points], [K * r["variance"] for r in points], yerr=bars(points, K), linestyle="none",
                color=style["color"], marker=style["marker"], label=label or f"{here[0]['estimator']}, K = {K}")
    exact = [(r[x], K * r["exact_variance"] if r["exact_variance"] > 1e-9 else float("nan")) for r in here
             if "exact_variance" in r]
    ax.plot(*zip(*exact), color=style["color"], linewidth=1) if exact else None


def toy_functions(rows, out):
    rows = [r for r in rows if r["suite"] == "toy" and "k" in r]
    problems, names = unique(r["problem"] for r in rows), unique(r["estimator"] for r in rows)
    if not rows:
        return
    look = styles(names)
    figure, grid = plt.subplots(2, len(problems), figsize=(3.6 * len(problems), 6), squeeze=False, layout="constrained")
    for j, problem in enumerate(problems):
        for i, by in enumerate(("mu", "sigma")):
            ax = grid[i][j]
            for name in names:
                here = sorted((r for r in rows if (r["problem"], r["parameter"], r["estimator"]) == (problem, by, name)),
                              key=lambda r: r["k"])
                if here:
                    per_sample(ax, here, "k", look[name])
            ax.set_yscale("log")
            if problem.startswith("exp"):
                ax.set_xscale("log")
            symbol = {"mu": "μ", "sigma": "σ"}[by]
            ax.set(xlabel="k", ylabel=f"variance by {symbol}, times K" if j == 0 else "")
            ax.set_title({"(x-k)^2": "f = (x − k)²", "exp(-kx^2)": "f = exp(−k x²)", "cos(kx)": "f = cos(k x)"}[problem])
    grid[0][0].plot([], [], color="grey", linewidth=1, label="lines: exact, points: measured")
    legend_below(figure, grid.flat, 3)
    save(figure, out, "toy_functions")


def toy_dimension(rows, out):
    rows = [r for r in rows if r["suite"] == "toy" and r.get("delta") == 0]
    if not rows:
        return
    names = unique(r["estimator"] for r in rows if r["variance"] > 1e-9)
    look = styles(names)
    figure, ax = plt.subplots(figsize=(6, 4.2), layout="constrained")
    for name in names:
        here = sorted((r for r in rows if r["estimator"] == name), key=lambda r: r["d"])
        f = here[0]["f"].replace("-", "−")
        per_sample(ax, here, "d", look[name], f"{name.split('/')[0]}, f = {f}, K = {here[0]['samples']}")
    ax.plot([], [], color="grey", linewidth=1, label="lines: exact, points: measured")
    ax.set(xscale="log", yscale="log", xlabel="dimension d", ylabel="variance of the gradient by one mean, times K")
    ax.set_title("gradient of E f(z), z ~ q = N(0, I), p = N(0, I)", fontsize=10)
    legend_below(figure, [ax], 2)
    save(figure, out, "toy_dimension")


# The variance of the gradient scaled to the length of the reference. None for rws-dreg and wake-phi: see bench/README.md.
NOISE = "comparable_variance"


def noisy(rows):
    return [r for r in rows if r["suite"] == "vae" and NOISE in r and "/" not in r["estimator"]]


def named(name):
    return name + {"nvil-scaled": " (rescaled)", "stl-iwae": " (biased)"}.get(name, "")


def at_base(rows, *varied):
    """The rows that differ from the first measured point only in the fields `varied`."""
    base = rows[0]
    fixed = [f for f in ("stage", "layers", "latent", "samples", "batch") if f not in varied]
    return [r for r in rows if all(r[f] == base[f] for f in fixed)]


def variance_over(field, label, title):
    """A picture of the variance against `field`. The other fields are those of the first measured point."""
    def picture(rows, out):
        rows = noisy(rows)
        if not rows:
            return
        rows = at_base(rows, field)
        names = unique(r["estimator"] for r in rows)
        look = styles(names)
        figure, axes = panels(names)
        ticks = sorted({r[field] for r in rows})
        for ax, here in axes:
            for name in here:
                line = sorted((r for r in rows if r["estimator"] == name), key=lambda r: r[field])
                ax.errorbar([r[field] for r in line], [r[NOISE] for r in line], yerr=bars(line, of=NOISE),
                            label=named(name), **look[name])
            ax.set(xscale="log", yscale="log", xlabel=label)
            ax.set_xticks(ticks, [str(t) for t in ticks])
            ax.minorticks_off()
        axes[0][0].set_ylabel("variance of the encoder's gradient, nats²")
        figure.suptitle(title.format(**rows[0]), fontsize=10)
        legend_below(figure, [ax for ax, _ in axes], 5)
        save(figure, out, f"variance_{field}")
    return picture


variance_samples = variance_over("samples", "samples K per example", "{stage} of training, latent {latent}, batch {batch}")
variance_latent = variance_over("latent", "latent dimensions d", "{stage} of training, K = {samples}, batch {batch}")


def efficiency(rows, out):
    """Noise over time at the base point. If K is odd there, a second picture has K - 1 samples, for antithetic pairs.
    Times are relative to pathwise in the same turn, so that changes of the machine's speed cancel."""
    rows = [r for r in noisy(rows) if "time_ratio" in r]
    if not rows:
        return
    here = at_base(rows)
    efficiency_at(here, out, "efficiency")
    if not any("+antithetic" in r["estimator"] for r in here):
        pairs = [r for r in at_base(rows, "samples") if r["samples"] == rows[0]["samples"] - 1]
        efficiency_at(pairs, out, "efficiency_pairs") if pairs else None


def efficiency_at(rows, out, picture):
    look = styles(unique(r["estimator"] for r in rows))
    figure, ax = plt.subplots(figsize=(6.4, 5), layout="constrained")
    for n, r in enumerate(rows, 1):
        style = look[r["estimator"]]
        ax.errorbar([r["time_ratio"]], [r[NOISE]], yerr=bars([r], of=NOISE), linestyle="none", color=style["color"],
                    marker=style["marker"], label=f"{n}  {named(r['estimator'])}")
    times = [r["time_ratio"] for r in rows]
    pathwise = next((f" ({r['gradient_ms']:.2g} ms)" for r in rows if r["estimator"] == "pathwise"), "")
    ax.set(xscale="log", yscale="log", xlabel=f"time of a gradient, relative to pathwise{pathwise}",
           ylabel="variance of the encoder's gradient, nats²", xlim=(0.8 * min(times), 1.3 * max(times)))
    close = max(times) < 2 * min(times)
    plain_ticks(ax.xaxis, [0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3] if close else [0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 30, 50, 100])
    place_numbers(figure, ax, rows, look)
    limits = ax.get_xlim(), ax.get_ylim()
    for name, line in (("pathwise", ":"), ("iwae", "--")):  # the bases for the ELBO and for the bound
        for base in (r for r in rows if r["estimator"] == name):
            cost = base[NOISE] * base["time_ratio"]
            ax.plot(limits[0], [cost / t for t in limits[0]], color="grey", linewidth=1, linestyle=line,
                    label=f"variance × time of {name}")
    ax.set(xlim=limits[0], ylim=limits[1])
    b = rows[0]
    ax.set_title(f"{b['stage']} of training, latent {b['latent']}, K = {b['samples']}, batch {b['batch']}; left and down "
                 "is better", fontsize=10)
    legend_below(figure, [ax], 3)
    save(figure, out, picture)


def place_numbers(figure, ax, rows, look):
    """Writes numbers next to the points, so that they hide no point and no other number."""
    figure.canvas.draw()
    points = [ax.transData.transform((r["time_ratio"], r[NOISE])) for r in rows]
    taken, unit = list(points), figure.dpi / 72
    for n, (r, (x, y)) in enumerate(zip(rows, points), 1):
        spots = [(dx, dy) for reach in (11, 19, 28, 38) for dx, dy in
                 ((reach, 0), (-reach, 0), (0, reach), (0, -reach), (reach, reach), (-reach, reach), (reach, -reach),
                  (-reach, -reach))]
        free = [s for s in spots if all(abs(x + s[0] * unit - a) > 10 * unit or abs(y + s[1] * unit - b) > 9 * unit
                                        for a, b in taken)]
        dx, dy = (free or spots)[0]
        taken.append((x + dx * unit, y + dy * unit))
        ax.annotate(str(n), (r["time_ratio"], r[NOISE]), (dx, dy), textcoords="offset points", ha="center",
                    va="center", fontsize=8, color=look[r["estimator"]]["color"],
                    arrowprops=dict(arrowstyle="-", linewidth=0.5, color="grey") if max(abs(dx), abs(dy)) > 15 else None)


def discrete(rows, out):
    """Variance over the number of Bernoulli units, and variance times time. Exact variances are lines of grey crosses."""
    rows = [r for r in rows if r["suite"] == "discrete" and NOISE in r]
    if not rows:
        return
    names = unique(r["estimator"] for r in rows)
    look = styles(names)
    ticks = sorted({r["latent"] for r in rows})
    figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for name in names:
        here = sorted((r for r in rows if r["estimator"] == name), key=lambda r: r["latent"])
        axes[0].errorbar([r["latent"] for r in here], [r[NOISE] for r in here], yerr=bars(here, of=NOISE),
                         label=named(name), **look[name])
        timed = [r for r in here if "variance_time_ratio" in r]
        axes[1].errorbar([r["latent"] for r in timed], [r["variance_time_ratio"] for r in timed],
                         yerr=bars(timed, of="variance_time_ratio"), label=named(name), **look[name])
    exact = [r for r in rows if "exact_variance" in r]
    axes[0].plot([r["latent"] for r in exact], [r["exact_variance"] for r in exact], linestyle="none", marker="x",
                 color="grey", markersize=9, zorder=5, label="exact, by enumeration")
    for ax, label in zip(axes, ("variance of the encoder's gradient, nats²",
                                "variance × time, relative to rloo or vimco")):
        ax.set(xscale="log", yscale="log", xlabel="Bernoulli units", ylabel=label)
        ax.set_xticks(ticks, [str(t) for t in ticks])
        ax.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    figure.suptitle("{stage} of training, K = {samples}, batch {batch}".format(**rows[0]), fontsize=10)
    legend_below(figure, axes, 5)
    save(figure, out, "discrete")


def curves(rows, out):
    rows = [r for r in rows if r["suite"] == "curves"]
    names = unique(r["estimator"] for r in rows)
    look = styles(names)
    for by, label in (("steps", "steps of batch 128"), ("seconds", "seconds of training")):
        if not rows:
            return
        figure, axes = panels(names)
        worst, beyond = 0, []
        for ax, here in axes:
            for name in here:
                runs = [r for r in rows if r["estimator"] == name]
                shortest = min(len(r["loss"]) for r in runs)
                points = [[r[by][i] for r in runs] + [r["loss"][i] for r in runs] for i in range(1, shortest)]
                points = [p for p in points if all(isinstance(v, (int, float)) for v in p)]
                if not points:
                    continue
                n = len(runs)
                xs, ys = [sum(p[:n]) / n for p in points], [p[n:] for p in points]
                if sum(ys[-1]) > sum(ys[0]):
                    beyond.append(f"{name} (ends at {min(ys[-1]):.0f} to {max(ys[-1]):.0f})")
                else:
                    worst = max(worst, *map(max, ys))
                ax.plot(xs, [sum(y) / n for y in ys], label=f"{name}, K = {runs[0]['samples']}", markevery=2, **look[name])
                ax.fill_between(xs, [min(y) for y in ys], [max(y) for y in ys], color=look[name]["color"], alpha=0.2,
                                linewidth=0)
            ax.set(xlabel=label, yscale="log")
            if by == "seconds":
                ax.set_xscale("log")
                plain_ticks(ax.xaxis, [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500])
            plain_ticks(ax.yaxis, [80, 90, 100, 110, 120, 130, 150, 170, 200, 250, 300, 400, 500, 700, 1000])
        if worst:
            axes[0][0].set_ylim(top=1.05 * worst)
        axes[0][0].set_ylabel("held-out −ELBO, nats")
        seeds = len({r["run"] for r in rows})
        title = f"mean and range over {seeds} seeds" if seeds > 1 else "one seed"
        figure.suptitle(title + ("; beyond the picture: " + ", ".join(beyond) if beyond else ""), fontsize=10)
        legend_below(figure, [ax for ax, _ in axes], 4)
        save(figure, out, f"curves_{by}")


def snr(rows, out):
    rows = [r for r in rows if r["suite"] == "snr" and r["snr"] > 0]
    if not rows:
        return
    names = unique(r["estimator"] for r in rows)
    look = styles(names)
    figure, ax = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
    for name in names:
        here = sorted((r for r in rows if r["estimator"] == name), key=lambda r: r["samples"])
        error = [[min(r["snr"] - r["snr_low"], 0.95 * r["snr"]) for r in here], [r["snr_high"] - r["snr"] for r in here]]
        ax.errorbar([r["samples"] for r in here], [r["snr"] for r in here], yerr=error, label=name, **look[name])
    ks = sorted({r["samples"] for r in rows})
    for name, power in (("iwae", -0.5), ("dreg", 0.5)):
        first = min((r for r in rows if r["estimator"] == name), key=lambda r: r["samples"], default=None)
        if first:
            ax.plot(ks, [first["snr"] * (k / first["samples"]) ** power for k in ks], color="grey", linewidth=1,
                    linestyle="--" if power < 0 else ":", label="1/√K" if power < 0 else "√K", zorder=1)
    ax.set(xscale="log", yscale="log", xlabel="samples K per example", ylabel="signal to noise of the encoder's gradient")
    plain_ticks(ax.xaxis)
    legend_below(figure, [ax], 5)
    save(figure, out, "snr")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, help="where the pictures go (default: the same folder)")
    arguments = parser.parse_args()
    try:
        rows = json.loads((arguments.folder / "results.json").read_text())
    except (OSError, ValueError) as error:
        sys.exit(f"plot_estimators.py: {arguments.folder / 'results.json'}: {error}")
    out = arguments.out or arguments.folder
    out.mkdir(parents=True, exist_ok=True)
    for picture in (toy_functions, toy_dimension, variance_samples, variance_latent, efficiency, discrete, curves, snr):
        picture(rows, out)


if __name__ == "__main__":
    main()
