"""What a training is called where others list it: Ray, TensorBoard, MLflow, Weights & Biases."""


def listed(number: int, repeat: int | None, *, baseline: bool = False) -> str:
    """Its name there, in the order of numbers."""
    again = f"-repeat-{repeat}" if repeat else ""
    return f"trial-{number:04d}{again}" + ("-baseline" if baseline else "")
