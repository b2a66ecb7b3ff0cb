"""``localfp4`` with a fake engine, in this process and in the engine process it spawns.

The spawned process imports this script anew under another name, and so gets the fake as well.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
sys.modules["localfp4.engine.engine"] = __import__("fake_engine")

if __name__ == "__main__":
    from localfp4.cli import main

    main()
