"""What only torch can say before a search, asked in a process of its own: the driver has none."""

from trainables.config import TrialConfig


class ProbeError(Exception):
    """The baseline can't be trained on this machine; the message says why and what to do."""


def check_weights(config: TrialConfig) -> None:
    """Fetches pretrained weights, so that workers find them. Raises `ProbeError`."""
    if config.weights == "none":
        return
    from trainables.weights import WeightsError, check

    try:
        check(config)
    except WeightsError as error:
        raise ProbeError(str(error)) from error


def measure(config: TrialConfig, threads: int) -> tuple[str, str]:
    """(precision, why): what trains this network faster here."""
    from trainables.precision import resolve

    found = resolve(config, threads)
    speeds = ", ".join(f"{name} {rate:.0f}" for name, rate in found.images_per_s.items())
    why = f"images/s a trial: {speeds}" if speeds else "this GPU supports it"
    return found.precision, why
