"""Prints the five likeliest classes of each image, according to a trained model.

python -m trainables.predict MODEL IMAGE…
"""

import sys
from pathlib import Path

from common.cli import Parser, refuse
from common.errors import UserError
from common.text import printable


def parser() -> Parser:
    """Returns the command line's parser, with its options and their help texts."""
    result = Parser(prog="python -m trainables.predict", description=__doc__)
    result.add_argument(
        "model",
        metavar="MODEL",
        type=Path,
        help="a folder of final training, as runs/NAME/final, or an exported .safetensors file",
    )
    result.add_argument("images", metavar="IMAGE", type=Path, nargs="+", help="image files")
    return result


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line. Returns the exit code: 0, or 2 if the model or an image is broken.

    After a broken image, the command goes on with the others.
    """
    options = parser().parse_args(arguments)
    # These imports follow the parsing, because torch takes seconds and `--help` doesn't need it.
    from trainables.final_model.classifier import ImageError, best_guesses, read_image
    from trainables.final_model.saved_model import read_model
    from trainables.models.setup import default_device

    device, code = default_device(), 0
    try:
        model = read_model(options.model)
        network, description = model.network(device), model.description
    except (UserError, OSError) as error:
        return refuse(error)
    for path in options.images:
        try:
            image = read_image(path, description.stored_px, description.white)
        except ImageError as error:
            code = refuse(error)
            continue
        print(printable(str(path)))
        for name, probability in best_guesses(network, description, image, device):
            print(f"  {probability:6.1%}  {printable(name)}", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
