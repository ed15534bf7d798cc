import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # for `import oracles`
EXAMPLES = Path(__file__).parents[1] / "examples"
SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def tracks() -> Path:
    """The circuits that lie beside the repository, where they do."""
    folder = SHARED / "tracks"
    if not folder.is_dir():
        pytest.skip(f"needs the circuits in {folder}, which are not part of the repository")
    return folder


@pytest.fixture(scope="module")
def example() -> Iterator[Callable[[str], ModuleType]]:
    """What loads an example by its name."""
    loaded = []

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)  # where its dataclasses look for themselves
        loaded.append(name)
        spec.loader.exec_module(sys.modules[name])
        return sys.modules[name]

    yield load
    for name in loaded:
        del sys.modules[name]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
