"""`python -m seglib`: the command line, which appendix A5 tells."""
import sys

try:
    from seglib.cli import main
except ModuleNotFoundError:         # then all we can do is say what lacks
    def main(arguments=None) -> int:
        from seglib import environment
        print(*environment.doctor(), sep="\n")
        return 1

if __name__ == "__main__":
    sys.exit(main())
