"""``python -m localfp4`` is ``localfp4``."""

from localfp4.cli import main

if __name__ == "__main__":
    main()
