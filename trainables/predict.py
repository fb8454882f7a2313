"""The five likeliest classes of images, by a trained model.

python -m trainables.predict MODEL IMAGE…
"""

import sys
from pathlib import Path

from common.cli import Parser, refuse
from common.errors import UserError


def parser() -> Parser:
    """The command line."""
    made = Parser(prog="python -m trainables.predict", description=__doc__)
    made.add_argument(
        "model",
        metavar="MODEL",
        type=Path,
        help="a folder of final training, as runs/NAME/final, or an exported .safetensors file",
    )
    made.add_argument("images", metavar="IMAGE", type=Path, nargs="+", help="image files")
    return made


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code: 0, or 2 where the model or an image is broken.

    A broken image keeps no other one from being told.
    """
    given = parser().parse_args(arguments)
    # After the arguments are read: torch takes seconds that `--help` needn't wait for.
    from trainables.final_model.classifier import ImageError, best_guesses, read_image
    from trainables.final_model.saved_model import read_model
    from trainables.models.setup import default_device

    device, code = default_device(), 0
    try:
        model = read_model(given.model)
        network, description = model.network(device), model.description
    except (UserError, OSError) as error:
        return refuse(error)
    for path in given.images:
        try:
            image = read_image(path, description.stored_px)
        except ImageError as error:
            code = refuse(error)
            continue
        print(path)
        for name, probability in best_guesses(network, description, image, device):
            print(f"  {probability:6.1%}  {name}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
