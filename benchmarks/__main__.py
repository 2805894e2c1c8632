"""Serve the same work by the service and by its peers, and write what that costs to out/benchmarks.

examples:
  python -m benchmarks                                        # every contender, some 20 minutes
  python -m benchmarks --only "plain loop" "naive FastAPI" "DepthHMR, REST"
  python -m benchmarks --clients 8 --rounds 9 --seconds 5
"""

import argparse
import signal
import sys
from pathlib import Path

from benchmarks.closed import measure
from benchmarks.processes import REPOSITORY, BenchmarkError
from benchmarks.registry import ALL
from benchmarks.report import closed_table, write


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(ALL), default=list(ALL), metavar="CONTENDER")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each turn (default: 4)")
    parser.add_argument(
        "--quiet", type=float, help="take a turn again when others kept more than so many processors busy"
    )
    parser.add_argument("--photo", type=Path, default=REPOSITORY / "demo" / "people.jpg")
    parser.add_argument("--people", type=int, default=3, help="in every answer (default: 3, of the demo's photo)")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "out" / "benchmarks")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # by way of `finally`: what was started is stopped
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        rows = measure(
            args.only,
            args.photo,
            args.people,
            clients=args.clients,
            rounds=args.rounds,
            seconds=args.seconds,
            quiet=args.quiet,
            out=args.out,
        )
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    table = closed_table(rows)
    write(args.out, "closed", rows, table)
    print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
