"""Which GPUs trials may use, on machines where NVML, torch and CUDA_VISIBLE_DEVICES disagree."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from common.nvml import EXCLUSIVE, PROHIBITED, Driver, Load, read_driver, read_loads
from search.hardware.gpus import VISIBLE, ask_torch, find_gpus, show_gpus
from search.hardware.machine import detect_machine
from tests.search.hardware.faked_gpus import GIB, FakeTorch, cards, gpus, listed

TWO = [listed("A100", 80, free_bytes=50 * GIB), listed("L4", 24)]


BUSY = "CUDA error: CUDA-capable device(s) is/are busy or unavailable"


def survey(torch: FakeTorch, driver: Driver, visible: str | None = None) -> tuple[Any, list[str]]:
    found = find_gpus({} if visible is None else {VISIBLE: visible}, driver, torch)
    return [(gpu.id, gpu.name, gpu.mig) for gpu in found.gpus], list(found.faults)


def test_unlike_cards_are_known_each_by_its_own() -> None:
    found = find_gpus({}, cards("A100", "L4"), FakeTorch({None: TWO}))
    a100, l4 = found.gpus
    assert (a100.id, a100.uuid, a100.capability) == ("0", "u-A100", "9.0")
    assert (a100.memory_bytes, a100.free_bytes) == (80 * GIB, 50 * GIB)
    assert (l4.id, l4.free_bytes) == ("1", 24 * GIB)
    assert not found.faults


def test_without_nvml_torch_s_word_counts() -> None:
    """A container with the driver's compute libraries alone has neither nvidia-smi nor NVML."""
    assert survey(FakeTorch({None: TWO}), Driver())[0] == [("0", "A100", False), ("1", "L4", False)]
    assert survey(FakeTorch({}), Driver()) == ([], [])


@pytest.mark.parametrize(
    ("visible", "seen", "ids"),
    [
        pytest.param("1", 1, ["1"], id="index"),
        pytest.param("0,-1,1", 1, ["0"], id="somebody ends the list"),
        pytest.param("GPU-1b, GPU-0", 2, ["GPU-1b", "GPU-0"], id="beginnings of UUIDs"),
    ],
)
def test_cuda_visible_devices_names_what_torch_counts(
    visible: str, seen: int, ids: list[str]
) -> None:
    torch = FakeTorch({None: TWO[:seen]})
    found = find_gpus({VISIBLE: visible}, cards("A100", "L4"), torch)
    assert [gpu.id for gpu in found.gpus] == ids
    assert (found.faults, found.notes, torch.asked) == ((), (), [()])


def test_names_at_which_cuda_stops_are_named() -> None:
    torch = FakeTorch({None: TWO[:1]})
    found = find_gpus({VISIBLE: "0,9,1"}, cards("A100", "L4"), torch)
    assert ([gpu.id for gpu in found.gpus], found.faults) == (["0"], ())
    assert found.notes == (
        "GPUs 9,1 stay idle: torch sees none of CUDA_VISIBLE_DEVICES=0,9,1 from there on.",
    )


@pytest.mark.parametrize("visible", ["", "-1", "-1,0", "none", "NoDevFiles"])
def test_hidden_gpus_are_no_fault_and_nobody_is_asked(visible: str) -> None:
    torch = FakeTorch({None: TWO})
    assert survey(torch, cards("A100", "L4"), visible) == ([], [])
    assert torch.asked == []


@pytest.mark.parametrize("visible", ["7", "0,0"])
def test_names_of_no_gpu_are_a_fault(visible: str) -> None:
    torch = FakeTorch({}, error="No CUDA GPUs are available")
    found, (fault,) = survey(torch, cards("A100", "L4"), visible)
    assert not found
    assert f"(A100, L4), each one once, but got '{visible}'" in fault


