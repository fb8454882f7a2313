"""Decides, before the first trial, how many trials share each GPU, and what stays there."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from datasets.access import TRAIN_FILE
from search.hardware import probe
from search.hardware.allocation import fits, trials_by_memory
from search.hardware.calibration import Measurement, capture_key, packing_key
from search.hardware.memory import worker_bytes
from search.hardware.packing import Packing, serves_mps
from search.hardware.packing_probe import measure_packing
from search.monitoring.plans.plan_text import describe_resources
from search.planning.cost_estimate import expected_epochs
from search.planning.plan import Plan
from search.planning.resources import allocate_resources
from search.session.startup import ask_gpu, open_calibrations
from trainables.config import TrialConfig
from trainables.profiling.capture_gain import CaptureGain
from trainables.profiling.gpu_need import GpuNeed

PACKING_WORTH_S = 120.0
"""The number of trials on a GPU is measured, which takes about 30 seconds, if a search trains for
longer than this.
"""
UNMEASURED_TRIALS = 2
"""At most so many trials share a GPU where their number wasn't measured. While one of them is
evaluated or begins, the other one trains, and decisions wait for few.
"""


def ray_may_start_first(plan: Plan) -> bool:
    """Returns whether Ray gets the same cores and GPUs before the GPUs are divided as afterwards.

    That is so where trials train on cores, and where all cores serve one GPU, which can't be left
    out. A division may leave out one of several GPUs, and more trials may be asked for than there
    are cores.
    """
    one = len(plan.machine.gpus) == 1 and plan.options.concurrency == "auto"
    return not plan.resources.per_gpu or (one and plan.cluster is None)


def divide_gpus(
    plan: Plan,
    measured: Callable[[], tuple[Measurement, str]],
    print_line: Callable[[str], object],
    torch: probe.TorchProcess,
    *,
    images: int | None,
    anew: bool,
) -> Plan:
    """Returns the plan of a new run with its GPUs divided, see `allocate_gpus`, in the precision
    that `measured` waits for.
    """
    precision = measured()[0].precision
    return allocate_gpus(plan, precision, print_line, torch, images=images, anew=anew)


def allocate_gpus(
    plan: Plan,
    precision: str,
    print_line: Callable[[str], object],
    torch: probe.TorchProcess,
    *,
    images: int | None,
    anew: bool = False,
) -> Plan:
    """Returns the plan with the GPUs' settings and versions, with captured steps where these are
    faster, with the images on each GPU where they have room, and, unless the options name their
    number, with as many trials on each GPU as train most images together, of those that fit there.
    Each decision is printed. Raises `ProbeError` where not even one trial fits.

    precision: the precision that trials will train in.
    images: the number of training images, or `None` where the dataset isn't prepared yet.
    anew: whether the number of trials is measured even if it was measured before.
    """
    if not plan.resources.per_gpu:
        return plan
    config = plan.baseline.but(precision=precision)
    gain = find_gain(plan, torch, config, anew=anew)
    print_line(f"GPUs       {gain.describe()}")
    plan = _describe_gpus(plan, torch, captured=gain.worthwhile)
    largest = plan.bounds.largest.but(precision=precision)
    need = measure_needs(plan, torch, precision, print_line, captured=gain.worthwhile)
    stored = plan.data / TRAIN_FILE
    image_bytes = stored.stat().st_size if stored.exists() else 0
    if plan.options.gpus_per_trial != "auto":
        plan = _as_asked(plan, need, image_bytes, print_line)
        return _leave_out_cores(plan, precision, print_line)
    plan = _leave_out_small(plan, need, print_line)
    plan = _in_pieces(plan, need, print_line)
    most, resident = trials_by_memory(need, plan.machine.gpus, image_bytes)
    limit = f"up to {most} trials each by memory{_describe_smallest(plan, need, image_bytes)}"
    if alone := plan.machine.exclusive_gpus:
        most, one = 1, alone[0]
        limit = f"1 trial each, as GPU {one.id} ({one.name}) lets in one process at a time"
    print_line(
        f"GPUs       {limit}: the largest takes {need.needed_bytes / (1 << 30):.1f} GiB"
        f"{', and the images beside it' * resident}"
    )
    allocate = partial(
        allocate_resources, plan.options, plan.machine, plan.cluster, worker_bytes(largest)
    )
    packing, trials = None, min(most, UNMEASURED_TRIALS)
    if _training_s(plan, gain, images) > PACKING_WORTH_S:
        packing = choose_packing(plan, torch, config, allocate(most).per_gpu, anew=anew)
        trials = packing.trials
        print_line(f"GPUs       {packing.describe()}")
    resources = replace(allocate(trials), resident=resident, captured=plan.resources.captured)
    plan = replace(plan, resources=resources, packing=packing)
    plan = _leave_out_cores(plan, precision, print_line)
    print_line(f"GPUs       {describe_resources(plan)}")
    return plan


def measure_needs(
    plan: Plan,
    torch: probe.TorchProcess,
    precision: str,
    print_line: Callable[[str], object],
    *,
    captured: bool,
) -> GpuNeed:
    """Returns what the largest trial needs of a GPU. Where trials have several networks, the
    largest configuration of each is measured, and all trials get the room and the number of images
    at once that suffice for each network. A network that doesn't fit at all is named: its trials
    fail for want of memory, from which the sampler learns, and take no others' room. Raises
    `ProbeError` where the network of the baseline, or the only one, doesn't fit.
    """
    needs: dict[str, GpuNeed] = {}
    freezes = any(each.freeze_depth for each in plan.bounds.starting)
    for each in plan.bounds.networks or (plan.bounds.largest,):
        config = each.but(precision=precision)
        try:
            needs[each.network] = ask_gpu(
                plan, torch, probe.measure_gpu, config, freezes=freezes, captured=captured
            )
        except probe.ProbeError as error:
            if not plan.bounds.networks or each.network == plan.baseline.network:
                raise
            print_line(f"note: trials of {each.network} will fail for want of memory: {error}")
    if len(needs) > 1:
        sizes = (f"{name} {n.needed_bytes / (1 << 30):.1f} GiB" for name, n in needs.items())
        print_line(f"GPUs       the largest trial of each network takes: {', '.join(sizes)}")
    most = max(needs.values(), key=lambda need: need.needed_bytes)
    parts = [need.micro_batch_size for need in needs.values() if need.micro_batch_size is not None]
    return replace(most, micro_batch_size=min(parts, default=None))


def _describe_gpus(plan: Plan, torch: probe.TorchProcess, *, captured: bool) -> Plan:
    """Returns the plan with the GPUs' settings and versions, and whether steps are captured."""
    deterministic = plan.baseline.deterministic
    described = ask_gpu(plan, torch, probe.describe_gpu, deterministic=deterministic)
    return replace(
        plan,
        resources=replace(plan.resources, captured=captured),
        gpu={**described, "captured_steps": captured},
    )


