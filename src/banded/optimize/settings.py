"""What users choose by name."""

from banded.optimize.interior.schedule import RULES
from banded.optimize.line_search import LineSearch
from banded.optimize.newton import Globalisation
from banded.optimize.trust_region import TrustRegion

GLOBALISATIONS: dict[str, type[LineSearch | TrustRegion]] = {"line search": LineSearch, "trust region": TrustRegion}


def globalisation_of(wanted: str | Globalisation) -> Globalisation:
    """A globalisation by its name, or a copy of one, with nothing remembered.

    Raises:
        TypeError, ValueError: if it is neither.
    """
    if not isinstance(wanted, str):
        if isinstance(wanted, type) or not hasattr(wanted, "anew"):
            came = wanted if isinstance(wanted, type) else type(wanted).__name__
            raise TypeError(f"globalisation: expected a name, LineSearch or TrustRegion, got {came}")
        return wanted.anew()
    if wanted not in GLOBALISATIONS:
        raise ValueError(
            f"globalisation: expected {' or '.join(map(repr, GLOBALISATIONS))}, or an object such as "
            f"banded.LineSearch(memory=10), got {wanted!r}"
        )
    return GLOBALISATIONS[wanted]()


def barrier_of(wanted: str | None, *, constrained: bool) -> str:
    """The rule of the barrier parameter by its name.

    Raises:
        TypeError, ValueError: if it is none, or there are no constraints that take one.
    """
    if wanted is None:
        return "monotone"
    if not isinstance(wanted, str):
        raise TypeError(f"barrier: expected a name, {' or '.join(map(repr, RULES))}, got {type(wanted).__name__}")
    if wanted not in RULES:
        raise ValueError(f"barrier: expected {' or '.join(map(repr, RULES))}, got {wanted!r}")
    if not constrained:
        raise ValueError(f"barrier: expected None without constraints or bounds, which it is for, got {wanted!r}")
    return wanted