def test_each_mig_slice_is_a_gpu_of_its_own() -> None:
    """CUDA shows a process one slice at most, however many are named."""
    by_id = {f"MIG-{n}": [listed("A100 MIG 1g.10gb", 10)] for n in "abc"}
    torch = FakeTorch({None: by_id["MIG-a"], **by_id})
    driver = cards("A100", slices=("MIG-a", "MIG-b", "MIG-c"))
    assert [name for name, _, mig in survey(torch, driver)[0] if mig] == ["MIG-a", "MIG-b", "MIG-c"]
    torch.error = "no such device"
    named = find_gpus({VISIBLE: "MIG-c,MIG-gone,MIG-a"}, driver, torch)
    assert [gpu.id for gpu in named.gpus] == ["MIG-c", "MIG-a"]
    assert named.notes == ("GPU MIG-gone stays idle: torch sees none there (no such device).",)
    assert survey(torch, driver, "0")[0] == [("0", "A100 MIG 1g.10gb", False)]


def test_a_whole_card_beside_a_divided_one_is_asked_by_its_uuid() -> None:
    whole, divided = cards("L4").cards[0], cards("A100", slices=("MIG-a",)).cards[0]
    torch = FakeTorch({"GPU-L4": [TWO[1]], "MIG-a": [listed("A100 MIG", 10)]})
    found = survey(torch, Driver(cards=(whole, divided)))[0]
    assert found == [("GPU-L4", "L4", False), ("MIG-a", "A100 MIG", True)]


def test_a_machine_without_a_driver_pays_for_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("torch was asked"))
    found = detect_machine()
    assert found.cpus >= 1
    if not Path("/proc/driver/nvidia").exists():
        assert (found.gpus, found.gpu_faults) == ((), ())


