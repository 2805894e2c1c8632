"""`python -m fuzz`: run every fuzzer for some seconds each and print a table; exit status 1 if one found a fault."""

import argparse
import sys
from pathlib import Path

from depthhmr_cli.running import running_service
from fuzz import coverage, rest, streams
from fuzz.results import Result


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__.partition(": ")[2])
    parser.add_argument("--seconds", type=int, default=60, help="for each fuzzer (default: 60)")
    parser.add_argument("--keep", type=Path, default=Path("out/fuzz"), help="folder for what fails (default: out/fuzz)")
    arguments = parser.parse_args()
    results = [coverage.fuzz(name, seconds=arguments.seconds, keep=arguments.keep) for name in coverage.TARGETS]
    with running_service("--log-level", "warning") as service:
        results.append(rest.fuzz(service.address, seconds=arguments.seconds))
        results.append(streams.fuzz(f"127.0.0.1:{service.grpc_port}", seconds=arguments.seconds))
    print(table(results))
    return int(any(result.findings for result in results))


def table(results: list[Result]) -> str:
    lines = [f"{'what':<36}{'inputs':>10}{'findings':>10}"]
    lines += [f"{result.what:<36}{result.inputs:>10}{len(result.findings):>10}" for result in results]
    lines += [f"\n{result.what}: {finding}" for result in results for finding in result.findings]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
