import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # for `import oracles`
SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def tracks() -> Path:
    """The circuits that lie beside the repository, where they do."""
    folder = SHARED / "tracks"
    if not folder.is_dir():
        pytest.skip(f"needs the circuits in {folder}, which are not part of the repository")
    return folder


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
