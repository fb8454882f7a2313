"""Finds options that this machine can't satisfy, such as missing files or too few GPUs."""

from pathlib import Path

from datasets.registry import find_dataset
from datasets.spec import DatasetError, point_to_list, prepared_folder
from results.run_hints import resume_command
from search.config.options import SearchOptions
from search.hardware.allocation import trials_asked
from search.hardware.machine import Machine


def find_path_errors(
    options: SearchOptions, dataset: str, directory: Path, weights: str, *, resuming: bool
) -> list[str]:
    """Returns one sentence for each file that is missing, and one if the run's folder is taken.

    weights: the weights that training starts from: `none`, `imagenet` or the path of a file.
    """
    errors = []
    data = Path(options.data)
    prepared = (prepared_folder(data, dataset) / "manifest.json").exists()
    try:
        spec = find_dataset(dataset)
    except DatasetError as error:
        errors.append(f"--dataset: {error}")
    else:
        if not (options.source or prepared or spec.archive or spec.generate):
            errors.append(
                f"--source must name the images of dataset {dataset}, an archive or a folder, "
                f"but it is missing{point_to_list(data)}."
            )
    if options.source and not Path(options.source).exists() and not (resuming and prepared):
        errors.append(f"--source must exist, but {options.source} doesn't; check the path.")
    if weights not in ("none", "imagenet") and not Path(weights).expanduser().is_file():
        errors.append(
            f"--weights must be none, imagenet or a state-dict file, but {weights} is no file."
        )
    if not resuming and (directory / "manifest.json").exists():
        errors.append(
            f"--name must be new, but {directory} already holds a run; go on with it by "
            f"`{resume_command(directory)}`, or choose another name."
        )
    return errors


def find_gpu_errors(options: SearchOptions, here: Machine, *, resuming: bool) -> list[str]:
    """Returns one sentence for each option that asks for GPUs which don't exist, and for each
    reason why torch can't use those of the machine `here`, unless the trials take none.
    """
    per_gpu = trials_asked(options.gpus_per_trial)
    errors = list(here.gpu_faults) if per_gpu else []
    if options.gpus_per_trial != "auto" and per_gpu and not here.gpus:
        errors.append(
            f"--gpus-per-trial must be auto or 0 on a machine without a GPU, but got "
            f"{options.gpus_per_trial!r}."
        )
    if per_gpu > 1 and (alone := here.exclusive_gpus):
        errors.append(
            "--gpus-per-trial must be auto, 0 or 1 where GPUs let in one process at a time, as the "
            f"compute mode of {', '.join(gpu.name for gpu in alone)} demands, but got "
            f"{options.gpus_per_trial!r}; use auto, or change that with `sudo nvidia-smi -c 0`."
        )
    if options.gpu_hours and (not here.gpus or not per_gpu):
        errors.append(
            f"--gpu-hours must be 0 where trials take no GPU, but got {options.gpu_hours:g}; "
            "use --time-budget."
        )
    if options.precision == "float16" and not (here.gpus and per_gpu) and not resuming:
        errors.append(
            "--precision must be auto, float32 or bfloat16 where trials take no GPU, because cores "
            "train about 90 times slower in float16 than in float32, but got 'float16'; use auto."
        )
    if options.precision == "bfloat16" and here.older_gpus and per_gpu and not resuming:
        errors.append(
            f"--precision must be auto, float32 or float16 where trials train on GPUs that only "
            f"emulate bfloat16 ({', '.join(gpu.name for gpu in here.older_gpus)}), but got "
            "'bfloat16'; use auto."
        )
    return errors


def find_set_errors(options: SearchOptions) -> list[str]:
    """Returns one sentence for each field in `--set` that has an option of its own, because more
    than the configuration depends on these fields.
    """
    return [
        f"--set must not name {name}, but got {item!r}; use --{name}."
        for item in options.set
        for name in ("epochs", "seed", "precision")
        if item.partition("=")[0] == name
    ]
