#!/usr/bin/env python3
"""Runs the scenarios on asyncio and writes their traces as JSON.

    python3 conformance/record.py --out FILE                  all of them
    python3 conformance/record.py --out FILE --only S01,Q03   some of them
    python3 conformance/record.py --only S01                  printed, nothing is written

Needs Python 3.12 or newer; a scenario that needs a newer one still is skipped by name.
With --repeat each scenario runs several times: one whose traces differ is marked as not stable, and every distinct
trace is kept. The committed traces were recorded with --repeat 3.
"""
import argparse
import asyncio
import json
import logging
import platform
import sys
import warnings

import harness
import scenarios
import tls_scenarios      # noqa: F401    It enlists the scenarios of TLS.

OLDEST = (3, 12)


def arguments():
    parser = argparse.ArgumentParser(description="Runs the scenarios on asyncio and writes their traces as JSON.")
    parser.add_argument("--out", metavar="FILE", help="where to write; without it the traces are printed")
    parser.add_argument("--only", metavar="S01,..", default="", help="these scenarios, not all")
    parser.add_argument("--repeat", metavar="N", type=int, default=1, help="how often each one runs")
    parser.add_argument("--tick", metavar="SECONDS", type=float, default=harness.TICK, help="how long settling takes")
    return parser.parse_args()


def chosen(only):
    """The scenarios named by --only that this Python can run."""
    names = {name for name in only.split(",") if name}
    unknown = names - {scenario.name for scenario in scenarios.ALL}
    if unknown:
        sys.exit("there is no scenario " + ", ".join(sorted(unknown)))
    for scenario in scenarios.ALL:
        if names and scenario.name not in names:
            continue
        if sys.version_info < scenario.needs:
            print(scenario.name, "skipped: needs Python", ".".join(map(str, scenario.needs)), flush=True)
            continue
        yield scenario


def tapped_log():
    """The log of asyncio, going nowhere but into the traces."""
    tap = harness.LogTap()
    log = logging.getLogger("asyncio")
    log.handlers[:] = [tap]
    log.propagate = False
    log.setLevel(logging.WARNING)
    return tap


def record(scenario, repeat, tap):
    seen = []
    for _ in range(repeat):
        trace = harness.perform(scenario.script, tap)
        if trace not in seen:
            seen.append(trace)
    entry = {"title": scenario.title, "stable": len(seen) == 1, "trace": seen[0]}
    if len(seen) > 1:
        entry["also_seen"] = seen[1:]
    return entry


def main():
    args = arguments()
    if sys.version_info < OLDEST:
        sys.exit("needs Python " + ".".join(map(str, OLDEST)) + " or newer")
    warnings.simplefilter("ignore")
    harness.TICK = args.tick
    tap = tapped_log()
    recorded = {}
    for scenario in chosen(args.only):
        entry = recorded[scenario.name] = record(scenario, args.repeat, tap)
        print(scenario.name, scenario.title, "" if entry["stable"] else "(NOT STABLE)", flush=True)
        if not args.out:
            for line in entry["trace"]:
                print("    " + line)
    asyncio.set_event_loop(None)
    if args.out:
        document = {"python": platform.python_version(), "system": platform.system(), "scenarios": recorded}
        with open(args.out, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
