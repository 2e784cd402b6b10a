"""`python -m seglib`: the command line; see appendix A5."""
import sys

from seglib.cli import main

if __name__ == "__main__":
    sys.exit(main())
