"""Cases, and assertions that say what was expected."""

CASES = []


def case(function):
    """Makes a function of a server a case. Its name is its module and itself; what it returns is printed."""
    CASES.append((f"{function.__module__}.{function.__name__}", function))
    return function


def equal(got, want, what=""):
    """Fails unless both are equal and of one type, all the way down."""
    where = _difference(got, want, what or "value")
    assert where is None, where


def _difference(got, want, where):
    if type(got) is not type(want):
        return f"{where}: {type(got).__name__} {got!r}, expected {type(want).__name__} {want!r}"
    if isinstance(want, dict):
        if got.keys() != want.keys():
            return f"{where}: has {sorted(got)}, expected {sorted(want)}"
        return next(filter(None, (_difference(got[key], want[key], f"{where}[{key!r}]") for key in want)), None)
    if isinstance(want, list):
        if len(got) != len(want):
            return f"{where}: {len(got)} entries, expected {len(want)}: {got!r}"
        pairs = enumerate(zip(got, want))
        return next(filter(None, (_difference(*pair, f"{where}[{at}]") for at, pair in pairs)), None)
    return None if got == want else f"{where}: {got!r}, expected {want!r}"


def refused(kinds, action, *words):
    """Fails unless the action raises one of these kinds of error, whose text has all the words. Returns the error."""
    try:
        done = action()
    except kinds as error:
        for word in words:
            assert word in str(error), f"the error should say {word!r}: {error}"
        return error
    raise AssertionError(f"it should have been refused with {kinds}, and gave {done!r}")