def _training_s(plan: Plan, gain: CaptureGain, images: int | None) -> float:
    """Returns how many seconds one trial after the other would train on one GPU for the whole
    search, or infinity where that isn't known.
    """
    if images is None or not gain.images_per_s:
        return math.inf
    return expected_epochs(plan) * images / gain.images_per_s / len(plan.machine.gpus)


def _as_asked(
    plan: Plan, need: GpuNeed, image_bytes: int, print_line: Callable[[str], object]
) -> Plan:
    """Returns the plan with the images on each GPU where all trials that share it have the room."""
    most, resident = trials_by_memory(need, plan.machine.gpus, image_bytes)
    resident = resident and most >= plan.resources.per_gpu
    print_line(
        f"GPUs       as many trials each as asked: the largest takes "
        f"{need.needed_bytes / (1 << 30):.1f} GiB{', and the images beside it' * resident}"
    )
    if plan.gpu.get("mps"):
        print_line("GPUs       NVIDIA's MPS serves them")
    return replace(plan, resources=replace(plan.resources, resident=resident))


def _describe_smallest(plan: Plan, need: GpuNeed, image_bytes: int) -> str:
    """Returns the GPU whose free memory decides for all GPUs, and nothing where all are alike."""
    gpus = plan.machine.gpus
    if len({trials_by_memory(need, [gpu], image_bytes) for gpu in gpus}) == 1:
        return ""
    smallest = min(gpus, key=lambda gpu: gpu.free_bytes if gpu.memory_bytes else need.free_bytes)
    return f" of GPU {smallest.id} ({smallest.name})"