@pytest.mark.slow  # a process imports torch
def test_torch_answers_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its true answer on this machine, of which the ids are none of a GPU."""
    monkeypatch.setenv(VISIBLE, "")
    answer = ask_torch(["none"])
    (one,) = answer["answers"]
    assert one["gpus"] == []
    assert one["error"]
    assert answer["torch"].startswith("2.")


@pytest.mark.parametrize(
    ("torch", "driver", "sentence"),
    [
        pytest.param(
            FakeTorch({}, "Torch not compiled with CUDA enabled", None, "2.14.1+cpu"),
            cards("L4"),
            "torch must be built for CUDA to train on L4, but 2.14.1+cpu isn't; install a build",
            id="a build for CPUs",
        ),
        pytest.param(
            FakeTorch({}, "The NVIDIA driver on your system is too old (found version 11040)"),
            cards("L4", "L4"),
            "torch 2.14.1+cu130, built for CUDA 13.0, must see L4, L4 by driver 550.54, but sees "
            "none (The NVIDIA driver on your system is too old (found version 11040)); update",
            id="an old driver",
        ),
        pytest.param(
            FakeTorch({None: [listed("K80", capability="3.7", error="no kernel image"), *TWO[1:]]}),
            cards("K80", "L4"),
            "torch 2.14.1+cu130, built for CUDA 13.0, must compute on GPU 0 (K80, compute "
            "capability 3.7), but doesn't (no kernel image); leave it out with "
            "CUDA_VISIBLE_DEVICES=1, install",
            id="a card that torch isn't compiled for",
        ),
        pytest.param(
            FakeTorch({None: [listed("L4", error=BUSY)]}),
            cards("L4"),
            f"GPU 0 (L4) must be free to train on it, but other processes hold it ({BUSY}); wait",
            id="a card that somebody uses alone",
        ),
        pytest.param(
            FakeTorch({}, "No CUDA GPUs are available"),
            cards("A100", slices=()),
            "A card whose MIG is on must have an instance, but A100 has none; create",
            id="a divided card without a slice",
        ),
    ],
)
def test_gpus_that_torch_can_t_use_are_a_fault(
    torch: FakeTorch, driver: Driver, sentence: str
) -> None:
    (fault,) = survey(torch, driver)[1]
    assert fault.startswith(sentence)
    assert fault.endswith("or train on cores with --gpus-per-trial 0.")


@pytest.mark.parametrize("error", [BUSY, "CUDA error: out of memory", "CUDA out of memory. Tried"])
def test_a_card_that_others_hold_leaves_the_rest_to_the_search(error: str) -> None:
    torch = FakeTorch({None: [listed("L4", error=error), *TWO]})
    found = find_gpus({}, cards("L4", "A100", "L4"), torch)
    assert ([gpu.id for gpu in found.gpus], found.faults) == (["1", "2"], ())
    assert found.notes == (f"GPU 0 (L4) stays idle: others hold it ({error}).",)


def test_a_divided_card_without_a_slice_stays_idle_beside_another() -> None:
    whole, divided = cards("L4").cards[0], cards("A100", slices=()).cards[0]
    found = find_gpus({}, Driver(cards=(whole, divided)), FakeTorch({"GPU-L4": [TWO[1]]}))
    assert ([gpu.id for gpu in found.gpus], found.faults) == (["GPU-L4"], ())
    assert found.notes == ("GPU GPU-A100 (A100) stays idle: MIG is on without an instance.",)


def test_a_torch_that_doesn_t_answer_is_a_fault() -> None:
    def ask(ids: object) -> dict[str, Any]:
        raise subprocess.TimeoutExpired("python", 120)

    (fault,) = find_gpus({}, cards("L4"), ask).faults
    assert "torch must list the GPUs of this machine (L4) within 120 s, but doesn't (" in fault


def test_ray_sees_the_gpus_of_the_search_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "0,9,1")
    with show_gpus(gpus("A100", "L4")):
        assert os.environ[VISIBLE] == "0,1"
    assert os.environ[VISIBLE] == "0,9,1"
    monkeypatch.delenv(VISIBLE)
    with show_gpus(()):
        assert os.environ[VISIBLE] == ""
    assert VISIBLE not in os.environ


@pytest.mark.parametrize("mps", [False, True])
def test_a_card_that_lets_in_one_process_at_a_time_is_exclusive_but_for_mps(
    tmp_path: Path, mps: bool
) -> None:
    """NVML knows the mode. torch may leave out the beginning of a card's UUID."""
    environment = {"CUDA_MPS_PIPE_DIRECTORY": str(tmp_path)}
    if mps:
        os.mkfifo(tmp_path / "control")
    alone, free = cards("A100", mode=EXCLUSIVE).cards[0], cards("L4").cards[0]
    torch = FakeTorch({None: [listed("L4", uuid="L4"), listed("A100", uuid="A100")]})
    found = find_gpus(environment, Driver(cards=(alone, free)), torch)
    assert [gpu.exclusive for gpu in found.gpus] == [False, not mps]
    sliced = cards("A100", slices=("MIG-a",), mode=EXCLUSIVE)
    torch = FakeTorch({"MIG-a": [listed("A100 MIG", 10)]})
    assert find_gpus(environment, sliced, torch).gpus[0].exclusive is not mps


def test_a_card_whose_mode_is_prohibited_stays_idle_or_is_a_fault() -> None:
    closed, free = cards("L4", mode=PROHIBITED).cards[0], cards("A100").cards[0]
    torch = FakeTorch({None: [listed("L4", uuid="GPU-L4", error=BUSY), listed("A100")]})
    found = find_gpus({}, Driver(cards=(closed, free)), torch)
    assert ([gpu.name for gpu in found.gpus], found.faults) == (["A100"], ())
    assert found.notes == ("GPU 0 (L4) stays idle: its compute mode is «prohibited».",)
    sentence = (
        "A GPU must let processes in, but the compute mode of L4 is «prohibited»; change it with "
        "`sudo nvidia-smi -c 0`, or train on cores with --gpus-per-trial 0."
    )
    for known in (torch.by_id[None][:1], []):
        alone = find_gpus({}, Driver(cards=(closed,)), FakeTorch({None: known}, "No CUDA GPUs"))
        assert (alone.gpus, alone.faults) == ((), (sentence,))


