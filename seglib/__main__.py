"""`python -m seglib doctor`: is everything here, and where will it run?"""
import argparse
import sys

from seglib import environment


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m seglib")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "doctor", help="what is here, what is missing, which device is used")
    parser.parse_args(arguments)
    findings = environment.doctor()
    print(*findings, sep="\n")
    return int(any(finding.state == "missing" for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