def _leave_out_cores(plan: Plan, precision: str, print_line: Callable[[str], object]) -> Plan:
    """Returns the plan without trials on cores beside those on GPUs where all train in float16."""
    if precision != "float16" or plan.resources.beside is None:
        return plan
    print_line("note: nodes without a GPU stay idle: cores are about 90 times slower in float16.")
    return replace(plan, resources=replace(plan.resources, beside=None))


def _leave_out_small(plan: Plan, need: GpuNeed, print_line: Callable[[str], object]) -> Plan:
    """Returns the plan without the GPUs of this machine that can't hold one trial. On a cluster Ray
    has counted them already: there, a trial that meets one goes on in micro-batches.
    """
    if plan.cluster:
        return plan
    small = [gpu for gpu in plan.machine.gpus if not fits(gpu, need)]
    rest = tuple(gpu for gpu in plan.machine.gpus if gpu not in small)
    if not rest:  # free memory changes: on one of them the measurement has just run
        return plan
    for gpu in small:
        print_line(
            f"note: GPU {gpu.id} ({gpu.name}) stays idle: it has {gpu.free_bytes / (1 << 30):.1f} "
            f"GiB free, and the largest trial takes {need.needed_bytes / (1 << 30):.1f}."
        )
    return replace(plan, machine=replace(plan.machine, gpus=rest))


def _in_pieces(plan: Plan, need: GpuNeed, print_line: Callable[[str], object]) -> Plan:
    """Returns the plan with the micro-batches that the largest configuration needs, for all trials:
    a batch that isn't larger stays whole.
    """
    asked = plan.bounds.largest.micro_batch_size
    if need.micro_batch_size in (None, asked) or "micro_batch_size" in plan.ranges:
        return plan
    print_line(
        f"note: the largest trial doesn't fit on a GPU with its whole batch: trials train in "
        f"micro-batches of {need.micro_batch_size} images."
    )
    # The preview, by which a run that goes on knows its space, stays as the space has it.
    return replace(plan, fixed={**plan.fixed, "micro_batch_size": need.micro_batch_size})


def find_gain(
    plan: Plan, torch: probe.TorchProcess, config: TrialConfig, *, anew: bool
) -> CaptureGain:
    """Returns what captured steps gain for `config`, as measured before on this machine, unless
    `anew` is true, or else now.
    """
    key, store = capture_key(config, plan.gpus), open_calibrations(plan)
    before = None if anew or plan.cluster else store.find_gain(key)
    if before is not None:
        return before
    gain = ask_gpu(plan, torch, probe.measure_capture, config)
    if plan.cluster is None and gain.sound():
        store.keep(key, gain)
        if not gain.captured_images_per_s:
            torch.restart()  # what a failed capture leaves in a process is not torch's alone
    return gain


def choose_packing(
    plan: Plan, torch: probe.TorchProcess, config: TrialConfig, most: int, *, anew: bool
) -> Packing:
    """Returns how fast up to `most` trials of `config` train together on a GPU, as measured before
    on this machine, unless `anew` is true, or else now. Where one has to be alone, nothing is
    measured.
    """
    mps, store = serves_mps(), open_calibrations(plan)
    if most == 1:
        return Packing(images_per_s=[], mps=mps)
    captured = plan.resources.captured
    key = packing_key(config, most, plan.machine, mps=mps, captured=captured)
    before = None if anew or plan.cluster else store.find_packing(key)
    if before is not None:
        return before
    threads = max(1, plan.machine.cpus // (most * len(plan.machine.gpus)))
    packing = ask_gpu(plan, torch, measure_packing, config, threads, most, captured=captured)
    if plan.cluster is None and packing.sound():
        store.keep(key, packing)
    return packing
