"""Folds BatchNorm into the convolutions before it, for stages that don't train."""

from copy import deepcopy

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class _Tracer(fx.Tracer):
    """This tracer looks into a module only as far as BatchNorm layers lie inside."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002
        """Returns whether a module counts as one operation."""
        return isinstance(m, nn.BatchNorm2d) or not _normalises(m)


def fold_batch_norms(stage: nn.Module) -> nn.Module:
    """Returns a copy of a stage, in evaluation mode, whose convolutions also do what the BatchNorm
    layers behind them did, so that its maps are written and read once less.

    The numbers are the same up to rounding. A layer of timm's that holds what follows the
    normalisation (`BatchNormAct2d`: drop, activation) leaves that behind. A convolution whose
    output is used twice stays as it is.
    """
    folded = deepcopy(stage).eval()
    if not _normalises(folded):
        return folded
    calls = [node for node in _Tracer().trace(folded).nodes if node.op == "call_module"]
    for call in calls:
        source = call.all_input_nodes[0]
        if source not in calls or len(source.users) > 1:
            continue
        first, second = str(source.target), str(call.target)
        conv, norm = folded.get_submodule(first), folded.get_submodule(second)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            folded.set_submodule(first, fuse_conv_bn_eval(conv, norm))
            folded.set_submodule(second, nn.Sequential(*norm.children()))
    return folded


def _normalises(module: nn.Module) -> bool:
    return any(isinstance(part, nn.BatchNorm2d) for part in module.modules())
