#!/usr/bin/env python3
"""Prints the end of a test run: how many passed, failed, were skipped, and which with their reasons.

usage: scripts/summarise_tests.py RESULTS.xml (as `ctest --output-junit` writes it)

Needs Python 3.8 or newer, nothing else. Exits 1 where a test failed or none was run.
"""

import re
import sys
import xml.etree.ElementTree as xml


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    passed, failed, skipped, seconds = [], [], [], 0.0
    for case in xml.parse(sys.argv[1]).getroot().iter("testcase"):
        seconds += float(case.get("time") or 0)
        status = case.get("status")
        if case.find("skipped") is not None or status in ("notrun", "disabled"):
            reasons = re.findall(r"SKIPPED: ([^\n]*)", case.findtext("system-out") or "")
            skipped.append((case.get("name"), "; ".join(dict.fromkeys(reasons)) or "no reason given"))
        elif status == "run":
            passed.append(case.get("name"))
        else:
            failed.append(case.get("name"))
    print()
    for name, reason in skipped:
        print(f"skipped  {name}: {reason}")
    for name in failed:
        print(f"FAILED   {name}")
    print(f"tests    {len(passed)} passed, {len(failed)} failed, {len(skipped)} skipped in {seconds:.0f} s of test time")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
