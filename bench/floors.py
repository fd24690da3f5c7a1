#!/usr/bin/env python3
"""Every op of a training step against its floor: the table and the picture of docs/PERFORMANCE.md.

The floor of an op is its FLOPs over the GEMM rate or its bytes over the RAM rate, whichever is
larger, both measured in the same run (`outsize bench step --profile`). A bar of the picture is the
op's time, the dark part its floor. One bar per op that takes at least 1 % of the step.
Usage: bench/floors.py [--outsize PROGRAM] [--only WORD ...] [--svg FILE] [--json FILE]
                       [--from FILE] [--smoke]
"""
import argparse
import html
import json
import pathlib

from steps import HERE, SHAPES, SMOKE, last_json

LEAST_SHARE = 0.01
WIDTH, LEFT, ROW, GAP = 760, 170, 16, 34  # pixels


def profile(program, shape):
    config = HERE / "configs" / f"{shape.config}.json"
    return last_json([program, "bench", "step", "--config", config, *shape.options(),
                      "--steps", "2", "--profile", "--json"])


def ops_of(run):
    """op -> [seconds, floor], most loss first."""
    ops = {}
    for row in run["profile"]:
        total = ops.setdefault(row["name"], [0, 0])
        total[0] += row["seconds"]
        total[1] += row["floor_seconds"]
    return dict(sorted(ops.items(), key=lambda item: item[1][1] - item[1][0]))


def shown(run):
    """The rows worth showing, the rest as one."""
    ops = ops_of(run)
    step = sum(seconds for seconds, _ in ops.values())
    rows = {name: value for name, value in ops.items() if value[0] >= LEAST_SHARE * step}
    rest = [value for name, value in ops.items() if name not in rows]
    if rest:
        rows["others"] = [sum(column) for column in zip(*rest)]
    return rows


def print_table(name, run):
    rows = shown(run)
    total = [sum(column) for column in zip(*rows.values())]
    print(f"\n{name}: {run['gemm_gflops']:.0f} GFLOP/s, {run['ram_gb_per_second']:.1f} GB/s, "
          f"step {run['step_seconds']:.3f} s, {run['mfu']:.2f} of the GEMM rate\n")
    print("| op | seconds | floor | of floor | loss |\n|---|---|---|---|---|")
    for op, (seconds, floor) in [*rows.items(), ("all", total)]:
        print(f"| {op} | {seconds:.4f} | {floor:.4f} | {floor / seconds:.2f} "
              f"| {seconds - floor:.4f} |", flush=True)


def draw(path, results):
    """Bars of all shapes, each shape scaled to its own step."""
    parts, y = [], 24
    for title, run in results.items():
        rows = shown(run)
        most = max(max(value) for value in rows.values())
        parts.append(f'<text x="8" y="{y}" font-weight="bold">{html.escape(title)}, '
                     f'{run["mfu"]:.2f} of the GEMM rate</text>')
        for name, (seconds, floor) in rows.items():
            y += ROW + 4
            scale = (WIDTH - LEFT - 130) / most
            parts.append(f'<text x="{LEFT - 8}" y="{y}" text-anchor="end">{name}</text>')
            for value, colour in ((seconds, "#f0a060"), (min(floor, seconds), "#305080")):
                parts.append(f'<rect x="{LEFT}" y="{y - 12}" width="{value * scale:.1f}" '
                             f'height="{ROW - 2}" fill="{colour}"/>')
            parts.append(f'<text x="{LEFT + seconds * scale + 6:.1f}" y="{y}">'
                         f'{seconds * 1e3:.0f} ms, {floor / seconds:.2f} of floor</text>')
        y += GAP
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
                   'font-family="sans-serif" font-size="12">\n'
                   '<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) +
                   "\n</svg>\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--outsize", default=str(HERE.parent / "build/release/src/cli/outsize"))
    parser.add_argument("--only", nargs="*", help="names that contain one of these words")
    parser.add_argument("--svg", metavar="FILE", help="draws the picture too")
    parser.add_argument("--json", type=pathlib.Path, help="file that keeps what was measured")
    parser.add_argument("--from", dest="kept", type=pathlib.Path,
                        help="shows what --json kept instead of measuring")
    parser.add_argument("--smoke", action="store_true", help="one tiny shape")
    args = parser.parse_args()
    results = json.loads(args.kept.read_text()) if args.kept else {}
    for name, run in results.items():
        print_table(name, run)
    for shape in () if args.kept else SMOKE if args.smoke else SHAPES:
        if args.only and not any(word in shape.name for word in args.only):
            continue
        results[shape.name] = profile(args.outsize, shape)
        print_table(shape.name, results[shape.name])
    if args.svg:
        draw(args.svg, results)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