NVML = r"""
#include <string.h>
#define WRITE(text, to, size) (strncpy(to, text, size), 0)
typedef struct { int n; } *device;
static struct { int n; } made[4] = {{0}, {1}, {2}, {3}};
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *to, unsigned size) { return WRITE("550.54", to, size); }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned n, void **card) { *card = &made[n]; return 0; }
int nvmlDeviceGetName(device card, char *to, unsigned size) {
    return WRITE(card->n ? "A100" : "L4", to, size);
}
int nvmlDeviceGetUUID(device card, char *to, unsigned size) {
    const char *all[] = {"GPU-l4", "GPU-a100", "MIG-a", "MIG-b"};
    return WRITE(all[card->n], to, size);
}
int nvmlDeviceGetMigMode(device card, unsigned *now, unsigned *next) {
    *now = *next = 1;
    return card->n ? 0 : 3;
}
int nvmlDeviceGetComputeMode(device card, unsigned *mode) { *mode = 3 - card->n; return 0; }
int nvmlDeviceGetUtilizationRates(device card, unsigned *rates) {
    rates[0] = 75;
    return card->n ? 3 : 0;
}
int nvmlDeviceGetMemoryInfo(device card, unsigned long long *memory) {
    memory[0] = 24; memory[1] = 18; memory[2] = 6;
    return 0;
}
int nvmlDeviceGetMaxMigDeviceCount(device card, unsigned *most) { *most = 7; return 0; }
int nvmlDeviceGetMigDeviceHandleByIndex(device card, unsigned n, void **slice) {
    *slice = &made[n + 2];
    return n < 2 ? 0 : 6;
}
"""


def compiled(folder: Path, text: str) -> str:
    """Returns the path of a library of these functions, which stands for the driver's."""
    folder.mkdir(exist_ok=True)
    library, source = folder / "libnvidia-ml.so.1", folder / "nvml.c"
    source.write_text(text, encoding="utf-8")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    return str(library)


def read_compiled(folder: Path, text: str) -> Driver:
    return read_driver(compiled(folder, text))


def test_nvml_is_read_through_its_c_interface(tmp_path: Path) -> None:
    found = read_compiled(tmp_path, NVML)
    assert found.version == "550.54"
    assert [(c.name, c.uuid, c.slices, c.mode) for c in found.cards] == [
        ("L4", "GPU-l4", None, EXCLUSIVE),
        ("A100", "GPU-a100", ("MIG-a", "MIG-b"), PROHIBITED),
    ]
    older = read_compiled(tmp_path / "older", NVML.replace("nvmlDeviceGetComputeMode", "newer"))
    assert [card.mode for card in older.cards] == [0, 0]
    assert read_driver(str(tmp_path / "absent.so")) == Driver()


def test_a_card_tells_its_load_unless_it_is_divided(tmp_path: Path) -> None:
    load = Load(busy=0.75, used_bytes=6, total_bytes=24)
    assert read_loads(compiled(tmp_path, NVML)) == [load]
    older = NVML.replace("nvmlDeviceGetUtilizationRates", "newer")
    assert read_loads(compiled(tmp_path / "older", older)) == []
    assert read_loads(str(tmp_path / "absent.so")) == []


@pytest.mark.parametrize(
    ("absent", "names"),
    [
        ("nvmlDeviceGetMigMode", ["L4", "A100"]),
        ("nvmlDeviceGetCount_v2", []),
        ("nvmlInit_v2", []),
    ],
)
def test_a_driver_before_a_function_existed_ends_no_search(
    tmp_path: Path, absent: str, names: list[str]
) -> None:
    found = read_compiled(tmp_path, NVML.replace(absent, "newer"))
    assert [(card.name, card.slices) for card in found.cards] == [(name, None) for name in names]
