#!/usr/bin/env python3
"""Runs clang-tidy on the files named on standard input, in that order, until the time is over.

Prints each file's findings and a last line "tidy: N clean, M with findings, K not reached". Fails on
findings only: a file that was not reached is counted, so that nobody takes it for a clean one.
"""

import argparse
import concurrent.futures
import json
import os
import subprocess
import sys
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, help="a clang build folder with compile_commands.json")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=420)
    args = parser.parse_args()

    with open(os.path.join(args.build, "compile_commands.json"), encoding="utf-8") as f:
        known = {os.path.relpath(entry["file"]) for entry in json.load(f)}
    wanted = [line.strip() for line in sys.stdin if line.strip()]
    files = [name for name in wanted if name in known]
    for name in wanted:
        if name not in known:
            print(f"    not in this build: {name}")
    print(f"    {len(files)} files, at most {args.seconds:.0f} s", flush=True)

    end = time.monotonic() + args.seconds

    def tidy(name):
        if time.monotonic() >= end:
            return name, None, ""
        # No limit here: the time is only looked at between files, so a run overshoots by one file.
        run = subprocess.run(["clang-tidy-19", "--quiet", "-p", args.build, name], capture_output=True, text=True)
        return name, run.returncode == 0, run.stdout + ("" if run.returncode == 0 else run.stderr)

    clean = bad = left = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for name, good, output in pool.map(tidy, files):
            if good is None:
                left += 1
                print(f"    not reached: {name}")
            elif good:
                clean += 1
            else:
                bad += 1
                print(f"--- {name}\n{output}", flush=True)
    print(f"tidy: {clean} clean, {bad} with findings, {left} not reached")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
