"""Takes the picture of README.md anew: `.venv/bin/python docs/picture.py`. Needs Debian's chromium.

The page is that of `hermes demo`, and says on its face that the market is simulated.
"""

import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from generator.demo import document

PICTURE = Path(__file__).with_name("report.webp")
WINDOW = 1200, 1010
WIDTH = 1200


def main() -> None:
    """The page's top, as a browser shows it."""
    (made,) = document("demo")["datasets"]
    with TemporaryDirectory() as folder:
        shot = Path(folder) / "page.png"
        subprocess.run(
            ["/usr/bin/chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--force-device-scale-factor=1.5",
             "--enable-unsafe-swiftshader", "--virtual-time-budget=10000", f"--user-data-dir={folder}/profile",
             f"--window-size={WINDOW[0]},{WINDOW[1]}", f"--screenshot={shot}", Path(made["report"]).as_uri()],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        image = Image.open(shot).convert("RGB")
        image = image.resize((WIDTH, image.height * WIDTH // image.width), Image.Resampling.LANCZOS)
        image.save(PICTURE, quality=80, method=6)
    print(f"{PICTURE}: {PICTURE.stat().st_size:,} bytes, {image.width}×{image.height}")


if __name__ == "__main__":
    main()
