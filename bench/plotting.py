"""What the estimators' pictures have in common: colours, ticks, legends, error bars and files."""
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import matplotlib.ticker

# Okabe and Ito's colours, which colour-blind readers can distinguish, with black instead of yellow. Markers differ too.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*", "d"]
LINES = ["-", "--", ":", "-."]
plt.rcParams.update({"font.size": 10, "axes.labelsize": 11, "legend.fontsize": 9, "axes.grid": True, "grid.alpha": 0.3,
                     "svg.fonttype": "none", "savefig.bbox": "tight", "lines.markersize": 5, "lines.linewidth": 1.4})


def styles(names):
    """The color, marker and line of each name. The same list gives the same styles in every picture."""
    return {n: dict(color=COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)],
                    linestyle=LINES[i // len(COLOURS) % len(LINES)]) for i, n in enumerate(names)}


def unique(values):
    return list(dict.fromkeys(values))


def save(figure, out, name):
    for kind in ("png", "svg"):
        figure.savefig(out / f"{name}.{kind}", dpi=300)
    plt.close(figure)
    print(out / f"{name}.png")


def plain_ticks(axis, at=None):
    if at:
        axis.set_major_locator(matplotlib.ticker.FixedLocator(at))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("")


def legend_below(figure, axes, columns=4):
    handles = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels()):
            handles.setdefault(label, handle)
    figure.legend(handles.values(), handles.keys(), loc="upper center", bbox_to_anchor=(0.5, 0.0), ncol=columns,
                  frameon=False)


def bars(rows, factor=1, of="variance"):
    """Half widths of intervals for a logarithmic axis. The lower ones are cut, as the axis shows no values below 0."""
    low = [factor * min(r[of] - r[f"{of}_low"], 0.95 * r[of]) for r in rows]
    return [low, [factor * (r[f"{of}_high"] - r[of]) for r in rows]]
